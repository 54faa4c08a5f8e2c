"""Evidence about time constants against the likelihood of the joint Gaussian, and what it does to records of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from models.bank_evidence import APART, Shapes, _Evidence, _likelihood, banks_of, with_evidence
from models.engine import Belief, Gate, Steps
from models.focal import random_walk, warmup_bank
from models.smoother import smooth
from models.statespace import Observation, StateSpace

WIDE = Gate(1e9)
RANGE_S = (300.0, 10800.0)
DT, SIGMA, WALK = 60.0, 1.0, 0.004


def machine(axes=1):
    """Marker(s) that see a bank, a walk and an offset [px]."""
    blocks, observations = [], []
    for axis in "uvw"[:axes]:
        bank = warmup_bank(f"{axis}.warmup", "px", 20.0, RANGE_S)
        blocks += [bank, random_walk(f"{axis}.walk", "px", WALK), random_walk(f"{axis}.offset", "px", 0.0, 1e3)]
        terms = [*bank.names, f"{axis}.walk", f"{axis}.offset"]
        observations.append(Observation(f"z{axis}", tuple((name, 1.0) for name in terms)))
    return StateSpace.assemble(blocks, observations, DT)


def record(model, course, seed, count=400):
    rng = np.random.default_rng(seed)
    steps = Steps.empty(model, count)
    t = DT * np.arange(1, count + 1)
    walk = np.cumsum(WALK * np.sqrt(DT) * rng.normal(size=count))
    steps.readings[:, 0] = 500.0 + course(t) + walk + SIGMA * rng.normal(size=count)
    steps.variances[:] = SIGMA**2
    return steps, t


def drift_of(model, prior, steps):
    """Smoothed warm-up of the first axis and its σ, both relative to the last step."""
    bank = Observation("warm", tuple((name, 1.0) for name in model.names if name.startswith("u.warmup.")))
    found = smooth(model, prior, steps, [bank], reference=0, gate=WIDE)
    mean, variance = found.difference()
    return mean[:, 0], np.sqrt(variance[:, 0])


def residual(model, prior, steps, course, t):
    error = drift_of(model, prior, steps)[0] - course(t)
    return float(np.std(error))


def one(t):
    return -10.0 * np.exp(-t / 2000.0)


def test_evidence_is_the_likelihood_of_the_record():
    """Differences of log evidence between priors of the amplitudes, against the density of all readings at once."""
    model = machine()
    steps, t = record(model, one, 1, count=60)
    bank = banks_of(model)[0]
    index, unit = np.array(bank.states), np.full(6, bank.sigma)
    information, pull = _likelihood(model, Belief.prior(model), steps, WIDE, [bank], index, unit)
    evidence = _Evidence(information, pull, np.eye(6), slice(0, 6), Shapes(bank.tau))
    members = np.exp(-t[:, None] / bank.tau) * bank.sigma
    rest = 1e6 + WALK**2 * np.minimum.outer(t, t) + SIGMA**2 * np.eye(len(t))
    shape = Shapes(bank.tau).of(np.log(2000.0))
    priors = [np.eye(6), 6.0 * np.outer(shape, shape) + 1e-4 * np.eye(6), np.diag([1.0, 0.0, 0.0, 4.0, 0.0, 0.0])]
    want = [
        multivariate_normal(np.zeros(len(t)), members @ v @ members.T + rest).logpdf(steps.readings[:, 0])
        for v in priors
    ]
    got = [evidence.of(v) for v in priors]
    assert np.diff(got) == pytest.approx(np.diff(want), abs=1e-3)


def test_one_exponential_is_told_and_found_better():
    model, gains = machine(), []
    for seed in range(8):
        steps, t = record(model, one, seed)
        prior = with_evidence(model, Belief.prior(model), steps, WIDE)
        gains.append((residual(model, prior, steps, one, t), residual(model, Belief.prior(model), steps, one, t)))
    ours, bank = np.sqrt(np.mean(np.square(gains), axis=0))
    assert ours < 0.8 * bank


@pytest.mark.parametrize(
    ("course", "price"),
    [
        (lambda t: -8.0 * np.exp(-t / 400.0) - 8.0 * np.exp(-t / 9000.0), 1.05),
        (lambda t: 15.0 * np.exp(-t / 500.0) - 15.0 * np.exp(-t / 5000.0), 1.05),  # overshoot: signs differ
        (lambda t: -10.0 / (1.0 + t / 1500.0), 1.15),  # nearly one exponential: what the prior for one costs
        (lambda t: 0.0 * t, 1.05),
    ],
    ids=["two", "overshoot", "hyperbola", "none"],
)
def test_what_one_exponential_does_not_explain_keeps_its_bank(course, price):
    model, errors, inside = machine(), [], []
    for seed in range(8):
        steps, t = record(model, course, 50 + seed)
        prior = with_evidence(model, Belief.prior(model), steps, WIDE)
        errors.append(
            (residual(model, prior, steps, course, t), residual(model, Belief.prior(model), steps, course, t))
        )
        mean, sigma = drift_of(model, prior, steps)
        error = mean - (course(t) - course(t)[0])
        inside.append(np.mean(np.abs(error[1:]) <= 1.96 * sigma[1:]))
    ours, bank = np.sqrt(np.mean(np.square(errors), axis=0))
    assert ours <= price * bank
    assert np.mean(inside) >= 0.85  # eight records whose errors hang together


def test_axes_have_time_constants_of_their_own():
    model = machine(2)
    steps, t = record(model, one, 5)
    other = -6.0 * np.exp(-t / 6000.0)
    steps.readings[:, 1] = 80.0 + other + SIGMA * np.random.default_rng(6).normal(size=len(t))
    prior = with_evidence(model, Belief.prior(model), steps, WIDE)
    tau = banks_of(model)[0].tau
    for start, wanted in ((0, 2000.0), (8, 6000.0)):
        cov = prior.cov[start : start + 6, start : start + 6]
        shape = np.linalg.eigh(cov)[1][:, -1]
        course = np.exp(-t[:, None] / tau) @ shape
        found = -1.0 / np.polyfit(t[:60], np.log(course[:60] / course[0]), 1)[0]
        assert found == pytest.approx(wanted, rel=0.3)
    assert prior.cov[0, 8] == 0.0


def test_a_belief_that_is_no_prior_stays():
    """A snapshot's belief, a bank re-armed within the record, a record without readings."""
    model = machine()
    steps, _ = record(model, one, 3)
    known = Belief.prior(model)
    known.cov[0, 0] *= 0.5
    armed = Steps.empty(model, len(steps))
    armed.readings[:] = steps.readings
    armed.opened[50, :6] = 1.0
    for prior, given in ((known, steps), (Belief.prior(model), armed), (Belief.prior(model), Steps.empty(model, 20))):
        found = with_evidence(model, prior, given, WIDE)
        assert np.array_equal(found.cov, prior.cov)
        assert np.array_equal(found.mean, prior.mean)


def test_little_is_left_beside_one_exponential():
    model = machine()
    steps, _ = record(model, one, 2)
    cov = with_evidence(model, Belief.prior(model), steps, WIDE).cov[:6, :6] / banks_of(model)[0].sigma ** 2
    values = np.linalg.eigvalsh(cov)
    assert np.all(values[:4] < (3.0 * APART[0]) ** 2)
    assert values[-1] > 1.0
