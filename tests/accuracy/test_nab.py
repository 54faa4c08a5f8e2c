"""The consistency alarm on two public records with labelled failures (Numenta Anomaly Benchmark), through `ctwin replay`.

Windows: labels/combined_windows.json of numenta/NAB. Calibration: NAB's probationary period, 15 % of a record but at most 750
rows (getProbationPeriod in nab/util.py); 15 % of the machine's 22 695 rows would contain its first failure.
"""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest

from models.engine import Belief, compiled
from models.packing import Packed
from tests.real_data import ROOT, data_file
from twin.align import Aligner
from twin.assembly import assemble
from twin.channels import channels_of
from twin.cli import main
from twin.config import load
from twin.vectorise import Vectoriser

EXAMPLE = ROOT / "examples" / "machine-temperature.toml"
PROBATION = 750
# the office's room, hourly: the same file with the most likely values of its own probationary period
OFFICE = {
    "grid_s = 300.0": "grid_s = 3600.0", "late_s = 300.0": "late_s = 3600.0",
    "random_walk_k_per_sqrt_h = 1.5": "random_walk_k_per_sqrt_h = 0.31", "stale_after_s = 3600.0": "stale_after_s = 14400.0",
}  # fmt: skip


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def record(name: str) -> list[tuple[float, float]]:
    path = data_file(f"nab/{name}_temperature_system_failure.csv")
    with path.open(newline="") as file:
        return [(seconds(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]


def windows(name: str) -> list[tuple[float, float]]:
    found = json.loads(data_file("nab/combined_windows.json").read_text())
    return [(seconds(a), seconds(b)) for a, b in found[f"realKnownCause/{name}_temperature_system_failure.csv"]]


def configured(folder, name: str):
    text = EXAMPLE.read_text(encoding="utf-8")
    for old, new in (OFFICE if name == "ambient" else {}).items():
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def episodes(folder, name: str) -> list[tuple[float, float]]:
    """Begin and end of each alarm model-does-not-fit, found by the command itself."""
    rows = record(name)
    log = folder / f"{name}.csv"
    log.write_text("time,channel,value\n" + "".join(f"{t!r},t_machine,{v!r}\n" for t, v in rows))
    out = folder / "out"
    assert main(["replay", str(configured(folder, name)), "--readings", str(log), "--out", str(out)]) == 0
    found: list[tuple[float, float]] = []
    for line in (out / "alerts.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["transition"] == "raised":
            found.append((event["time_s"], rows[-1][0]))
        elif event["transition"] == "returned":
            found[-1] = (found[-1][0], event["time_s"])
    return found


def log_likelihood(config, rows) -> float:
    """Of readings at their gate's worst, so that outliers don't decide."""
    machine, channel = assemble(config), channels_of(config)["t_machine"]
    aligner = Aligner(config.estimator.grid_s, config.estimator.late_s)
    readings = [channel.admit(time, value) for time, value in rows]
    vectors = [*aligner.add(readings), *aligner.flush()]
    steps = Vectoriser(machine, lambda *_: None).steps(vectors)
    found = compiled(machine.model, Packed.of(machine.model), Belief.prior(machine.model), steps, machine.gate)
    v, s = found.innovation[:, 0], np.abs(found.spread[:, 0])
    return float(np.nansum(-0.5 * np.log(2.0 * np.pi * s) - 0.5 * np.minimum(v * v / s, 25.0)))


@pytest.mark.parametrize("name", ["machine", "ambient"])
def test_the_example_is_calibrated_on_the_probationary_period_alone(tmp_path, name):
    """Neither σ nor the walk, a fifth larger or smaller, is likelier on the first 750 rows."""
    config, rows = load(configured(tmp_path, name)), record(name)[:PROBATION]
    assert rows[-1][0] < windows(name)[0][0]
    best = log_likelihood(config, rows)
    (node,), (channel,) = config.nodes, config.channels
    for factor in (0.8, 1.25):
        walk = node.model_copy(update={"random_walk_k_per_sqrt_h": node.random_walk_k_per_sqrt_h * factor})
        sigma = channel.model_copy(update={"sigma": channel.sigma * factor})
        assert log_likelihood(config.model_copy(update={"nodes": (walk,)}), rows) < best
        assert log_likelihood(config.model_copy(update={"channels": (sigma,)}), rows) < best


@pytest.mark.slow
def test_alarms_on_the_failing_machine(tmp_path, capsys):
    """All four windows have an alarm, three of them one that begins there; how many lie outside is told, not hidden.

    The first begins ten hours before its window and reaches into it. Alarms at random would begin in a window with
    a probability of 0.3 each, so that three of four are evidence, but not much of it.
    """
    found, wanted = episodes(tmp_path, "machine"), windows("machine")
    begun = [[a for a, _ in found if begin <= a <= end] for begin, end in wanted]
    standing = [any(a <= end and b >= begin for a, b in found) for begin, end in wanted]
    outside = [a for a, b in found if not any(a <= end and b >= begin for begin, end in wanted)]
    days = (record("machine")[-1][0] - record("machine")[0][0]) / 86400.0
    pairs = zip(begun, wanted, strict=True)
    delays = ", ".join(f"{(times[0] - begin) / 3600:.1f} h" if times else "-" for times, (begin, _) in pairs)
    with capsys.disabled():
        print(
            f"\nmachine: {len(found)} alarms in {days:.0f} days; in {sum(standing)} of 4 windows, begun after {delays}"
        )
        print(
            f"  {len(outside)} outside; one stands for {sum(b - a for a, b in found) / 864.0 / days:.0f} % of the time"
        )
    assert all(standing)
    assert sum(bool(times) for times in begun) >= 3
    assert len(outside) <= 8
    # an alarm that always stands would be in every window, too
    assert sum(b - a for a, b in found) < 0.15 * days * 86400.0


@pytest.mark.slow
def test_gaps_in_the_offices_record_raise_no_alarm(tmp_path, capsys):
    """Ten gaps of 2 hours to 7 days; the filter's variance grows in them, and charts look at readings only."""
    found, rows, wanted = episodes(tmp_path, "ambient"), record("ambient"), windows("ambient")
    gaps = [(a, b) for (a, _), (b, _) in pairwise(rows) if b - a > 3600.0]
    assert len(gaps) == 10
    with capsys.disabled():
        hit = sum(any(a <= end and b >= begin for a, b in found) for begin, end in wanted)
        print(f"\noffice: {len(found)} alarms, {hit} of 2 windows, in {(rows[-1][0] - rows[0][0]) / 86400:.0f} days")
    assert not [a for a, _ in found if any(begin <= a <= end + 86400.0 for begin, end in gaps)]
    assert len(found) <= 1
