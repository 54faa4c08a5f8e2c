"""Strategies of hypothesis: the blocks that assemblies are made of, models of them, and what may happen to such a model."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from models.engine import Steps
from models.focal import harmonic, integrated_walk, ornstein_uhlenbeck, random_walk, warmup_bank
from models.statespace import Block, Observation, StateSpace
from models.thermal import ThermalNode, network

SCALE = st.sampled_from([0.0, 1e-3, 0.1, 1.0, 30.0])
SIZE = st.sampled_from([1e-2, 1.0, 50.0])
SECONDS = st.sampled_from([0.3, 7.0, 600.0, 2e4])


def thermal(daily: bool, link: float, lag: float) -> Block:
    nodes = [
        ThermalNode("ambient", daily_k=0.5 if daily else 0.0, walk_k_per_sqrt_s=0.01),
        ThermalNode("tube", 900.0, 0.8, walk_k_per_sqrt_s=0.001),
        ThermalNode("stage", 7200.0, capacity_j_per_k=900.0),
    ]
    return network(nodes, [("tube", "stage", link)], [("t", "stage", lag)])


@st.composite
def dense(draw: st.DrawFn) -> Block:
    """Any coupling that does not run away, noise of any rank, two inputs."""
    n = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    root = rng.normal(size=(n, draw(st.integers(1, n)))) * draw(SIZE)
    coupling = rng.normal(size=(n, n))
    coupling -= (np.linalg.eigvals(coupling).real.max() + 0.1) * np.eye(n)
    return Block(
        tuple(f"dense{i}" for i in range(n)),
        ("1",) * n,
        coupling / draw(SECONDS),
        root @ root.T,
        rng.normal(size=n),
        np.diag(rng.uniform(0.0, 2.0, n)),
        {"tube_power": rng.normal(size=n), "push": rng.normal(size=n)},
    )


BLOCKS = {
    "walk": st.builds(random_walk, st.just("walk"), st.just("m"), SCALE, SCALE),
    "constant": st.builds(random_walk, st.just("constant"), st.just("px"), st.just(0.0), SIZE),
    "wander": st.builds(ornstein_uhlenbeck, st.just("wander"), st.just("m"), SIZE, SECONDS),
    "rate": st.builds(integrated_walk, st.just("rate"), st.just("m"), SCALE, SCALE, SCALE),
    "warm": st.builds(warmup_bank, st.just("warm"), st.just("m"), SIZE, st.just((300.0, 1e4))),
    "ripple": st.builds(harmonic, st.just("ripple"), st.just("1"), SIZE, SECONDS, SCALE),
    "thermal": st.builds(thermal, st.booleans(), st.sampled_from([0.0, 0.05, 3.0]), SECONDS),
    "dense": dense(),
}


@st.composite
def models(draw: st.DrawFn, products: bool = False) -> StateSpace:
    """A few blocks, seen by one to four channels; with ``products`` one channel may see a product of two states."""
    kinds = draw(st.lists(st.sampled_from(sorted(BLOCKS)), min_size=1, max_size=3, unique=True))
    blocks = [draw(BLOCKS[kind]) for kind in kinds]
    states = [name for block in blocks for name in block.names]
    weight = st.sampled_from([-2.0, -0.3, 1.0, 5.0])
    observations = []
    for j in range(draw(st.integers(1, 4))):
        seen = draw(st.lists(st.sampled_from(states), min_size=1, max_size=3, unique=True))
        pairs = ((states[0], states[-1], 0.1),) if products and len(states) > 1 and draw(st.booleans()) else ()
        observations.append(
            Observation(
                f"z{j}",
                tuple((state, draw(weight)) for state in seen),
                pairs,
                ((seen[0], "kv", 0.7),) if draw(st.booleans()) else (),
                draw(st.sampled_from([0.0, 293.15])),
                draw(st.sampled_from([0.0, 0.1])),
                (seen[0],),
            )
        )
    return StateSpace.assemble(blocks, observations, draw(st.sampled_from([0.5, 10.0, 120.0])), ("kv",))


@st.composite
def happenings(draw: st.DrawFn, model: StateSpace, most: int = 40, least: int = 1) -> Steps:
    """Readings of any size and σ, gaps, inputs, covariates, and states opened anew."""
    count = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    steps = Steps.empty(model, count)
    steps.readings[:] = rng.normal(size=steps.readings.shape) * 10.0 ** rng.uniform(-2, 4, steps.readings.shape)
    steps.readings[rng.random(steps.readings.shape) < draw(st.sampled_from([0.0, 0.4, 0.9, 1.0]))] = np.nan
    low = draw(st.sampled_from([-2.0, 0.0]))
    steps.variances[:] = 10.0 ** rng.uniform(low, low + 4.0, steps.variances.shape)
    steps.inputs[:] = rng.normal(size=steps.inputs.shape)
    steps.covariates[:] = rng.normal(size=steps.covariates.shape)
    opened = rng.random(steps.opened.shape) < draw(st.sampled_from([0.0, 0.05]))
    steps.opened[opened] = draw(SIZE)
    return steps
