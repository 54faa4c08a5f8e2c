"""A machine simulated by explicit steps of its equations (physics.md §1, §2), with parameters of its own.

Euler steps of the heat balance, the marker's motion written out by hand, walks as sums of independent steps. Shares no code
with the product: only the configuration's text, from which a test starts, is the product's business.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEP_S = 1.0
SOD, SDD, PIXEL = 10e-3, 400e-3, 50e-6
WATT = 8.0

# what the person who wrote the configuration believed
CONFIG = """ctwin = 1

[system]
name = "bench"

[geometry]
source_object_mm = 10.0
source_detector_mm = 400.0
pixel_um = 50.0
columns = 1000
rows = 1000

[source]
spot_fwhm_um = [1.0, 1.0]
voltage_kv = 80.0
current_ua = 100.0

[scan]
projections = 1000
exposure_s = 30.0
duration_h = 10.0
resolution_limit_um = 2.0

[estimator]
grid_s = 60.0

# The room is measured, the tube head too; nobody has a thermometer on the stage.
[[node]]
name = "ambient"
random_walk_k_per_sqrt_h = 0.2
[[node]]
name = "target"
time_constant_min = 20.0            # from the tube's manual
kelvin_per_watt = 0.8
random_walk_k_per_sqrt_h = 0.05
[[node]]
name = "stage"
time_constant_min = 90.0
random_walk_k_per_sqrt_h = 0.02

[[element]]
body = "source"
node = "target"
material = "aluminium"
length_mm = 60.0                    # measured with a ruler
direction = [0.3, 1.0, 0.0]
sensitivity_sigma = 0.3
[[element]]
body = "object"
node = "stage"
material = "stainless-304"
length_mm = 80.0
direction = [0.0, 1.0, 0.0]
sensitivity_sigma = 0.3

[drift.source]
random_walk_um_per_sqrt_h = [0.1, 0.1, 0.0]

[[marker]]
name = "near"
kind = "cross"
source_marker_mm = 12.0
[[marker]]
name = "sample"
kind = "cross"
source_marker_mm = 10.0
mounted_on = "object"

[[sensor]]
name = "log"
kind = "csv"
path = "readings.csv"

[[channel]]
name = "t_room"
sensor = "log"
quantity = "temperature"
unit = "degC"
at = "ambient"
sigma = 0.02
[[channel]]
name = "t_target"
sensor = "log"
quantity = "temperature"
unit = "degC"
at = "target"
lag_s = 120.0
sigma = 0.02
[[channel]]
name = "near_u"
sensor = "log"
quantity = "marker_shift"
unit = "px"
marker = "near"
axis = "u"
sigma = 0.1
[[channel]]
name = "near_v"
sensor = "log"
quantity = "marker_shift"
unit = "px"
marker = "near"
axis = "v"
sigma = 0.1
[[channel]]
name = "sample_v"
sensor = "log"
quantity = "marker_shift"
unit = "px"
marker = "sample"
axis = "v"
sigma = 0.1
[[channel]]
name = "kv"
sensor = "log"
quantity = "voltage"
unit = "kV"
[[channel]]
name = "ua"
sensor = "log"
quantity = "current"
unit = "uA"
"""


@dataclass(frozen=True)
class Truth:
    """How the machine really is; the defaults are what CONFIG says."""

    target_min: float = 20.0
    stage_min: float = 90.0
    kelvin_per_watt: float = 0.8
    source: float = 1.0  # factor on 60 mm of aluminium
    object: float = 1.0  # factor on 80 mm of stainless steel
    lag_s: float = 120.0
    room_noise: float = 0.02
    target_noise: float = 0.02
    near_noise: float = 0.1
    sample_noise: float = 0.1
    room_walk: float = 0.2
    target_walk: float = 0.05
    stage_walk: float = 0.02
    source_walk: float = 0.1

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Truth:
        """Within the priors that a calibration starts from, and narrower where those are wide on purpose."""

        def about(value: float, factor: float) -> float:
            return float(value * np.exp(np.log(factor) * rng.normal()))

        return cls(
            about(20.0, 1.5), about(90.0, 1.5), about(0.8, 1.5), 1.0 + 0.3 * rng.normal(), 1.0 + 0.3 * rng.normal(),
            about(120.0, 1.5), about(0.02, 1.5), about(0.02, 1.5), about(0.1, 1.5), about(0.1, 1.5),
            about(0.2, 1.5), about(0.05, 1.5), about(0.02, 1.5), about(0.1, 1.5),
        )  # fmt: skip


def switching(hours: float) -> list[tuple[float, bool]]:
    """Tube off for 2 h, on for 4 h, again and again."""
    return [(float(h), k % 2 == 1) for k, h in enumerate(np.cumsum([0, *([2, 4] * int(hours // 6 + 1))])) if h < hours]


def run(truth: Truth, rng: np.random.Generator, hours: float, power: list[tuple[float, bool]]) -> list[tuple]:
    """Readings ``(time, channel, value)`` in the channels' own units; one per channel and minute."""
    count = int(hours * 3600 / STEP_S)
    per_step = np.sqrt(STEP_S / 3600.0)
    room, target, stage, felt = 21.0, 21.0 + 3.0 * rng.normal(), 21.0 + rng.normal(), 21.0
    if power[0][1]:
        target = room + truth.kelvin_per_watt * WATT
    felt = target
    source = np.zeros(2)
    near_at, sample_at = rng.uniform(300, 700, 2), rng.uniform(300, 700, 2)
    phase = rng.uniform(0, 2 * np.pi)
    begin = 1.77e9
    wrong = 0.2 * rng.normal(size=2)  # no two thermometers agree
    out: list[tuple] = []
    swing_before = 0.0
    for k in range(count):
        seconds = (k + 1) * STEP_S
        on = [state for hour, state in power if hour * 3600.0 < seconds][-1]
        watt = WATT if on else 0.0
        swing = 0.5 * np.sin(2 * np.pi * seconds / 86400.0 + phase)
        if k == 0:
            swing_before = swing
        d_target = (room - target + truth.kelvin_per_watt * watt) / (truth.target_min * 60.0)
        d_stage = (room - stage) / (truth.stage_min * 60.0)
        d_felt = (target - felt) / truth.lag_s
        noise = rng.normal(size=5) * per_step
        room += swing - swing_before + truth.room_walk * noise[0]
        target += d_target * STEP_S + truth.target_walk * noise[1]
        stage += d_stage * STEP_S + truth.stage_walk * noise[2]
        felt += d_felt * STEP_S
        source += truth.source_walk * 1e-6 * noise[3:5]
        swing_before = swing
        if seconds % 60.0 >= STEP_S:
            continue
        grown = truth.source * 23e-6 * 60e-3 * (target - 20.0)
        s = source + grown * np.array([0.3, 1.0])
        o = np.array([0.0, truth.object * 17e-6 * 80e-3 * (stage - 20.0)])
        ratio = SDD / 12e-3
        near = near_at - (ratio - 1.0) * s / PIXEL
        ratio = SDD / SOD
        sample = sample_at + (-(ratio - 1.0) * s + ratio * o) / PIXEL
        e = rng.normal(size=5)
        time = begin + seconds
        out += [
            (time, "t_room", room + wrong[0] + truth.room_noise * e[0]),
            (time, "t_target", felt + wrong[1] + truth.target_noise * e[1]),
            (time, "near_u", near[0] + truth.near_noise * e[2]),
            (time, "near_v", near[1] + truth.near_noise * e[3]),
            (time, "sample_v", sample[1] + truth.sample_noise * e[4]),
            (time, "kv", 80.0 if on else 0.0),
            (time, "ua", 100.0 if on else 0.0),
        ]
    return out
