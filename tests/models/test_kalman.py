"""The kernel against filterpy, the dense joint Gaussian, and R's FKF."""

from __future__ import annotations

import json

import numpy as np
import pytest
from filterpy.kalman import KalmanFilter

from models.engine import Belief, Gate, Steps, compiled, filterpy
from models.packing import Packed
from models.smoother import smooth
from models.statespace import Block, Observation, StateSpace, discretise
from tests.oracles.joint_gaussian import posterior
from tests.real_data import data_file

WIDE = Gate(sigma=1e9)


def random_model(rng, n=5, m=3, dt=0.7):
    drift = rng.normal(size=(n, n)) * 0.2 - 0.3 * np.eye(n)
    drift[rng.random((n, n)) < 0.4] = 0.0
    root = rng.normal(size=(n, n)) * 0.4
    names = tuple(f"x{i}" for i in range(n))
    block = Block(
        names,
        ("1",) * n,
        drift,
        root @ root.T,
        rng.normal(size=n),
        np.diag(rng.uniform(0.5, 3.0, n)),
        {"power": rng.normal(size=n)},
    )
    observations = [
        Observation(f"z{j}", tuple((names[i], float(rng.normal())) for i in rng.choice(n, 2, replace=False)))
        for j in range(m)
    ]
    return StateSpace.assemble([block], observations, dt)


def random_steps(rng, model, count):
    steps = Steps.empty(model, count)
    steps.readings[:] = rng.normal(size=steps.readings.shape) * 2
    steps.readings[rng.random(steps.readings.shape) < 0.3] = np.nan
    steps.variances[:] = rng.uniform(0.1, 2.0, steps.variances.shape)
    steps.inputs[:] = rng.normal(size=steps.inputs.shape)
    steps.opened[count // 2, 1] = 0.8
    return steps


def picks(model, rows):
    """Outputs that are plain weighted sums of states."""
    return [Observation(f"y{k}", tuple(zip(model.names, map(float, row), strict=True))) for k, row in enumerate(rows)]


def close(a, b, cov_a, cov_b):
    sd = np.sqrt(np.diagonal(cov_b, axis1=-2, axis2=-1))
    assert np.all(np.abs(a - b) <= 1e-9 * sd)
    assert np.all(np.abs(cov_a - cov_b) <= 1e-9 * sd[..., :, None] * sd[..., None, :])


@pytest.mark.parametrize("seed", range(4))
def test_compiled_engine_equals_filterpy_with_gaps(seed):
    rng = np.random.default_rng(seed)
    model = random_model(rng)
    steps = random_steps(rng, model, 200)
    packed = Packed.of(model)
    gate = Gate(3.0, np.full(5, 4.0))
    a = compiled(model, packed, Belief.prior(model), steps, gate, True)
    b = filterpy(model, packed, Belief.prior(model), steps, gate, True)
    assert np.array_equal(np.isnan(a.spread), np.isnan(b.spread))
    assert np.array_equal(a.spread < 0, b.spread < 0)
    assert (a.spread < 0).any(), "the gate must have worked in this test"
    close(a.mean, b.mean, a.cov, b.cov)
    assert a.loglik == pytest.approx(b.loglik, rel=1e-10)


def test_filter_equals_filterpys_own_batch_filter():
    """filterpy untouched by our adapter: vector update of all channels at once, no gaps."""
    rng = np.random.default_rng(7)
    model = random_model(rng)
    steps = random_steps(rng, model, 100)
    steps.readings[:] = rng.normal(size=steps.readings.shape)
    steps.variances[:] = 0.3
    steps.opened[:] = 0.0
    a = compiled(model, Packed.of(model), Belief.prior(model), steps, WIDE, True)
    kf = KalmanFilter(dim_x=5, dim_z=3)
    kf.x, kf.P, kf.F, kf.Q = model.mean.reshape(5, 1), model.cov.copy(), model.transition, model.noise
    kf.R, kf.B = 0.3 * np.eye(3), model.input_matrix
    kf.H = np.array([model.row(dict(o.linear)) for o in model.observations])
    mean, cov, _, _ = kf.batch_filter(list(steps.readings[:, :, None]), us=list(steps.inputs[:, :, None]))
    close(a.mean, mean[:, :, 0], a.cov, cov)


def test_products_and_covariates_agree_between_engines():
    rng = np.random.default_rng(3)
    block = Block(
        ("t", "d", "beta"),
        ("K", "1", "1"),
        np.diag([-0.1, 0.0, 0.0]),
        np.diag([0.1, 1e-4, 0.0]),
        np.array([2.0, 0.0, 0.5]),
        np.diag([1.0, 0.09, 1.0]),
    )
    model = StateSpace.assemble(
        [block],
        [Observation("z", (("t", 1.5),), (("t", "d", 1.5),), (("beta", "kv", 0.7),), constant=0.2)],
        1.0,
        ("kv",),
    )
    steps = random_steps(rng, model, 60)
    steps.covariates[:] = rng.normal(size=steps.covariates.shape)
    a = compiled(model, Packed.of(model), Belief.prior(model), steps, WIDE, True)
    b = filterpy(model, Packed.of(model), Belief.prior(model), steps, WIDE, True)
    close(a.mean, b.mean, a.cov, b.cov)
    assert np.any(a.row[:, 0, 1] != a.row[1, 0, 1]), "the product's slope must follow the estimate"


@pytest.mark.parametrize("seed", range(3))
def test_smoother_equals_joint_gaussian(seed):
    rng = np.random.default_rng(seed)
    model = random_model(rng, n=3, m=2)
    steps = random_steps(rng, model, 25)
    rows = np.vstack([np.eye(3), rng.normal(size=(1, 3))])
    reference = 6
    got = smooth(model, Belief.prior(model), steps, picks(model, rows), reference=reference, gate=WIDE)
    H = np.array([model.row(dict(o.linear)) for o in model.observations])
    mean, cov = posterior(
        model.transition,
        model.noise,
        model.mean,
        model.cov,
        H,
        steps.variances,
        steps.readings,
        steps.inputs @ model.input_matrix.T,
        steps.opened,
    )
    sd = np.sqrt(np.einsum("tata->ta", cov))
    assert np.all(np.abs(got.mean[:, :3] - mean) <= 1e-9 * sd)
    for t in range(25):
        want = rows @ cov[t, :, t, :] @ rows.T
        assert np.allclose(got.cov[t], want, rtol=1e-9, atol=1e-12)
        if t >= reference:
            assert np.allclose(got.cross[t], rows @ cov[reference, :, t, :] @ rows.T, rtol=1e-8, atol=1e-11)
    difference, variance = got.difference()
    c = rows[3]
    for t in range(reference, 25):
        full = cov[t, :, t, :] + cov[reference, :, reference, :] - cov[t, :, reference, :] - cov[reference, :, t, :]
        assert variance[t, 3] == pytest.approx(c @ full @ c, rel=1e-7, abs=1e-10)
        assert difference[t, 3] == pytest.approx(c @ (mean[t] - mean[reference]), rel=1e-8, abs=1e-9)


def test_chunks_change_nothing(monkeypatch):
    rng = np.random.default_rng(11)
    model = random_model(rng)
    steps = random_steps(rng, model, 90)
    whole = smooth(model, Belief.prior(model), steps, picks(model, np.eye(5)), reference=40, gate=WIDE)
    monkeypatch.setattr("models.smoother.CHUNK_BYTES", 17 * 8 * (len(model.names) + len(model.channels)) * 16)
    parts = smooth(model, Belief.prior(model), steps, picks(model, np.eye(5)), reference=40, gate=WIDE)
    assert np.allclose(whole.mean, parts.mean, rtol=1e-10, atol=1e-12)
    assert np.allclose(whole.cross, parts.cross, rtol=1e-9, atol=1e-12)


def test_step_by_step_equals_all_at_once():
    rng = np.random.default_rng(5)
    model = random_model(rng)
    steps = random_steps(rng, model, 40)
    packed, once, single = Packed.of(model), Belief.prior(model), Belief.prior(model)
    compiled(model, packed, once, steps, WIDE)
    for t in range(40):
        compiled(model, packed, single, steps.part(t, t + 1), WIDE)
    assert np.array_equal(once.mean, single.mean)
    assert np.array_equal(once.cov, single.cov)


def walk(q, r):
    return StateSpace.assemble(
        [Block(("x",), ("1",), np.zeros((1, 1)), np.array([[q]]), np.zeros(1), np.array([[100.0]]))],
        [Observation("z", (("x", 1.0),), step_states=("x",))],
        1.0,
    ), r


def test_one_outlier_is_left_out_and_a_step_is_followed():
    model, r = walk(0.01, 1.0)
    rng = np.random.default_rng(0)
    z = rng.normal(size=200)
    z[60] += 30.0
    z[120:] += 20.0
    steps = Steps.empty(model, 200)
    steps.readings[:, 0], steps.variances[:] = z, r
    record = compiled(model, Packed.of(model), Belief.prior(model), steps, Gate(5.0, np.array([400.0])), True)
    assert record.spread[60, 0] < 0
    assert abs(record.mean[61, 0]) < 1.0
    assert list(np.flatnonzero(record.spread[115:130, 0] < 0)) == [5, 6]
    assert abs(record.mean[123, 0] - 20.0) < 2.0


def test_smoother_finds_steps_too_small_for_the_gate():
    model, r = walk(1e-4, 1.0)
    rng = np.random.default_rng(1)
    z = rng.normal(size=400)
    z[150:] += 3.0
    steps = Steps.empty(model, 400)
    steps.readings[:, 0], steps.variances[:] = z, r
    got = smooth(model, Belief.prior(model), steps, picks(model, np.eye(1)), step_states={"x": (1.0, 3.0)})
    assert [(state, abs(t - 150) <= 1) for t, state, _ in got.steps] == [("x", True)]
    assert got.steps[0][2] == pytest.approx(3.0, abs=0.6)
    truth = np.where(np.arange(400) >= 150, 3.0, 0.0)
    plain = smooth(model, Belief.prior(model), steps, picks(model, np.eye(1)))
    rms = lambda s: float(np.sqrt(np.mean((s.mean[:, 0] - truth) ** 2)))  # noqa: E731
    assert rms(got) < 0.5 * rms(plain)
    quiet = Steps.empty(model, 400)
    quiet.readings[:, 0], quiet.variances[:] = rng.normal(size=400), r
    assert smooth(model, Belief.prior(model), quiet, picks(model, np.eye(1)), step_states={"x": (1.0, 3.0)}).steps == ()


@pytest.mark.parametrize("engine", [compiled, filterpy])
@pytest.mark.parametrize("prefix", ["fkf_", "fkf_na_"])
def test_fkf_on_the_nile(prefix, engine):
    """Filtered states of R's FKF for the local level on the Nile, complete and with observations 3 and 10 missing."""
    reference = json.loads(data_file("kalman/fkf_nile_reference.json").read_text())
    flow = np.loadtxt(data_file("kalman/nile.csv"), delimiter=",", skiprows=1, usecols=1)
    missing = prefix == "fkf_na_"
    if missing:
        flow[[2, 9]] = np.nan
    q, r = reference[prefix + "HHt"], reference[prefix + "GGt"]
    model, _ = walk(q, r)
    steps = Steps.empty(model, len(flow))
    steps.readings[:, 0], steps.variances[:] = flow, r
    steps.opened[0, 0] = -q  # FKF's prior is the prediction for the first observation; ours is the belief before it
    belief = Belief(np.array([reference["fkf_a0"]]), np.array([[reference["fkf_P0"]]]), np.zeros(1, dtype=np.int64))
    record = engine(model, Packed.of(model), belief, steps, WIDE, True)
    head = "first15" if missing else "first10"
    for key, part in ((head, slice(0, int(head[5:]))), ("last5", slice(-5, None))):
        sd = np.sqrt(record.cov[part, 0, 0])
        assert np.all(np.abs(record.mean[part, 0] - reference[f"{prefix}att_{key}"]) <= 1e-9 * sd)
    variance = record.cov[: int(head[5:]), 0, 0]
    assert np.all(np.abs(variance - reference[f"{prefix}Ptt_{head}"]) <= 1e-9 * variance)
    assert abs(record.cov[99, 0, 0] - reference[f"{prefix}Ptt_100"]) <= 1e-9 * record.cov[99, 0, 0]
    if not missing:
        assert record.loglik == pytest.approx(reference["fkf_logLik"], abs=1e-9)


@pytest.mark.parametrize("dt", [0.5, 60.0, 3600.0])
def test_discretisation_of_stiff_models_equals_quadrature(dt):
    """States of 1 s and of 3 h side by side: Q by integrating exp(F s) W exp(F s)' with the eigenvectors."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3, 3))
    rates = np.array([-1.0, -1.0 / 60.0, -1.0 / 10800.0])
    drift = vectors @ np.diag(rates) @ np.linalg.inv(vectors)
    root = rng.normal(size=(3, 3))
    a, q, b = discretise(drift, root @ root.T, np.ones((3, 1)), dt)
    inverse = np.linalg.inv(vectors)
    assert np.allclose(a, vectors @ np.diag(np.exp(rates * dt)) @ inverse, rtol=1e-9, atol=1e-12)
    inner = inverse @ root @ root.T @ inverse.T
    total = rates[:, None] + rates[None, :]
    want = vectors @ (inner * np.expm1(total * dt) / total) @ vectors.T
    assert np.allclose(q, want, rtol=1e-8, atol=1e-9 * np.abs(want).max())
    assert np.allclose(b[:, 0], vectors @ (np.expm1(rates * dt) / rates * (inverse @ np.ones(3))), rtol=1e-8)
