"""Resolution now and for the hours ahead: what the scan's drift has cost so far and will cost, with and without correction.

Live numbers treat the displacement gathered over the scan as Gaussian blur of its variance, per axis; the worse axis counts.
The tomogram's own formula (edges, pairs of opposite views) is used for the scan as a whole, once it is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from models.blur import CONVENTION, Budget, f10
from models.estimate import Array
from models.forecast import BlurForecast, gathered_blur, propagate
from models.spot import object_plane_gain, spot_states
from models.turning import blur_over_a_turn, blurring
from twin.budget import budget_of, budget_with
from twin.core import SHIFTS, Twin
from twin.stepping import expecting

FEWEST, MOST = 9, 65


@dataclass(frozen=True)
class Outlook:
    """Forecast of the loss of resolution, without and with correction, and the static promise."""

    made_at: float
    uncorrected: BlurForecast
    corrected: BlurForecast
    static_f10: float
    limit_um: float

    def loss(self, forecast: BlurForecast) -> float:
        """Loss now: ``1 - f10/f10_static``."""
        return 1.0 - f10(forecast.budget, float(forecast.mean[0])) / self.static_f10

    @cached_property
    def values(self) -> dict[str, float]:
        """Numbers of the present, named as rules and files know them."""
        now = f10(self.uncorrected.budget, float(self.uncorrected.mean[0]))
        corrected = f10(self.corrected.budget, float(self.corrected.mean[0]))
        return {
            "half_pitch10_um": 0.5e6 / now,
            "static_half_pitch10_um": 0.5e6 / self.static_f10,
            "corrected_half_pitch10_um": 0.5e6 / corrected,
            "limit_um": self.limit_um,
            "f10_lp_per_mm": now * 1e-3,
            "loss_uncorrected": 1.0 - now / self.static_f10,
            "loss_corrected": 1.0 - corrected / self.static_f10,
        }

    def loss_at_limit(self) -> float:
        """Loss at which the half-pitch reaches the scan's limit; negative when the static blur already misses it."""
        return 1.0 - (0.5e6 / self.limit_um) / self.static_f10

    @cached_property
    def page(self) -> dict[str, Any]:
        """The forecast as the status page shows it, worked out once."""
        out: dict[str, Any] = {
            "made_at_s": self.made_at,
            "time_s": self.uncorrected.times.tolist(),
            "limit_um": self.limit_um,
            "probability_of_loss": self.corrected.probability(max(self.loss_at_limit(), 0.0)),
        }
        for name, forecast in (("uncorrected", self.uncorrected), ("corrected", self.corrected)):
            mean, low, high = forecast.half_pitch_um()
            out[f"{name}_half_pitch10_um"] = {"mean": mean.tolist(), "low": low.tolist(), "high": high.tolist()}
        return out

    convention = CONVENTION


def look_ahead(twin: Twin) -> Outlook:
    """Forecast from the twin's present belief for the scan under way, or a hypothetical one that starts now.

    Uncorrected: the displacement of the image content itself, as known now for the past and expected ahead. Corrected: the
    error that stays when every projection is corrected, readings coming ahead as they came over the last hour. Both with the
    spot as large as it is believed to be, per axis, where its size is a state; the loss is against the stated spot.
    """
    config, model, belief = twin.config, expecting(twin.machine), twin.belief
    # in the frame of the sample: a creep that stays only says where it sits, though it goes round with the stage
    budget, outputs = budget_of(config), twin.outputs(turning=False)
    rows = np.ascontiguousarray(outputs.rows[list(SHIFTS)])
    horizon, duration = config.estimator.forecast_h * 3600.0, config.scan.duration_h * 3600.0
    # one point per forecast to come, so that later forecasts speak about the same instants and replace earlier ones
    points = int(np.clip(round(horizon / config.estimator.forecast_every_s) + 1, FEWEST, MOST))
    scale = twin.machine.pose.pixel_m / twin.machine.pose.magnification
    anchors = twin.anchors
    count = 0 if anchors is None else len(anchors.times)
    past_s = np.zeros(0) if anchors is None else anchors.weights_s(twin.time)
    past_cross = (
        np.zeros((0, len(model.names))) if anchors is None else anchors.cross.reshape(count * 2, len(model.names))
    )

    def tangent(mean: Array) -> tuple[Array, Array]:
        values, there = twin.tangent(mean, turning=False)
        return values[list(SHIFTS)], np.ascontiguousarray(there[list(SHIFTS)])

    worst = []
    for information in (None, twin.information_rate()):
        path = propagate(
            model, belief.mean, belief.cov, rows, twin.inputs, horizon, points, information, past_cross, tangent
        )
        axes = []
        for k in range(2):
            past_mean, past_cov = np.zeros(count), np.zeros((count, count))
            ahead_mean = np.zeros(points)
            if anchors is not None:
                past_cov = anchors.cov[:, k, :, k]
            if information is None:
                # an output with products is not its row times the state; the path starts at the output itself
                ahead_mean = path.mean[:, k] + outputs.mean[SHIFTS[k]] - path.mean[0, k]
                past_mean = past_mean if anchors is None else anchors.mean[:, k]
            mean, var = gathered_blur(
                past_s,
                past_mean * scale,
                past_cov * scale**2,
                ahead_mean * scale,
                path.cov[:, k, :, k] * scale**2,
                path.past.reshape(count, 2, points, 2)[:, k, :, k] * scale**2,
                path.times,
                duration,
            )
            axes.append((mean + _shaken(twin, "uv"[k], budget, path.times, duration), var))
        for k, axis in enumerate("uv"):
            turned, turned_var = _stage_blur(twin, axis, information is None)
            spot, spot_var = _spot_blur(twin, k, path.times)
            axes[k] = (axes[k][0] + turned + spot, axes[k][1] + turned_var + spot_var)
        worst.append(max(axes, key=lambda item: float(item[0][-1])))
    times, promised = twin.time + path.times, f10(budget)
    # a spot whose size is estimated is part of the blur that is forecast, no longer of what is static
    besides = budget_with(config, 0.0) if len(spot_states(model.names)) else budget
    return Outlook(
        twin.time,
        BlurForecast(twin.time, times, *worst[0], besides, promised),
        BlurForecast(twin.time, times, *worst[1], besides, promised),
        promised,
        config.scan.resolution_limit_um,
    )


def _stage_blur(twin: Twin, axis: str, uncorrected: bool) -> tuple[float, float]:
    """Mean and variance of the blur over a turn by the stage's repeatable error [m²]: all of it, or what is unknown of it.

    Added to the drift's as if the two were known independently; what a marker sees of both together it knows better.
    """
    belief, at = twin.belief, blurring(twin.machine.model.names, axis)
    mean = belief.mean[at] if uncorrected else np.zeros(len(at))
    return blur_over_a_turn(mean, belief.cov[np.ix_(at, at)])


def _shaken(twin: Twin, axis: str, budget: Budget, times: Array, duration_s: float) -> Array:
    """Variance of vibration beyond what the static budget holds, at instants ahead [m²]; no correction takes it off."""
    found = twin.vectoriser.vibration.ahead(axis, times, duration_s)
    return np.zeros(times.shape) if found is None else np.maximum(found - budget.vibration_m**2, 0.0)


def _spot_blur(twin: Twin, k: int, ahead_s: Array) -> tuple[Array, Array]:
    """Mean and variance of the blur by the spot along u or v, now and ahead [m²]; nothing where its size is no state."""
    model, at = twin.machine.model, spot_states(twin.machine.model.names)
    if len(at) == 0:
        return np.zeros(len(ahead_s)), np.zeros(len(ahead_s))
    i, gain = at[k], object_plane_gain(twin.machine.pose)
    known = twin.belief.cov[i, i] + model.diffusion[i, i] * ahead_s
    return np.full(len(ahead_s), gain * max(float(twin.belief.mean[i]), 0.0)), gain**2 * known
