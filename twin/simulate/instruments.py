"""Instruments: what they show of the truth, with lag, noise, quantisation, losses, silence, outliers, clock jitter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sensors.channel import Channel
from twin.config import Config, ConfigError
from twin.sections import ChannelSection, Marker
from twin.simulate.flux import FluxLaw
from twin.simulate.heat import Array, follow
from twin.simulate.projection import View, wire_normal
from twin.simulate.run import Frames, IntArray, Record
from twin.simulate.scenario import ROOM, Instrument, Scenario
from twin.simulate.spot import penumbra_px
from twin.simulate.streams import stream
from twin.simulate.tube import TubeProgramme

AMBIENT = "ambient"
ANALYSIS_S = 5.0  # a projection is evaluated a few seconds after it is complete


@dataclass(frozen=True, slots=True)
class World:
    """Everything an instrument can look at."""

    config: Config
    scenario: Scenario
    grid: Array
    span: tuple[float, float, float]  # begin of the lead-in, start and end of the scan
    temperature_k: Mapping[str, Array]
    cells: Mapping[str, Array]
    tube: TubeProgramme
    flux: FluxLaw
    frames: Frames
    moved_m: Mapping[str, Array]  # per frame
    flux_counts: Array  # per frame
    shuttle_px: Array  # per frame
    spot_fwhm_um: Array  # per frame, along u and v


def record(world: World, seed: int) -> Record:
    """Readings of all channels of the configuration, in order of delivery."""
    # accelerometers bring waveforms, not values: the kind "shaker" plays them
    sections = [section for section in world.config.channels if section.quantity != "acceleration"]
    channels = tuple(section.noun for section in sections)
    pieces = [_observe(world, section, channel, seed) for section, channel in zip(sections, channels, strict=True)]
    if not pieces:
        raise ConfigError(["channel: the configuration has none, so there is nothing to simulate; add a [[channel]]"])
    index = np.concatenate([np.full(len(piece[0]), k, dtype=np.int64) for k, piece in enumerate(pieces)])
    joined = (np.concatenate(column) for column in zip(*pieces, strict=True))
    time, delivered, value, sigma, projection, wrong = joined
    order = np.lexsort((index, time, delivered))
    columns = (time, delivered, value, sigma, projection, wrong)
    return Record(channels, index[order], *(column[order] for column in columns))


def _observe(world: World, section: ChannelSection, channel: Channel, seed: int) -> tuple[Any, ...]:
    instrument = world.scenario.instrument(section.name)
    rng = stream(seed, f"instrument {section.name}")
    time, projection = _instants(world, section, instrument, rng)
    value, relative = _shown(world, section, instrument, channel, time, seed)
    noise = instrument.noise if instrument.noise is not None else (section.sigma or 0.0)
    per_frame = section.quantity in ("marker_shift", "marker_blur", "flux")
    if per_frame and noise == 0.0:
        raise ConfigError(
            [f"channel[{section.name}].sigma: missing; give it, or a noise in the scenario's [[instrument]]"]
        )
    sigma = noise * relative
    # every random number is drawn whether it is used or not, so that switching one fault on moves no other
    value = value + instrument.bias + sigma * rng.standard_normal(len(time))
    wrong = rng.random(len(time)) < instrument.outliers
    throw = rng.choice([-1.0, 1.0], len(time)) * rng.uniform(0.5, 1.5, len(time)) * instrument.outlier_size * sigma
    value = np.where(wrong, value + throw, value)
    if instrument.quantum > 0:
        value = np.round(value / instrument.quantum) * instrument.quantum
    keep = rng.random(len(time)) >= instrument.loss
    hours = (time - world.span[1]) / 3600.0
    for first, last in instrument.silent_h:
        keep &= (hours < first) | (hours > last)
    keep &= np.isfinite(value)
    stamp = time + instrument.jitter_s * rng.standard_normal(len(time))
    delay = instrument.delay_s * (0.5 + 0.5 * rng.standard_exponential(len(time)))
    if per_frame or section.quantity == "detector_shift":
        delay = delay + 0.5 * _exposure_s(world.config) + ANALYSIS_S
    stated = sigma if per_frame else np.full(len(time), np.nan)
    columns = (stamp, time + delay, value, stated, projection, wrong)
    return tuple(column[keep] for column in columns)


def _instants(
    world: World, section: ChannelSection, instrument: Instrument, rng: np.random.Generator
) -> tuple[Array, IntArray]:
    """True instants of the readings and the projections they belong to (-1: none)."""
    period = instrument.period_s or section.period_s
    phase = rng.random()
    if section.quantity in ("marker_shift", "marker_blur", "flux", "detector_shift") or (
        period is None and section.quantity in ("voltage", "current")
    ):
        shown = world.frames.is_projection
        return world.frames.time[shown], world.frames.index[shown]
    begin, _, end = world.span
    time = np.arange(begin + phase * (period or 10.0), end, period or 10.0)
    return time, np.full(len(time), -1, dtype=np.int64)


def _shown(
    world: World,
    section: ChannelSection,
    instrument: Instrument,
    channel: Channel,
    time: Array,
    seed: int,
) -> tuple[Array, Array]:
    """What an instrument without noise would show in the channel's unit (nan: nothing), and the noise's scale."""
    even = np.ones(len(time))
    match section.quantity:
        case "temperature":
            felt = follow(_temperature(world, section, instrument), _lag_s(section, instrument), _dt(world))
            si, offset = np.interp(time, world.grid, felt), channel.raw(0.0)
            return si * (channel.raw(1.0) - offset) + offset, even
        case "voltage" | "current" | "power" | "tube":
            return _electric(world, section.quantity, time, channel, seed), even
        case "detector_shift":
            return world.shuttle_px[world.frames.is_projection], even
        case "displacement" if section.measures == "beam_shift":
            return world.flux.beam_shift_m(time)[:, 1 if section.axis == "v" else 0] * channel.raw(1.0), even
        case "flux":
            counts = world.flux_counts[world.frames.is_projection]
            lit = np.where(counts > 0, counts, np.nan)
            return lit, np.sqrt(np.nan_to_num(lit) / world.scenario.flux.level_counts)
        case "marker_blur":
            counts = world.flux_counts[world.frames.is_projection]
            lit = counts > 0
            scale = np.sqrt(world.scenario.flux.level_counts / np.where(lit, counts, 1.0))
            blur = _blur_px(world, section)[world.frames.is_projection]
            return np.where(lit, blur, np.nan), np.where(lit, np.minimum(scale, 10.0), 1.0)
        case "marker_shift":
            counts = world.flux_counts[world.frames.is_projection]
            place = _marker_px(world, section)[world.frames.is_projection]
            # the window in which the marker is sought lies anywhere
            window = stream(seed, f"window {section.marker} {section.axis}").uniform(100.0, 900.0)
            lit = counts > 0
            scale = np.sqrt(world.scenario.flux.level_counts / np.where(lit, counts, 1.0))
            return np.where(lit, place + window, np.nan), np.where(lit, np.minimum(scale, 10.0), 1.0)
    raise ConfigError(
        [
            f"channel[{section.name}].quantity: {section.quantity} can't be simulated; "
            "remove the channel or change its quantity"
        ]
    )


def _temperature(world: World, section: ChannelSection, instrument: Instrument) -> Array:
    name = instrument.reads or (ROOM if section.at in (None, AMBIENT) else str(section.at))
    if name in world.temperature_k:
        return world.temperature_k[name]
    if name not in world.cells:
        known = ", ".join([*world.temperature_k, *world.cells])
        raise ConfigError(
            [
                f"scenario {world.scenario.name}: nothing says what channel {section.name!r} reads; "
                f"add [[instrument]] channel = {section.name!r}, reads = one of {known}"
            ]
        )
    cells = world.cells[name]
    at = np.clip(instrument.position * cells.shape[1] - 0.5, 0.0, cells.shape[1] - 1.0)
    low = min(int(at), cells.shape[1] - 2)
    return np.asarray(cells[:, low] + (at - low) * (cells[:, low + 1] - cells[:, low]))


def _electric(world: World, quantity: str, time: Array, channel: Channel, seed: int) -> Array:
    tube = world.tube
    if quantity == "tube":
        return tube.is_on(time).astype(float)
    ripple = 1.0 + world.scenario.tube.ripple_percent / 100.0 * stream(seed, f"ripple {quantity}").standard_normal(
        len(time)
    )
    if quantity == "power":
        return np.asarray(tube.power_w(time) * ripple / (1.0 / channel.raw(1.0)))
    si = tube.kilovolt(time) * 1e3 if quantity == "voltage" else tube.microampere(time) * 1e-6
    return np.asarray(si * ripple * channel.raw(1.0))


def _marker_px(world: World, section: ChannelSection) -> Array:
    """True position of a marker along its axis, relative to the nominal optical axis, per frame [px]."""
    marker = next(m for m in world.config.markers if m.name == section.marker)
    place = next((m.position_um for m in world.scenario.markers if m.name == marker.name), (0.0, 0.0))
    seen = View.of(world.config).point_px(
        marker.source_marker_mm * 1e-3,
        np.array(place) * 1e-6,
        world.moved_m[mount_of(marker)],
        world.moved_m["source"],
        world.moved_m["detector"],
    )
    return np.asarray(seen @ axis_of(section, marker))


def _blur_px(world: World, section: ChannelSection) -> Array:
    """True σ of a marker's edge along its axis, per frame [px]."""
    marker = next(m for m in world.config.markers if m.name == section.marker)
    view, source = View.of(world.config), world.moved_m["source"]
    to_marker = marker.source_marker_mm * 1e-3 + world.moved_m[mount_of(marker)][:, 2] - source[:, 2]
    to_detector = view.plane_m + world.moved_m["detector"][:, 2] - source[:, 2]
    reach = (to_detector - to_marker) / to_marker
    psf = world.config.detector.psf_sigma_px
    return penumbra_px(world.spot_fwhm_um, reach, axis_of(section, marker), psf, view.pixel_m)


def mount_of(marker: Marker) -> str:
    """Body a marker moves with."""
    return "object" if marker.mounted_on == "object" else f"marker:{marker.name}"


def axis_of(section: ChannelSection, marker: Marker) -> Array:
    """Direction (u, v) in which a channel measures a marker."""
    if section.axis == "n":
        return wire_normal(marker.angle_deg)
    return np.array([1.0, 0.0]) if section.axis == "u" else np.array([0.0, 1.0])


def _lag_s(section: ChannelSection, instrument: Instrument) -> float:
    return section.lag_s if instrument.lag_s is None else instrument.lag_s


def _dt(world: World) -> float:
    return float(world.grid[1] - world.grid[0])


def _exposure_s(config: Config) -> float:
    return config.scan.exposure_s * config.scan.frames
