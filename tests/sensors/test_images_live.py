"""Sightings of a folder being filled: each projection once however often the program dies, times, faults, restarts."""

from __future__ import annotations

import os
import random
from collections import Counter

import numpy as np
import pytest
import tifffile

from sensors.images import live as module
from sensors.images.follower import Follower, Found
from sensors.images.illumination import Illumination
from sensors.images.live import LiveFolder, open_tiff
from sensors.images.looking import Look, Looker, LookError
from sensors.images.region import Region
from sensors.images.times import TimesTable, Timing
from sensors.reading import Quality
from tests.sensors.image_folder import COLUMNS, ROWS, T0, data, name_of, place_of, stripe, use_centroid, write

WHOLE = Region(0, COLUMNS, 0, ROWS)
WIRE = Look("wire", "wire", WHOLE)


@pytest.fixture(autouse=True)
def _centroid(monkeypatch):
    use_centroid(monkeypatch)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def live(folder, clock, *, looks=(WIRE,), timing=None, patience_s=60.0, **how):
    looker = Looker(looks, Illumination(lambda path: open_tiff(path, "UTC"), **how))
    return LiveFolder(Follower(folder, "", patience_s), looks, looker, timing or Timing(), clock=clock)


def taken(one, clock, steps=2):
    """Sightings of some steps a second apart, all acknowledged."""
    out = []
    for _ in range(steps):
        clock.now += 1.0
        while seen := one.step():
            out += [sighting for _, sighting in seen]
            one.acknowledge()
    return out


def test_what_a_projection_says(tmp_path):
    clock = Clock()
    one = live(tmp_path, clock)
    for number in range(3):
        write(tmp_path, number)
    seen = taken(one, clock)
    assert [s.number for s in seen] == [0, 1, 2]
    assert [s.time for s in seen] == [T0 + 10.0 * k + k * 1e-6 for k in range(3)]
    for sighting in seen:
        assert set(sighting.values) == {"wire_n", "wire_angle", "wire_blur", "wire_contrast", "projection"}
        assert sighting.values["projection"].value == sighting.number
        assert sighting.values["wire_n"].value == pytest.approx(place_of(sighting.number), abs=0.01)
    assert one.words == "TIFF tag DateTime"


def test_what_was_not_acknowledged_comes_again(tmp_path):
    clock = Clock()
    one = live(tmp_path, clock)
    for number in range(5):
        write(tmp_path, number)
    one.step()
    clock.now += 1.0
    first = [s.number for _, s in one.step(2)]
    second = [s.number for _, s in one.step(2)]
    assert (first, second) == ([0, 1], [0, 1])
    one.acknowledge()
    assert [s.number for _, s in one.step(2)] == [2, 3]


def test_bad_files_are_told_by_their_cause_and_the_rest_goes_on(tmp_path, caplog):
    clock = Clock()
    one = live(tmp_path, clock)
    for number in range(8):
        write(tmp_path, number)
    (tmp_path / name_of(1)).write_bytes(b"")
    (tmp_path / name_of(2)).write_bytes(data(2)[:-40])
    (tmp_path / name_of(3)).write_bytes(b"this is a text file that somebody called an image")
    (tmp_path / name_of(4)).write_bytes(data(4, image=stripe(4, ROWS, COLUMNS + 1)))
    (tmp_path / name_of(5)).unlink()
    (tmp_path / name_of(5)).mkdir()
    seen = taken(one, clock)
    clock.now += 70.0
    seen += taken(one, clock)
    assert [s.number for s in seen] == [0, 6, 7]
    assert one.follower.drops == {"empty": 1, "truncated": 1, "unreadable": 2, "another_size": 1}
    assert caplog.text.count("left out") == 5
    assert all(name_of(k) in caplog.text for k in range(1, 6))
    (tmp_path / name_of(2)).write_bytes(data(2))
    assert [s.number for s in taken(one, clock, 3)] == [2]


def test_a_sparse_file_of_ten_gigabytes_holds_nothing_up(tmp_path):
    clock = Clock()
    one = live(tmp_path, clock)
    write(tmp_path, 0)
    with (tmp_path / name_of(1)).open("wb") as file:
        file.truncate(10 * 2**30)
    write(tmp_path, 2)
    seen = taken(one, clock)
    clock.now += 70.0
    assert [s.number for s in seen + taken(one, clock)] == [0, 2]
    assert sum(one.follower.drops.values()) == 1


def test_modification_times_differ_and_come_in_their_order(tmp_path):
    clock = Clock()
    one = live(tmp_path, clock, timing=Timing(exposure_s=4.0))
    for number, modified in ((0, T0), (1, T0 + 20), (2, T0 + 10), (3, T0 + 10), (4, T0 + 30)):
        write(tmp_path, number, tag=False, modified_s=modified)
    seen = taken(one, clock)
    assert [s.number for s in seen] == [0, 2, 3, 1, 4]
    times = [s.time for s in seen]
    assert times == pytest.approx([T0 - 2 + x for x in (0, 10, 10, 20, 30)], abs=1e-5)
    assert (np.diff(times) > 0).all()
    assert one.words == "modification time"


def test_a_cadence_counts_by_the_numbers_of_the_files(tmp_path):
    clock = Clock()
    one = live(tmp_path, clock, timing=Timing(cadence_s=7.0, start=1e9, exposure_s=2.0), patience_s=0.0)
    for number in (0, 1, 4):
        write(tmp_path, number)
    assert [s.time for s in taken(one, clock)] == [1e9 + 1, 1e9 + 8, 1e9 + 29]


def test_a_table_of_times_may_grow_with_the_scan(tmp_path):
    clock, table = Clock(), tmp_path / "times.csv"
    table.write_text(f"projection,time,angle_deg\n0,{T0 + 5},0.0\n1,{T0 + 9},0.5\n2,{T0}")
    one = live(tmp_path, clock, timing=Timing(TimesTable(table, growing=True)))
    for number in range(4):
        write(tmp_path, number)
    assert [s.time for s in taken(one, clock)] == [T0 + 5, T0 + 9]
    with table.open("a") as file:
        file.write("12.5,1.0\n")
    assert [s.time for s in taken(one, clock)] == [float(f"{T0}12.5")]
    clock.now += 70.0
    taken(one, clock)
    assert one.follower.drops == {"no_time": 1}


def test_a_window_outside_the_image_ends_it(tmp_path):
    clock = Clock()
    one = live(tmp_path, clock, looks=(Look("wire", "wire", Region(0, 20, 0, ROWS + 1)),))
    write(tmp_path, 0)
    one.step()
    clock.now += 1.0
    with pytest.raises(LookError, match="window 0:20,0:13 of wire lies outside its 12 rows and 40 columns"):
        one.step()


def test_a_marker_is_found_as_soon_as_it_shows(tmp_path):
    clock = Clock()
    one = live(tmp_path, clock, looks=(Look("wire", "wire"),))
    (tmp_path / name_of(0)).write_bytes(data(0, image=np.full((ROWS, COLUMNS), 900, np.uint16)))
    write(tmp_path, 1)
    seen = taken(one, clock)
    assert seen[0].fixes["wire"].reason == "not found"
    assert seen[0].values["wire_n"].quality is Quality.INVALID
    assert one.looker.windows == {"wire": Region(4, COLUMNS - 4, 0, ROWS)}
    assert seen[1].values["wire_n"].value == pytest.approx(place_of(1) - 4, abs=0.01)


def test_a_bad_bright_image_ends_it(tmp_path):
    clock = Clock()
    tifffile.imwrite(tmp_path / "bright.tif", np.ones((ROWS, COLUMNS + 2), np.uint16))
    one = live(tmp_path, clock, flat=tmp_path / "bright.tif")
    write(tmp_path, 0)
    one.step()
    clock.now += 1.0
    with pytest.raises(LookError, match=r"bright.tif: flat and projections differ in size \(12 × 42 and 12 × 40 px\)"):
        one.step()


def test_trackers_see_the_first_images_again_after_a_restart(tmp_path, monkeypatch):
    clock = Clock()
    for number in range(5 * module.PRIMING):
        write(tmp_path, number)
    one = live(tmp_path, clock)
    one.follower.skip([name_of(k) for k in range(5 * module.PRIMING - 1)])
    seen = []
    monkeypatch.setattr(
        Looker, "look", lambda self, series, position, angle: seen.append(series.contents.frames[0].place) or {}
    )
    monkeypatch.setattr(module, "values_of", lambda looks, fixes: {})
    assert [s.number for s in taken(one, clock)] == [5 * module.PRIMING - 1]
    assert len(seen) == module.PRIMING + 1
    assert [path.rpartition("_")[2] for path in (seen[0], seen[-2], seen[-1])] == [
        "00000.tif",
        "00318.tif",
        "00319.tif",
    ]


class Journal:
    """What a service keeps: readings by channel and time, committed before they are acknowledged."""

    def __init__(self):
        self.rows, self.newest = Counter(), -np.inf

    def take(self, sightings):
        for sighting in sightings:
            if self.rows[sighting.time]:
                continue  # as twin.history drops what it holds
            self.rows[sighting.time] += 1
            self.newest = max(self.newest, sighting.time)


@pytest.mark.parametrize("tag", [True, False], ids=["tags", "modification times"])
@pytest.mark.parametrize("seed", range(3))
def test_each_projection_once_over_deaths_at_any_moment(tmp_path, monkeypatch, seed, tag):
    """Files half-written, late and out of order; the program dies between reading, committing and acknowledging."""
    chance, clock, journal = random.Random(seed), Clock(), Journal()
    look = Found.look

    def look_by_the_clock(self, *how):
        look(self, *how)
        self.arrived_ns = self.modified_ns  # the time of arrival can't be set, and is that of the system's slow ticks

    monkeypatch.setattr(Found, "look", look_by_the_clock)
    count = 60
    order = sorted(range(count), key=lambda k: k + chance.choice([0, 0, 0, 2.5, 4.2, 30.5]))
    halves: dict[int, bytes] = {}
    one, marks = live(tmp_path, clock, patience_s=5.0), {}

    def put(number, part):
        path = tmp_path / name_of(number)
        with path.open("ab") as file:
            file.write(part)
        os.utime(path, (0, T0 + clock.now - chance.random()))

    deaths = 0
    while order or halves or len(journal.rows) < count:
        clock.now += 1.0
        assert clock.now < 2000, f"only {len(journal.rows)} of {count} came"
        if halves and chance.random() < 0.3:
            finished = chance.choice(sorted(halves))
            put(finished, halves.pop(finished))
        for number in [order.pop(0) for _ in range(min(chance.randint(0, 2), len(order)))]:
            whole = data(number, tag=tag)
            cut = chance.choice([0, len(whole), len(whole), len(whole), len(whole) // 2])
            put(number, whole[:cut])
            if cut < len(whole):
                halves[number] = whole[cut:]
        try:
            while seen := one.step(4):
                new = [s for file, s in seen if "wire" not in marks or not marks["wire"].holds(file, s.time)]
                if chance.random() < 0.15:
                    raise KeyboardInterrupt  # read, not committed
                journal.take(new)
                if chance.random() < 0.15:
                    raise KeyboardInterrupt  # committed, not acknowledged
                one.acknowledge()
        except KeyboardInterrupt:
            deaths += 1
            one = live(tmp_path, clock, patience_s=5.0)
            marks = one.passed({"wire": journal.newest})
    assert deaths > 3
    if tag:
        assert sorted(journal.rows) == [T0 + 10.0 * k + k * 1e-6 for k in range(count)]
    assert len(journal.rows) == count
