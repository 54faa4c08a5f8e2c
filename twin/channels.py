"""Channels and rules of a configuration as the nouns of the packages that use them."""

from __future__ import annotations

from alerts.alert import AlertError, Severity
from alerts.expression import compile_when
from alerts.rule import Policy
from alerts.watch import Watch
from sensors.channel import Channel
from twin.config import Config, ConfigError
from twin.vibration import reducer_of

# Numbers of the machine as a whole that rules may name, beside channels and states.
VALUES = (
    "loss_uncorrected", "loss_corrected", "half_pitch10_um", "corrected_half_pitch10_um", "f10_lp_per_mm",
    "nis", "innovation_autocorrelation", "model_misfit",
    "source_u_um", "source_v_um", "source_w_um", "shift_u_px", "shift_v_px", "flux_relative",
    "spot_fwhm_u_um", "spot_fwhm_v_um", "vibration_u_nm", "vibration_v_nm", "scanning",
    "source_step_um", "object_step_um", "flux_step",
)  # fmt: skip
FORECASTS = ("loss_uncorrected", "loss_corrected")


def channels_of(config: Config) -> dict[str, Channel]:
    """Channels by name: those configured, and those that blocks of accelerometers become."""
    return _configured(config) | {channel.name: channel for channel in reducer_of(config).channels}


def sensor_channels(config: Config, sensor: str) -> list[Channel]:
    """Configured channels that a sensor brings."""
    return [channel for channel in _configured(config).values() if channel.sensor == sensor]


def _configured(config: Config) -> dict[str, Channel]:
    return {c.name: c.noun for c in config.channels}


def rules_of(config: Config) -> list[Watch]:
    """Rules of a configuration; raises ConfigError with every condition that can't be read."""
    channels = set(channels_of(config))
    nodes = {f"temperature.{n.name}" for n in config.nodes}
    rules, problems = [], []
    for alert in config.alerts:
        try:
            when = compile_when(alert.when, {*VALUES, *channels, *nodes}, channels, set(FORECASTS))
            policy = Policy(
                alert.for_min * 60.0,
                alert.clear_for_min * 60.0,
                alert.hysteresis,
                Severity(alert.severity),
                alert.guidance,
            )
            rules.append(Watch(alert.name, when, policy))
        except AlertError as error:
            problems.append(f"alert[{alert.name}].when: {error}")
    if problems:
        raise ConfigError(problems)
    return rules
