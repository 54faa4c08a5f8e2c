"""The whole machine: scenario and configuration in, readings and truth out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from twin.config import Config, ConfigError
from twin.simulate.flux import FluxLaw
from twin.simulate.heat import Array
from twin.simulate.instruments import World, record
from twin.simulate.motion import Parts, bar_cells, bodies, motions
from twin.simulate.projection import View
from twin.simulate.run import FineTruth, Frames, Run, Truth
from twin.simulate.scenario import Scenario
from twin.simulate.spot import SpotLaw
from twin.simulate.streams import stream
from twin.simulate.surroundings import CELSIUS, room_k, surroundings_k
from twin.simulate.tube import programme

START_S = datetime(2026, 1, 5, 18, tzinfo=UTC).timestamp()


def simulate(config: Config, scenario: Scenario, seed: int, start_s: float = START_S) -> Run:
    """Run a machine from the beginning of its lead-in to the end of its scan.

    Heat is conducted along the scenario's bars by finite differences; the displaced source, object, markers and
    detector are projected by exact perspective. What an exposure sees is the machine at its middle: motion *within* an
    exposure is left out (true while the drift per exposure is small against a pixel).

    Parameters
    ----------
    config : Config
        Geometry, scan, markers and channels: what the operator has written down.
    scenario : Scenario
        What really happens.
    seed : int
        All chance follows from it.
    start_s : float
        Start of the scan [s since 1970]; the run begins ``lead_h`` before.

    Raises
    ------
    ConfigError
        When configuration and scenario don't fit together.
    """
    problems = list(_misfits(config, scenario))
    if problems:
        raise ConfigError([f"scenario {scenario.name}: {line}" for line in problems])
    dt = scenario.step_s
    frames = plan_frames(config, start_s)
    begin = start_s - scenario.lead_h * 3600.0
    end = start_s + config.scan.duration_h * 3600.0
    first = begin - scenario.settle_h * 3600.0 - dt
    last = float(frames.time[-1])
    grid = np.asarray(first + dt * np.arange(int(np.ceil((max(last, end) - first) / dt)) + 2), dtype=np.float64)

    tube = programme(scenario.tube, config, start_s)
    room = room_k(scenario.room, grid, start_s, seed)
    temperatures = surroundings_k(scenario, room, tube.power_w(grid), grid, seed)
    cells = {bar.name: bar_cells(bar, temperatures, dt) for bar in scenario.bars}
    reference_k = CELSIUS + scenario.room.mean_degc
    moving = motions(config, scenario, cells, reference_k, grid, (begin, start_s), tube, seed)
    flux = FluxLaw(scenario, config, tube, moving["source"], start_s, seed)

    spot = SpotLaw(scenario.spot, config, grid, start_s, seed)

    shuttle = scenario.flux.shuttle_px
    shuttle_px = np.round(stream(seed, "shuttle").uniform(-shuttle, shuttle, len(frames.time)))
    frame_moved = {body: motion.at(frames.time).total for body, motion in moving.items()}
    frame_flux = flux.at(frames.time, shuttle_px)
    world = World(
        config, scenario, grid, (begin, start_s, end), temperatures, cells, tube, flux, frames, frame_moved,
        frame_flux, shuttle_px, spot.fwhm_um(frames.time),
    )  # fmt: skip
    parts = {body: motion.at(frames.time[frames.is_projection]) for body, motion in moving.items()}
    visible = grid[(grid >= begin) & (grid <= end)]
    seen = np.searchsorted(grid, visible)
    return Run(
        config=config,
        scenario=scenario,
        seed=seed,
        begin_s=begin,
        scan_start_s=start_s,
        end_s=end,
        record=record(world, seed),
        frames=frames,
        truth=_truth(config, frames, parts, frame_flux),
        fine=FineTruth(
            visible,
            {body: motion.at(visible).total for body, motion in moving.items()},
            {name: values[seen] for name, values in temperatures.items()},
            flux.at(visible),
        ),
        parts=parts,
        frame_moved_m=frame_moved,
        flux_counts=frame_flux,
        shuttle_px=shuttle_px,
        spot_fwhm_um=spot.fwhm_um(frames.time),
    )


def plan_frames(config: Config, start_s: float) -> Frames:
    """Frames of the planned scan, spread evenly over its duration; over one turn.

    A flat is taken before every ``flat_every``-th projection, and one right after the scan.
    """
    scan = config.scan
    kinds = []
    for k in range(scan.projections):
        if k and scan.flat_every and k % scan.flat_every == 0:
            kinds.append("flat")
        kinds.append("projection")
    slot = scan.duration_h * 3600.0 / len(kinds)
    exposure = scan.exposure_s * scan.frames
    if exposure > slot:
        raise ConfigError(
            [f"scan.duration_h: {scan.duration_h} h is too short for {len(kinds)} frames of {exposure:g} s each"]
        )
    kind = np.array([*kinds, "flat"])
    time = np.asarray(start_s + slot * np.arange(len(kind)) + 0.5 * exposure, dtype=np.float64)
    shown = kind == "projection"
    index = np.where(shown, np.cumsum(shown), np.cumsum(~shown)) - 1
    # a flat has no angle of its own: the stage stands where the projection before it was taken
    turned = np.asarray(360.0 * np.maximum(np.cumsum(shown) - 1, 0) / scan.projections, dtype=np.float64)
    return Frames(index.astype(np.int64), time, turned, kind)


def _truth(config: Config, frames: Frames, parts: dict[str, Parts], frame_flux: Array) -> Truth:
    view, shown = View.of(config), frames.is_projection
    source, thing, detector = (parts[body].total for body in ("source", "object", "detector"))
    axis_px = view.point_px(view.axis_m, np.zeros(2), thing, source, detector)
    scale = view.magnification(source, thing, detector)
    flux = frame_flux[shown]

    def moved_um(body: Array) -> Array:
        return np.asarray(((body - detector) - (body - detector)[0]) * 1e6)

    return Truth(
        frames.index[shown],
        frames.time[shown],
        frames.angle_deg[shown],
        moved_um(source),
        moved_um(thing),
        np.zeros_like(source),
        axis_px - axis_px[0],
        scale / scale[0],
        flux / flux[0] if flux[0] > 0 else np.full_like(flux, np.nan),
    )


def _misfits(config: Config, scenario: Scenario) -> Iterator[str]:
    known = {*bodies(config), *(f"marker:{m.name}" for m in config.markers)}
    riding = {f"marker:{m.name}" for m in config.markers if m.mounted_on == "object"}
    for key, body in (
        *((f"bar[{bar.name}].body", bar.body) for bar in scenario.bars),
        *(("drift", b) for b in scenario.drift),
    ):
        if body not in known:
            yield f"{key}: the configuration has no {body!r}; it has {', '.join(sorted(known))}"
        elif body in riding:
            yield f"{key}: {body!r} rides on the object, so it can't move by itself"
    names = {m.name for m in config.markers}
    for marker in scenario.markers:
        if marker.name not in names:
            there = ", ".join(sorted(names)) or "none"
            yield f"marker[{marker.name}]: the configuration has none of that name; it has {there}"
