"""Scans of a nano-measuring machine (real_data: bev) and a model of its drift, put together from the product's models.

The same lines are measured again in the next scan, so the difference of two scans is drift. A body follows the sample's
thermometer with one time constant, a frame that nobody measures follows the air with another; both expand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from models.engine import Belief, Gate, Steps, compiled
from models.focal import random_walk
from models.identify import Identified, Parameter, identify
from models.likelihood import Case, innovations
from models.packing import Packed
from models.smoother import smooth
from models.statespace import Block, Observation, StateSpace
from models.thermal import ThermalNode, network
from tests.real_data import data_file

# Seconds from line to line: of L2_15 the mean of the 1000 stamps in its .dsc files, of L2_16 (no stamps; lines half as long
# at the same speed, there and back at 100 µm/s) the same overhead of 4.55 s.
LINE_S = {"L2_15": 204.55, "L2_16": 104.55}
SCANS = {"L2_15": 2, "L2_16": 3}
AIR, SAMPLE, BODY, FRAME = (f"temperature.{node}" for node in ("ambient", "sample", "body", "frame"))
TEMPERATURE_SIGMA = 0.01 / 12**0.5  # the sensors resolve 10 mK [K]
START_SIGMA = 0.05  # of body and frame about thermometer and air when a run begins [K]


@dataclass(frozen=True)
class Scan:
    """Position [nm], air (mean of three sensors) and sample temperature [°C] per line."""

    position: np.ndarray
    air: np.ndarray
    sample: np.ndarray


@dataclass(frozen=True)
class Pair:
    """Two scans of a run, counted from 0."""

    run: str
    first: int
    second: int

    @property
    def difference(self) -> np.ndarray:
        """Drift from the first to the second [nm]."""
        scans = scans_of(self.run)
        return scans[self.second].position - scans[self.first].position

    @property
    def warming(self) -> np.ndarray:
        """Change of the sample's temperature [K]."""
        scans = scans_of(self.run)
        return scans[self.second].sample - scans[self.first].sample


# of L2_16 the two that follow each other; its pair 1–3 is their sum
PAIRS = (Pair("L2_15", 0, 1), Pair("L2_16", 0, 1), Pair("L2_16", 1, 2))
SUM = Pair("L2_16", 0, 2)

PARAMETERS = (
    Parameter("body_s", 3600.0, float(np.log(3.0))),
    Parameter("frame_s", 7200.0, float(np.log(3.0))),
    Parameter("body_nm_per_k", 0.0, 1000.0, positive=False),
    Parameter("frame_nm_per_k", 0.0, 1000.0, positive=False),
    Parameter("walk_nm_per_sqrt_h", 5.0, float(np.log(5.0))),
    Parameter("noise_nm", 2.0, float(np.log(5.0))),
)


@cache
def scans_of(run: str) -> list[Scan]:
    """All scans of a run; columns of a .pos file: x, y, z [m], air ×3, pressure, humidity, sample."""
    found = []
    for k in range(SCANS[run]):
        table = np.loadtxt(data_file(f"bev/T22-0263_{run}_{k + 1}.pos"))
        found.append(Scan(table[:, 2] * 1e9, table[:, 3:6].mean(axis=1), table[:, 8]))
    return found


def heat(values: Mapping[str, float], begin: Scan) -> Block:
    """Air and sample, both measured; a frame and a body that follow them, settled when a run begins."""
    block = network(
        [
            ThermalNode("ambient", walk_k_per_sqrt_s=0.05 / 60.0),
            ThermalNode("sample", walk_k_per_sqrt_s=0.05 / 60.0),
            ThermalNode("body", capacity_j_per_k=1.0),
            ThermalNode("frame", time_constant_s=values["frame_s"]),
        ],
        [],
    )
    # the body follows the sample's thermometer, which doesn't feel it
    drift = block.drift.copy()
    drift[2, 1], drift[2, 2] = 1.0 / values["body_s"], -1.0 / values["body_s"]
    sample, air = begin.sample[0], begin.air[0]
    return replace(
        block,
        drift=drift,
        mean=np.array([air, sample, sample, air]),
        cov=np.diag([0.01, 0.01, START_SIGMA, START_SIGMA]) ** 2,
    )


def temperatures(model: StateSpace, scan: Scan, columns: Sequence[int]) -> Steps:
    """Steps of a scan's lines with its two temperatures in the columns given."""
    steps = Steps.empty(model, len(scan.air))
    steps.readings[:, columns[0]], steps.readings[:, columns[1]] = scan.air, scan.sample
    steps.variances[:] = TEMPERATURE_SIGMA**2
    return steps


def at_begin(values: Mapping[str, float], run: str, number: int) -> Block:
    """The thermal states at the first line of a scan, after the scans before it."""
    scans = scans_of(run)
    block = heat(values, scans[0])
    seen = [Observation("air", ((AIR, 1.0),)), Observation("sample", ((SAMPLE, 1.0),))]
    model = StateSpace.assemble([block], seen, LINE_S[run])
    belief = Belief.prior(model)
    for scan in scans[:number]:
        compiled(model, Packed.of(model), belief, temperatures(model, scan, (0, 1)), Gate(np.inf))
    return replace(block, mean=belief.mean, cov=belief.cov)


def case_of(values: Mapping[str, float], pair: Pair) -> Case:
    """Both scans side by side, line by line, and what was measured of them."""
    blocks = []
    for number, tail in ((pair.first, "@1"), (pair.second, "@2")):
        block = at_begin(values, pair.run, number)
        blocks.append(replace(block, names=tuple(name + tail for name in block.names)))
    blocks.append(random_walk("offset", "nm", 0.0, 1e3))
    blocks.append(random_walk("walk", "nm", values["walk_nm_per_sqrt_h"] / 60.0))
    terms = {"offset": 1.0, "walk": 1.0}
    for tail, sign in (("@1", -1.0), ("@2", 1.0)):
        terms[BODY + tail] = sign * values["body_nm_per_k"]
        terms[FRAME + tail] = sign * values["frame_nm_per_k"]
    thermometers = [
        Observation(f"{name}{tail}", ((state + tail, 1.0),))
        for tail in ("@1", "@2")
        for name, state in (("air", AIR), ("sample", SAMPLE))
    ]
    model = StateSpace.assemble(blocks, [*thermometers, Observation("drift", tuple(terms.items()))], LINE_S[pair.run])
    scans = scans_of(pair.run)
    first = temperatures(model, scans[pair.first], (0, 1))
    second = temperatures(model, scans[pair.second], (2, 3))
    steps = replace(first, readings=np.fmax(first.readings, second.readings))
    steps.readings[:, 4], steps.variances[:, 4] = pair.difference, values["noise_nm"] ** 2
    return model, steps


@cache
def fit(pairs: tuple[Pair, ...], lag: bool = True) -> Identified:
    """Parameters from pairs; without ``lag`` the body has the thermometer's temperature (within 30 s)."""
    free = [p for p in PARAMETERS if lag or p.name != "body_s"]
    return identify(free, lambda values: [case_of({"body_s": 30.0, **values}, pair) for pair in pairs], profiles=False)


def loglik(pairs: tuple[Pair, ...], lag: bool = True) -> float:
    """Of all readings of the pairs, with the parameters fitted to them."""
    values = {"body_s": 30.0, **fit(pairs, lag).values()}
    return innovations([case_of(values, pair) for pair in pairs]).loglik


def predict(values: Mapping[str, float], pair: Pair) -> np.ndarray:
    """Drift of a pair from its temperatures alone [nm], but for an offset."""
    model, steps = case_of(values, pair)
    steps.readings[:, 4] = np.nan
    found = smooth(model, Belief.prior(model), steps, [model.observations[4]], gate=Gate(np.inf))
    return found.mean[:, 0]


def static_fit(pairs: Sequence[Pair]) -> float:
    """The peer: one slope [nm/K] on the sample's temperature, ordinary least squares, an offset per pair."""
    above = sum(float((p.warming - p.warming.mean()) @ p.difference) for p in pairs)
    return above / sum(float(np.sum((p.warming - p.warming.mean()) ** 2)) for p in pairs)


def rms(residual: np.ndarray) -> float:
    """Root mean square about the mean: the offset of the pair is free, for both methods."""
    return float(residual.std())
