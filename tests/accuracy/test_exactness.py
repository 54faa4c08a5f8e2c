"""The estimator against statsmodels and against extended precision: |Δmean| ≤ 1e-9 σ, |ΔP_ij| ≤ 1e-9 σ_i σ_j.

On random models, and on the shipped profiles' own matrices with readings simulated from them; complete and with gaps, with
inputs, covariates and re-armed warm-up; filter and smoother. A profile's products (sensitivity times temperature) are frozen
at a stated point, because statsmodels knows only linear rows.

Windows' offsets begin with σ = 1e4 px and are known to 0.05 px after one reading. statsmodels' update is not in Joseph
form and is off by some 1e-6 σ there; so it is asked from the hundredth step on, and the beginning is compared with a filter
in extended precision.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.engine import Belief, Gate, Steps, compiled, filterpy
from models.packing import Packed
from models.smoother import smooth
from models.statespace import Block, Observation, StateSpace
from tests.oracles import long_double, statsmodels_filter
from twin.assembly import assemble
from twin.profiles import load_profile, names

WIDE = Gate(sigma=1e9)
BEGUN = 100  # steps after which the offsets are known


def deviation(a, b, cov_a, cov_b):
    """Largest |Δmean|/σ and |ΔP_ij|/(σ_i σ_j); states without variance must be equal outright."""
    variance = np.diagonal(cov_b, axis1=-2, axis2=-1)
    known = variance <= 0
    assert np.array_equal(np.asarray(a)[known], np.asarray(b)[known])
    sd = np.sqrt(np.where(known, 1.0, variance))
    return (np.abs(a - b) / sd).max(), (np.abs(cov_a - cov_b) / (sd[..., :, None] * sd[..., None, :])).max()


def rows_of(model, covariates):
    """Observation rows (T, m, n) of a linear model, written from the observations alone."""
    rows = np.zeros((len(covariates), len(model.observations), len(model.names)))
    for j, observation in enumerate(model.observations):
        for state, weight in observation.linear:
            rows[:, j, model.names.index(state)] += weight
        for state, covariate, weight in observation.covariates:
            rows[:, j, model.names.index(state)] += weight * covariates[:, model.covariates.index(covariate)]
    return rows


def frozen(model):
    """The model with its products linearised at 2 K above 20 °C and sensitivities of +10 %."""
    at = {name: 2.0 if name.startswith("temperature.") else 0.1 for name in model.names}
    return replace(
        model,
        observations=tuple(
            replace(
                o,
                linear=(*o.linear, *(t for a, b, w in o.products for t in ((a, w * at[b]), (b, w * at[a])))),
                products=(),
            )
            for o in model.observations
        ),
    )


def simulated(model, count, seed, missing):
    """Steps with readings drawn from the model itself, a share of them missing, and a re-armed warm-up half-way."""
    rng = np.random.default_rng(seed)
    steps = Steps.empty(model, count)
    steps.covariates[:] = 0.01 * rng.normal(size=steps.covariates.shape)
    steps.inputs[:] = rng.uniform(0.005, 0.02, steps.inputs.shape)
    rows = rows_of(model, steps.covariates)
    values, vectors = np.linalg.eigh(model.noise)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    x = rng.multivariate_normal(model.mean, model.cov, method="eigh")
    sigma = np.array([{"t": 0.02, "i": 1e-3}.get(c[0], 0.05) for c in model.channels])
    constant = np.array([o.constant for o in model.observations])
    for t in range(count):
        x = model.transition @ x + model.input_matrix @ steps.inputs[t] + root @ rng.normal(size=len(x))
        steps.readings[t] = rows[t] @ x + constant + sigma * rng.normal(size=len(sigma))
    steps.variances[:] = sigma**2
    steps.readings[rng.random(steps.readings.shape) < missing] = np.nan
    steps.opened[count // 2] = [model.cov[i, i] if ".warmup." in s else 0.0 for i, s in enumerate(model.names)]
    return steps


def problem(model, belief, steps):
    """The same as plain matrices, in the order the oracles take them."""
    floor = np.array([o.floor_sigma**2 for o in model.observations])
    constant = np.array([o.constant for o in model.observations])
    return (
        model.transition,
        model.noise,
        belief.mean,
        belief.cov,
        rows_of(model, steps.covariates),
        steps.variances + floor,
        steps.readings - constant,
        steps.inputs @ model.input_matrix.T,
        steps.opened,
    )


def check_statsmodels(model, belief, steps):
    want = statsmodels_filter.run(*problem(model, belief, steps))
    record = compiled(model, Packed.of(model), belief.copy(), steps, WIDE, True)
    assert max(deviation(record.mean, want.filtered, record.cov, want.filtered_cov)) <= 1e-9
    assert record.loglik == pytest.approx(want.loglik, rel=1e-9)
    states = [Observation(name, ((name, 1.0),)) for name in model.names]
    got = smooth(model, belief, steps, states, gate=WIDE)
    assert max(deviation(got.mean, want.smoothed, got.cov, want.smoothed_cov)) <= 1e-9
    # the comparison has something to compare: smoothing did sharpen, and readings did matter
    filtered, smoothed = (np.trace(c, axis1=1, axis2=2) for c in (want.filtered_cov, want.smoothed_cov))
    assert smoothed[len(steps) // 4] < filtered[len(steps) // 4]


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize(("n", "m"), [(3, 1), (6, 4), (12, 4)])
def test_random_models_equal_statsmodels(n, m, missing):
    rng = np.random.default_rng(100 * n + m)
    drift = np.where(rng.random((n, n)) < 0.5, 0.0, 0.2 * rng.normal(size=(n, n))) - 0.5 * np.eye(n)
    root = 0.4 * rng.normal(size=(n, n - 1))  # process noise of less than full rank
    labels = tuple(f"x{i}" for i in range(n))
    block = Block(
        labels, ("1",) * n, drift, root @ root.T, rng.normal(size=n), np.eye(n), {"power": rng.normal(size=n)}
    )
    observations = [
        Observation(
            f"z{j}",
            tuple((labels[i], float(rng.normal())) for i in rng.choice(n, 2, replace=False)),
            covariates=((labels[j], "kv", 0.7),),
            constant=1.5,
            floor_sigma=0.1,
        )
        for j in range(m)
    ]
    model = StateSpace.assemble([block], observations, 0.7, ("kv",))
    check_statsmodels(model, Belief.prior(model), simulated(model, 200, 1, missing))


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("name", names())
def test_profiles_own_matrices_equal_statsmodels(name, missing):
    model = frozen(assemble(load_profile(name)).model)
    steps = simulated(model, 300, 2, missing)
    belief = Belief.prior(model)
    compiled(model, Packed.of(model), belief, steps.part(0, BEGUN), WIDE)
    check_statsmodels(model, belief, steps.part(BEGUN, 300))


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="long double is no longer than double here")
@pytest.mark.parametrize("engine", [compiled, filterpy])
@pytest.mark.parametrize("name", names())
def test_profiles_are_exact_from_their_wide_priors_on(name, engine):
    model = frozen(assemble(load_profile(name)).model)
    steps = simulated(model, 200, 3, 0.3)
    want = long_double.filtered(*problem(model, Belief.prior(model), steps))
    record = engine(model, Packed.of(model), Belief.prior(model), steps, WIDE, True)
    assert max(deviation(record.mean, want[0], record.cov, want[1])) <= 1e-9
