"""The σ that check predicts against what corrections really miss, on machines drawn from the configuration's own prior."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri

from tests.oracles.prior_machine import course, readings
from twin.assembly import assemble
from twin.config import Config
from twin.correct import correct
from twin.preview import preview
from twin.profiles import load_profile
from twin.scan import Scan
from twin.sections import ChannelSection, Marker

SETUPS = ("one wire", "wire and temperatures", "two markers")
OUT = ("source.u", "source.v", "object.u", "object.v", "shift.u", "shift.v")
PROJECTIONS = 200
GRID_S = 11 * 3600.0 / PROJECTIONS  # one projection per step: what lies between two readings is another question
BEGIN_S = 1e7 * GRID_S


def setup(name: str) -> Config:
    """The fxe160-submicron with other markers and channels, on a coarse grid so that hundreds of scans take seconds."""
    config = load_profile("fxe160-submicron")
    coarse: dict[str, Any] = {
        "estimator": config.estimator.model_copy(update={"grid_s": GRID_S}),
        "scan": config.scan.model_copy(update={"projections": PROJECTIONS}),
        "drift": config.drift.model_copy(
            update={"source": config.drift.source.model_copy(update={"steps_per_day": 0.0, "step_um": (0.0, 0.0, 0.0)})}
        ),
    }
    marked = tuple(c for c in config.channels if c.quantity == "marker_shift")
    thermometers = tuple(
        c.model_copy(update={"period_s": GRID_S, "sigma": 0.02 * (10.0 / GRID_S) ** 0.5})
        for c in config.channels
        if c.quantity == "temperature"
    )
    tube = tuple(
        c.model_copy(update={"period_s": GRID_S}) for c in config.channels if c.quantity in ("voltage", "current")
    )
    if name == "one wire":
        return config.model_copy(update={**coarse, "channels": (*tube, *marked)})
    if name == "wire and temperatures":
        return config.model_copy(update={**coarse, "channels": (*tube, *thermometers, *marked)})
    markers = (
        Marker(name="frame", kind="cross", source_marker_mm=0.6, mount_random_walk_um_per_sqrt_h=0.03),
        Marker(
            name="holder",
            kind="cross",
            source_marker_mm=0.52,
            mounted_on="object",
            mount_random_walk_um_per_sqrt_h=0.02,
        ),
    )
    channels = tuple(
        ChannelSection(
            name=f"{m.name}_{axis}",
            sensor="twin-ct",
            quantity="marker_shift",
            unit="px",
            marker=m.name,
            axis=axis,
            sigma=0.05,
        )
        for m in markers
        for axis in ("u", "v")
    )
    elements = tuple(e for e in config.elements if not e.body.startswith("marker:"))
    return config.model_copy(
        update={**coarse, "markers": markers, "channels": (*tube, *channels), "elements": elements}
    )


def empirical(config: Config, runs: int, seed: int = 1) -> tuple[dict[str, float], dict[str, float]]:
    """rms over runs and scan of what corrections missed, and of the σ that they state [µm, px]."""
    machine, scan_h = assemble(config), config.scan.duration_h
    begin = config.scan.conditioning_h * 3600.0
    times = begin + np.arange(config.scan.projections) * GRID_S
    count = len(times)
    scan = Scan(
        "drawn", np.arange(count), BEGIN_S + times, np.linspace(0.0, 360.0, count), np.array(["projection"] * count)
    )
    g = config.geometry
    m = g.source_detector_mm / g.source_object_mm
    missed, stated = np.zeros(len(OUT)), np.zeros(len(OUT))
    even = ndtri((np.arange(runs) + 0.5) / runs)
    shuffle = np.random.default_rng([seed, 2])
    tilts = np.stack([shuffle.permutation(even) for _ in range(4 * len(config.elements))], axis=-1)
    for k in range(runs):
        rng = np.random.default_rng([seed, 3, k])
        true = course(config, begin / 3600.0 + scan_h, rng, tilts[k].reshape(-1, 4))
        seen = readings(config, true, BEGIN_S, times, rng)
        found = correct(machine, [seen], scan).correction
        source, thing = (1e6 * true.at(times, true.moved[b]) for b in ("source", "object"))
        shift = (m * thing - (m - 1.0) * source)[:, :2] / g.pixel_um
        truth = np.column_stack([source[:, :2], thing[:, :2], shift])
        told = np.column_stack([found.source_um[:, :2], found.object_um[:, :2], found.shift_px])
        sigma = np.column_stack([found.source_um_std[:, :2], found.object_um_std[:, :2], found.shift_px_std])
        missed += ((told - (truth - truth[0])) ** 2).mean(axis=0) / runs
        stated += (sigma**2).mean(axis=0) / runs
    return (
        dict(zip(OUT, np.sqrt(missed).tolist(), strict=True)),
        dict(zip(OUT, np.sqrt(stated).tolist(), strict=True)),
    )


@pytest.fixture(scope="module", params=SETUPS)
def figures(request) -> tuple[str, dict[str, float], dict[str, float]]:
    """Set-up, what check predicts for it, and what corrections of 250 drawn machines missed."""
    config = setup(request.param)
    return request.param, preview(config, courses=48).posterior, empirical(config, 250)[0]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("output", OUT)
def test_what_corrections_miss_is_what_check_predicts(figures, output):
    name, predicted, came = figures
    if (name, output) == ("one wire", "shift.u"):
        # one number for spot and mount, both sensitivities unknown: linearised, it seems to tell nothing of the image's
        # shift along u, and what is stated is the prior; in truth it tells a little. 12 % too wide, never too narrow
        assert 0.8 * predicted[output] <= came[output] <= predicted[output]
    else:
        assert came[output] == pytest.approx(predicted[output], rel=0.1)
