"""Corrections of a whole scan: how many times the cost of filtering alone, and what memory does as the scan gets longer."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models import engine as e
from models.packing import Packed
from sensors.reading import Reading
from twin.assembly import Machine, assemble
from twin.core import Twin
from twin.correct import collect, correct
from twin.profiles import load_profile
from twin.scan import Scan

PROJECTIONS, HOURS, RUN_UP_S, T0 = 3000, (8.5, 34.0, 102.0), 7200.0, 1.7e9
SI = {"temperature": (294.15, 0.01), "marker_shift": (0.0, 1.25), "flux": (2000.0, 5.0), "voltage": (60e3, 0.0),
      "current": (1e-4, 0.0)}  # fmt: skip


def scan_of(hours: float) -> Scan:
    """3000 projections over a turn."""
    k = np.arange(PROJECTIONS)
    times = T0 + RUN_UP_S + (k + 0.5) * hours * 3600.0 / PROJECTIONS
    return Scan("bench", k, times, 360.0 / PROJECTIONS * k, ("projection",) * PROJECTIONS)


def readings(machine: Machine, scan: Scan) -> Iterator[list[Reading]]:
    """Every channel at its period, markers and flux in each projection; in batches of a minute."""
    rng, times = np.random.default_rng(7), scan.time
    for begin in np.arange(T0, times[-1], 60.0):
        batch = []
        seen = times[(times >= begin) & (times < begin + 60.0)]
        for channel in machine.config.channels:
            value, sigma = SI[channel.quantity]
            at = seen if channel.period_s is None else np.arange(begin, begin + 60.0, channel.period_s) + 0.1
            noise = sigma * rng.standard_normal(len(at))
            batch += [
                Reading(channel.name, float(t), value + float(n), sigma or np.nan)
                for t, n in zip(at, noise, strict=True)
            ]
        yield sorted(batch, key=lambda reading: reading.time)


def peak_mb(hours: float) -> float:
    """Largest memory of a process of its own that corrects such a scan [MB]."""
    command = [sys.executable, "-m", "tests.benchmarks.scan_corrections", str(hours)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return float(done.stdout.split()[-1])


def scan_corrections() -> str:
    """A table in words."""
    machine = assemble(load_profile("xrm2-nanoct"))
    scan = scan_of(34.0)
    batches = list(readings(machine, scan))
    twin = Twin(machine.config)
    twin.vectoriser.turn_with(scan)
    begin = time.perf_counter()
    steps, _ = collect(twin.aligner, twin.vectoriser, batches)
    taken_in = time.perf_counter() - begin
    model, packed = machine.model, Packed.of(machine.model)
    alone = []
    for _ in range(4):  # the first compiles
        begin = time.perf_counter()
        e.compiled(model, packed, e.Belief.prior(model), steps, machine.gate, False)
        alone.append(time.perf_counter() - begin)
    whole = []
    for _ in range(2):
        begin = time.perf_counter()
        correct(machine, batches, scan)
        whole.append(time.perf_counter() - begin)
    filtering, total = min(alone), min(whole)
    memory = [peak_mb(hours) for hours in HOURS]
    return (
        f"corrections of {PROJECTIONS} projections over 34 h, {len(steps)} steps of {model.step_s:g} s, "
        f"{len(model.names)} states: {total:.1f} s, {total / filtering:.0f} times filtering alone ({filtering:.2f} s); "
        f"of that taking in {sum(map(len, batches))} readings {taken_in:.1f} s\n"
        "peak memory of the process: "
        + ", ".join(f"{mb:.0f} MB for {hours:g} h" for hours, mb in zip(HOURS, memory, strict=True))
    )


if __name__ == "__main__":
    machine, scan = assemble(load_profile("xrm2-nanoct")), scan_of(float(sys.argv[1]))
    correct(machine, readings(machine, scan), scan)
    # not ru_maxrss, which begins with what the process had that started this one
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    sys.stdout.write(f"{int(status['VmHWM'].split()[0]) / 1024:.1f}\n")
