"""The estimator and the trackers against other libraries, how cost grows, how far it is from the limit; ``make bench``.

Prints tables and writes ``benchmarks.json``, a list of ``{"name", "readings", "ours_s", "peer", "peer_s", "ratio"}``
where ratio is the peer's time over ours, and ``benchmarks.png``, the cost against states and channels. A job is filtering,
or filtering and smoothing, of the same course: means and covariances of all states at all steps. Ours and the peer take
turns; the best of several rounds counts. Nothing is timed before the answers have been seen to agree.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import filterpy
import numpy as np
import statsmodels

from models import engine as e
from models.packing import Packed
from models.smoother import smooth
from models.statespace import Observation
from tests.benchmarks.growth import growth, year
from tests.benchmarks.limit import limit
from tests.benchmarks.patch_registration import patch_registration
from tests.benchmarks.peers import Filterpy, Statsmodels
from tests.benchmarks.scan_corrections import scan_corrections
from tests.benchmarks.sphere_tracking import sphere_tracking
from tests.benchmarks.systems import course, large, small
from tests.benchmarks.wire_tracking import wire_tracking
from twin.assembly import Machine

STEPS, ROUNDS, MISSING = 2000, 9, 0.3
OUT, PICTURE = Path("benchmarks.json"), Path("benchmarks.png")
AGREE = 1e-6  # σ; exactness to 1e-9 is a test of its own (tests/accuracy)


@dataclass(frozen=True)
class Pair:
    """One job, done by us and by a peer."""

    name: str
    readings: str
    ours_s: float
    peer: str
    peer_s: float
    ratio: float


class Ours:
    """The jobs as the product does them."""

    def __init__(self, machine: Machine, steps: e.Steps) -> None:
        self._model, self._steps = machine.model, steps
        self._packed = Packed.of(machine.model)
        self._gate = replace(machine.gate, sigma=1e9)  # peers know no gate
        self._states = tuple(Observation(name, ((name, 1.0),)) for name in machine.model.names)

    def filter(self) -> tuple[np.ndarray, np.ndarray]:
        """Filtered mean (T, n) and covariance (T, n, n)."""
        record = e.compiled(self._model, self._packed, e.Belief.prior(self._model), self._steps, self._gate, True)
        return record.mean, record.cov

    def smooth(self) -> tuple[np.ndarray, np.ndarray]:
        """Smoothed mean (T, n) and covariance (T, n, n)."""
        out = smooth(
            self._model, e.Belief.prior(self._model), self._steps, self._states, reference=None, gate=self._gate
        )
        return out.mean, out.cov


def clock(job: Callable[[], object]) -> float:
    begin = time.perf_counter()
    job()
    return time.perf_counter() - begin


def duel(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Best time of each; they take turns, so that a busy machine is unfair to both."""
    times = [(clock(ours), clock(theirs)) for _ in range(ROUNDS)]
    return min(t for t, _ in times), min(t for _, t in times)


def apart(ours: tuple[np.ndarray, np.ndarray], theirs: tuple[np.ndarray, np.ndarray]) -> float:
    """Largest difference of means in σ."""
    variance = np.diagonal(ours[1], axis1=1, axis2=2)
    return float((np.abs(ours[0] - theirs[0]) / np.sqrt(np.maximum(variance, 1e-300))).max())


def pairs() -> Iterator[Pair]:
    for size, machine in (("12x4", small()), ("30x40", large())):
        for readings, share in (("full", 0.0), ("masked", MISSING)):
            steps = course(machine.model, STEPS, share)
            ours = Ours(machine, steps)
            peers = [
                Filterpy(machine.model, steps),
                Statsmodels(machine.model, steps, univariate=False),
                Statsmodels(machine.model, steps, univariate=True),
            ]
            for job in ("filter", "smooth"):
                mine = getattr(ours, job)
                found: dict[str, Pair] = {}
                for peer in peers:
                    theirs = getattr(peer, job)
                    distance = apart(mine(), theirs())
                    if not distance < AGREE:
                        sys.exit(
                            f"{job}-{size} {readings}: ours and {peer.name} are {distance:.1e} σ apart, so times mean nothing"
                        )
                    own, other = duel(mine, theirs)
                    pair = Pair(f"{job}-{size}", readings, own, peer.name, other, other / own)
                    # of a peer's own methods the faster one counts
                    if peer.name not in found or pair.peer_s < found[peer.name].peer_s:
                        found[peer.name] = pair
                yield from found.values()


def main() -> int:
    print(
        f"{STEPS} steps, best of {ROUNDS}; filterpy {filterpy.__version__}, statsmodels {statsmodels.__version__} "
        f"(tolerance 0); masked: {MISSING:.0%} of the readings are missing"
    )
    print(f"{'job':<14}{'readings':<10}{'ours':>14}{'peer':>14}{'ratio':>8}  peer")
    done = []
    for pair in pairs():
        done.append(pair)
        scale = 1e6 / STEPS
        print(
            f"{pair.name:<14}{pair.readings:<10}{pair.ours_s * scale:>8.2f} µs/st{pair.peer_s * scale:>8.2f} µs/st"
            f"{pair.ratio:>8.1f}  {pair.peer}",
            flush=True,
        )
    OUT.write_text(json.dumps([asdict(pair) for pair in done], indent=1) + "\n", encoding="utf-8")
    print(limit(large()), flush=True)
    print(growth(PICTURE), flush=True)
    print(year(large()), flush=True)
    print(scan_corrections(), flush=True)
    print(wire_tracking(), flush=True)
    print(sphere_tracking(), flush=True)
    print(patch_registration(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
