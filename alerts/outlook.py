"""What a forecast says from now on, on either side of a limit."""

from __future__ import annotations

from dataclasses import replace

from alerts.rule import Prediction
from models.estimate import Forecast


def probability(prediction: Prediction, now: float, limit: float, within_s: float, *, above: bool) -> float:
    """Largest probability, between now and ``within_s`` later, that the quantity is beyond a limit.

    A forecast is made every few minutes, so ``within_s`` is counted from now and not from its making.

    For "below", a :class:`models.estimate.Forecast` is mirrored, which is exact:
    max over t of P(x < limit) = max over t of P(-x > -limit). Of another kind of prediction only
    1 - max P(x > limit) can be had, the *smallest* such probability within the time: it never says too much,
    and says too little where the quantity is on its way down.

    Examples
    --------
    >>> import numpy as np
    >>> f = Forecast("x", "um", 0.0, np.array([0.0, 60.0]), np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    >>> round(probability(f, 0.0, 0.0, 60.0, above=True), 3), round(probability(f, 0.0, 0.0, 60.0, above=False), 3)
    (0.841, 0.5)
    """
    lag = _lag(prediction, now)
    if above:
        return prediction.probability(limit, within_s + lag)
    if isinstance(prediction, Forecast):
        return _mirrored(prediction).probability(-limit, within_s + lag)
    return 1.0 - prediction.probability(limit, within_s + lag)


def time_to(prediction: Prediction, now: float, limit: float, p: float, *, above: bool) -> float:
    """Seconds from now until the probability of being beyond a limit reaches ``p``; ``inf`` beyond the horizon.

    Raises
    ------
    TypeError
        For "below" with a prediction that can't be mirrored.
    """
    if not above:
        if not isinstance(prediction, Forecast):
            raise TypeError(f"time_to with '<' needs a Forecast, not {type(prediction).__name__}")
        prediction, limit = _mirrored(prediction), -limit
    return max(prediction.time_to(limit, p) - _lag(prediction, now), 0.0)


def _lag(prediction: Prediction, now: float) -> float:
    return max(now - prediction.made_at, 0.0) if isinstance(prediction, Forecast) else 0.0


def _mirrored(forecast: Forecast) -> Forecast:
    return replace(forecast, mean=-forecast.mean)
