"""A scan under way: will it keep its limit if it ends as planned, and until when would it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.blur import f10
from models.estimate import ModelError
from models.forecast import BlurForecast
from twin.core import Twin
from twin.outlook import look_ahead


@dataclass(frozen=True, slots=True)
class Running:
    """Answers about a running scan, each without correction and with it.

    Attributes
    ----------
    time, started, ends : float
        Instant of the last estimate, of the first projection and of the planned end [s since 1970].
    keeps : (float, float)
        Probability that the scan, ended as planned, keeps its limit.
    stop : (float, float)
        Latest instant until which it keeps it with the wanted probability; its planned end if it does to the end, nan if
        it doesn't now.
    """

    time: float
    started: float
    ends: float
    keeps: tuple[float, float]
    stop: tuple[float, float]


def running_scan(twin: Twin, confidence: float) -> Running:
    """Look ahead to the planned end of the scan that a twin watches.

    Raises
    ------
    ModelError
        When it watches none.
    """
    if np.isnan(twin.scan_started):
        raise ModelError("no scan is running; without --running the same command plans one")
    config = twin.config
    ends = twin.scan_started + config.scan.duration_h * 3600.0
    left_h = max((ends - twin.time) / 3600.0, 0.1)
    twin.config = config.model_copy(update={"estimator": config.estimator.model_copy(update={"forecast_h": left_h})})
    ahead = look_ahead(twin)
    twin.config = config
    limit = 1.0 - (0.5e6 / config.scan.resolution_limit_um) / f10(ahead.uncorrected.budget)
    answers = [_answer(forecast, limit, confidence, ends) for forecast in (ahead.uncorrected, ahead.corrected)]
    return Running(twin.time, twin.scan_started, ends, (answers[0][0], answers[1][0]), (answers[0][1], answers[1][1]))


def _answer(forecast: BlurForecast, limit: float, confidence: float, ends: float) -> tuple[float, float]:
    if limit <= 0.0:
        return 0.0, float("nan")
    keeps = 1.0 - forecast.exceedance(limit)
    bad = np.flatnonzero(keeps < confidence)
    if bad.size == 0:
        return float(keeps[-1]), ends
    k = int(bad[0])
    if k == 0:
        return float(keeps[-1]), float("nan")
    part = (keeps[k - 1] - confidence) / (keeps[k - 1] - keeps[k])
    return float(keeps[-1]), float(forecast.times[k - 1] + part * (forecast.times[k] - forecast.times[k - 1]))
