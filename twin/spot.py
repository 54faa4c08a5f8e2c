"""The focal spot's size of a configured machine: states and blur channels, and the size as it is believed now."""

from __future__ import annotations

from dataclasses import dataclass

from models.estimate import Array
from models.geometry import ConeBeam
from models.spot import blur_observation, fwhm, spot_blocks, spot_states
from models.statespace import Block, Observation, StateSpace
from twin.config import Config
from twin.markers import normal_of


def spot_model(config: Config, pose: ConeBeam, stated_m: tuple[float, float]) -> tuple[list[Block], list[Observation]]:
    """States of the spot's size and how blur channels see them; nothing where it neither walks nor is measured."""
    source, markers = config.source, {marker.name: marker for marker in config.markers}
    channels = [c for c in config.channels if c.quantity == "marker_blur"]
    if not channels and not any(source.spot_walk_um_per_sqrt_h):
        return [], []
    u, v = (um * 1e-6 / 60.0 for um in source.spot_walk_um_per_sqrt_h)
    blocks = spot_blocks(stated_m, source.spot_sigma_percent * 1e-2, (u, v))
    observations = []
    for channel in channels:
        marker = markers[channel.marker or ""]
        normal = normal_of(marker, channel)
        depth = marker.source_marker_mm * 1e-3
        observations.append(blur_observation(channel.name, pose, depth, normal, config.detector.psf_sigma_px))
    return blocks, observations


@dataclass(frozen=True, slots=True)
class SpotSize:
    """FWHM along u and v [µm] and their σ."""

    fwhm_um: tuple[float, float]
    std_um: tuple[float, float]


def spot_size(model: StateSpace, mean: Array, cov: Array) -> SpotSize | None:
    """The spot's size in a belief; None where the model takes it as stated."""
    at = spot_states(model.names)
    if len(at) == 0:
        return None
    u, v = (fwhm(float(mean[i]), float(cov[i, i]) ** 0.5) for i in at)
    return SpotSize((u[0] * 1e6, v[0] * 1e6), (u[1] * 1e6, v[1] * 1e6))


def usual_blur_px(model: StateSpace, channel: str) -> float:
    """Blur [px] that a channel would read of the stated spot."""
    seen = model.observations[model.channels.index(channel)]
    return float((seen.constant + model.row(dict(seen.linear)) @ model.mean) ** 0.5)
