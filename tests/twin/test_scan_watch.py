"""When scans begin and end: by a switch, by their projections alone, by an operator, by a file."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from sensors.reading import Quality, Reading
from tests.endtoend.small import small
from twin.scan import Scan
from twin.scan_watch import OPERATOR, ScanWatch, default_name

T0 = 1.7e9
SWITCH = '[[channel]]\nname = "busy"\nsensor = "lab"\nquantity = "scan"\nunit = "on"\n'
COUNTER = '[[channel]]\nname = "image"\nsensor = "lab"\nquantity = "projection"\nunit = "number"\n'


def watch(*channels: str, ends_after_min: float | None = 1.0) -> ScanWatch:
    config = small(more="".join(channels))
    if ends_after_min is not None:
        config = config.model_copy(update={"scan": config.scan.model_copy(update={"ends_after_min": ends_after_min})})
    return ScanWatch(config)


def busy(at: float, on: float) -> Reading:
    return Reading("busy", T0 + at, on)


def image(at: float, number: int) -> Reading:
    return Reading("image", T0 + at, float(number))


def told(followed: ScanWatch, readings: list[Reading], until: float, step: float = 5.0) -> list[tuple[str, float]]:
    """Begins and ends with their instants after T0, when the readings come all at once."""
    followed.take(readings)
    out = []
    for time in np.arange(T0, T0 + until, step):
        for change in followed.reach(float(time)):
            out.append(("ends" if change.scan is None else change.scan.name, change.time - T0))
    return out


def name(at: float) -> str:
    return default_name("small", T0 + at)


def test_a_switch_begins_and_ends_a_scan_whatever_the_images_do():
    followed = watch(SWITCH, COUNTER)
    readings = [busy(0, 0.0), image(3, 90), busy(10, 1.0), image(12, 0), image(14, 1), busy(15, 1.0), image(900, 2)]
    found = told(followed, [*readings, busy(1000, 0.0), image(1010, 3)], 1200.0)
    assert found == [(name(10), 10.0), ("ends", 1000.0)]


def test_projections_alone_begin_a_scan_and_their_silence_ends_it():
    followed = watch(COUNTER)
    found = told(followed, [*(image(10 + 6 * k, k) for k in range(20)), image(900, 40)], 1200.0)
    # 59 s after the newest of them nothing is said; 60 s after it the scan is over
    assert found == [(name(10), 10.0), ("ends", 10 + 6 * 19 + 60.0), (name(900), 900.0), ("ends", 960.0)]


def test_numbers_that_start_over_are_another_scan_and_an_image_retaken_is_not():
    followed = watch(COUNTER)
    readings = [*(image(6 * k, k) for k in range(8)), image(50, 5), image(52, 8)]  # 5 was taken again
    found = told(followed, [*readings, *(image(60 + 6 * k, k) for k in range(4))], 100.0)
    assert found[0] == (name(0), 0.0)
    assert found[1][0] == "ends"
    assert found[1][1] == pytest.approx(60.0, abs=1e-5)
    assert found[2] == (name(60), 60.0)
    assert followed.taken == 4


def test_without_channels_an_operators_scan_has_the_planned_projections_and_ends_with_the_plan():
    followed = watch()  # 60 projections in 0.1 h
    found = told(followed, [Reading(OPERATOR, T0 + 20.0, 1.0)], 200.0)
    assert found == [(name(20), 20.0)]
    assert (followed.taken, followed.running.total) == (29, 60)  # of 6 s each, in their middle
    assert told(followed, [], 600.0) == [("ends", 380.0)]
    found = told(followed, [Reading(OPERATOR, T0 + 700.0, 1.0), Reading(OPERATOR, T0 + 730.0, 0.0)], 900.0)
    assert found == [(name(700), 700.0), ("ends", 730.0)]


def test_an_announced_scan_goes_its_way_whatever_channels_say():
    followed = watch(SWITCH, COUNTER)
    frames = np.arange(10)
    followed.announce(Scan("ring", frames, T0 + 100.0 + 10.0 * frames, 36.0 * frames, ("projection",) * 10))
    assert followed.under_way is not None
    found = told(followed, [busy(50, 1.0), image(60, 1), busy(120, 0.0), busy(300, 1.0), busy(400, 0.0)], 500.0)
    assert [what for what, _ in found] == ["ring", "ends", name(300), "ends"]
    assert found[1][1] == pytest.approx(190.0, abs=1e-5)


@pytest.mark.parametrize(
    "reading",
    [
        Reading("busy", T0 + 10.0, 1.0, quality=Quality.INVALID),
        Reading("busy", T0 + 1e6, 1.0),  # 11 days ahead of its arrival
        Reading("t_room", T0 + 10.0, 1.0),
    ],
)
def test_what_cannot_be_believed_begins_nothing(reading):
    followed = watch(SWITCH)
    followed.take([reading], ingest=T0 + 11.0)
    assert list(followed.reach(T0 + 2e6)) == []


def some_course(chance: np.random.Generator) -> list[Reading]:
    """Images with gaps, retakes and restarts, and an operator who now and then says something."""
    out, at, number = [], 0.0, 0
    for _ in range(60):
        at += float(chance.choice([3.0, 6.0, 6.0, 6.0, 90.0], p=[0.1, 0.3, 0.3, 0.2, 0.1]))
        number = 0 if chance.random() < 0.05 else number + int(chance.integers(-1, 3))
        out.append(image(at, max(number, 0)))
        if chance.random() < 0.05:
            out.append(Reading(OPERATOR, T0 + at + 1.0, float(chance.integers(0, 2))))
    return out


@pytest.mark.parametrize("seed", range(30))
def test_neither_batches_nor_restarts_change_what_is_said(seed):
    chance = np.random.default_rng(seed)
    readings, sizes = some_course(chance), chance.integers(1, 9, 30).tolist()

    def followed(parts: list[list[Reading]], restarts: bool) -> list[object]:
        said, one, at = [], watch(COUNTER), T0
        for part in parts:
            one.take(part)
            newest = max(r.time for r in part)
            while at + 30.0 <= newest:  # as the estimator, which waits half a minute for what is late
                said += [(at, change.time, change.scan) for change in one.reach(at)]
                said.append((at, one.taken, None if one.running is None else one.running.name))
                at += 5.0
            if restarts:
                text = json.dumps(one.state())
                one = watch(COUNTER)
                one.restore(json.loads(text), lambda _: None)
        return said

    singly = [[reading] for reading in readings]
    parts, at = [], 0
    while at < len(readings):
        size = sizes[len(parts) % len(sizes)]
        parts.append(readings[at : at + size])
        at += size
    reference = followed(singly, restarts=False)
    assert followed(singly, restarts=True) == reference
    # with larger batches the same is said, a batch later
    assert followed(parts, restarts=True) == reference[: len(followed(parts, restarts=False))]


def test_an_announced_scan_survives_a_restart_and_yields_to_another():
    frames = np.arange(10)
    scan = Scan("ring", frames, T0 + 10.0 * frames, 36.0 * frames, ("projection",) * 10)
    one = watch(COUNTER)
    one.announce(scan)
    list(one.reach(T0 + 45.0))
    assert one.taken == 5
    state = json.loads(json.dumps(one.state()))
    again = watch(COUNTER)
    again.restore(state, {"ring": scan}.get)
    list(again.reach(T0 + 55.0))
    assert (again.running.name, again.taken) == ("ring", 6)
    lost = watch(COUNTER)
    lost.restore(state, lambda _: None)  # the store was pruned: nobody knows its projections
    assert [change.scan for change in lost.reach(T0 + 55.0)] == [None]
    other = watch(COUNTER)
    other.restore(state, {"ring": scan}.get)
    other.announce(Scan("next", frames, T0 + 200.0 + frames, 36.0 * frames, ("projection",) * 10))
    said = list(other.reach(T0 + 250.0))
    assert [change.scan and change.scan.name for change in said] == [None, "next", None]
    assert said[0].time == -math.inf
