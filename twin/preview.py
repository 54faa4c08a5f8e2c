"""Before a scan: from the model alone, how well the image shift will be known, and what each channel is worth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.engine import Belief, Steps
from models.estimate import Array
from models.smoother import smooth
from twin.assembly import OUTPUTS, Machine, assemble
from twin.budget import resolution_of
from twin.turning import planned
from twin.vectorise import DEFAULT_SIGMA

CHECKED = ("source.u", "source.v", "source.w", "object.u", "object.v", "object.w", "shift.u", "shift.v", "flux")
STEPS = 400


@dataclass(frozen=True, slots=True)
class Preview:
    """σ of each output's change over the scan, without readings and with them, in display units.

    ``prior``/``posterior`` map an output to its rms σ over the scan (µm, px, fraction).
    """

    prior: dict[str, float]
    posterior: dict[str, float]
    promised_um: float
    limit_um: float

    def hidden(self) -> list[str]:
        """Outputs about which the readings say next to nothing (σ falls by less than a tenth)."""
        return [n for n, p in self.prior.items() if p > 0 and self.posterior[n] > 0.9 * p]


def preview(machine: Machine) -> Preview:
    """Run the smoother's covariance over the planned scan, every channel reading at its period.

    The covariance of a linear filter does not depend on the readings, so zeros stand for them. Marker and flux channels
    without a period read once per projection. The scan is taken on 400 steps; readings within a step are combined.
    Temperatures are taken at 20 °C, where the uncertainty of a sensitivity has no effect: where the machine swings by
    kelvins, what is known will be less than said here.
    """
    config = machine.config
    duration = config.scan.duration_h * 3600.0
    step = max(duration / STEPS, config.estimator.grid_s)
    count = int(duration / step)
    coarse = config.model_copy(update={"estimator": config.estimator.model_copy(update={"grid_s": step})})
    model = assemble(coarse)
    sigma = {c.name: c for c in config.channels}
    result = {}
    for read in (False, True):
        steps = replace(Steps.empty(model.model, count), covariates=planned(model.model, count))
        if read:
            for j, name in enumerate(model.model.channels):
                channel = sigma[name]
                every = channel.period_s or duration / config.scan.projections
                noise = _sigma(channel.quantity, channel.sigma, config.detector.full_scale_counts)
                steps.readings[:, j] = model.model.observations[j].constant
                steps.variances[:, j] = noise**2 * max(every / step, 1e-9)
        out = smooth(model.model, Belief.prior(model.model), steps, model.outputs, gate=replace(model.gate, sigma=1e9))
        _, variance = out.difference()
        result[read] = np.sqrt(variance.mean(axis=0))
    scale = {n: 1e6 if n[:6] in ("source", "object") else 1.0 for n in CHECKED}

    def named(values: Array) -> dict[str, float]:
        return {n: float(values[OUTPUTS.index(n)]) * scale[n] for n in CHECKED}

    return Preview(
        named(result[False]),
        named(result[True]),
        resolution_of(config).half_pitch10_um,
        config.scan.resolution_limit_um,
    )


def _sigma(quantity: str, stated: float | None, full_scale: float) -> float:
    if quantity == "flux":
        return stated / (0.5 * full_scale) if stated else DEFAULT_SIGMA["flux"]
    return stated or DEFAULT_SIGMA.get(quantity, 1.0)
