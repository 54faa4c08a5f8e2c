"""Where markers stood in every projection, as the smoothed model says: what a marker's averaged profile is shifted by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.estimate import Array
from models.smoother import Smoothed
from models.statespace import Observation
from twin.assembly import Machine
from twin.per_projection import EARLY
from twin.simulate.files import iso
from twin.track import HEAD

FILENAME = "markers.csv"


@dataclass(frozen=True, slots=True)
class MarkerCourse:
    """A marker's channel over the projections of a scan.

    Attributes
    ----------
    channel : str
    time : (N,) array
        [s since 1970].
    place_px, sigma_px : (N,) arrays
        Smoothed, in the channel's own window; without the channel's noise [px].
    """

    channel: str
    time: Array
    place_px: Array
    sigma_px: Array


def observed(machine: Machine) -> tuple[Observation, ...]:
    """What the smoother must be asked for: markers' channels that the stage's angle doesn't enter."""
    markers = {c.name for c in machine.config.channels if c.quantity == "marker_shift"}
    return tuple(o for o in machine.model.observations if o.channel in markers and not o.covariates)


def courses(
    wanted: tuple[Observation, ...], smoothed: Smoothed, first: int, time: Array, place: Array
) -> tuple[MarkerCourse, ...]:
    """Take markers out of smoothed outputs, between two steps linearly.

    Parameters
    ----------
    wanted : tuple of Observation
        As :func:`observed` gives them.
    first : int
        Number of the first of them among the outputs.
    time, place : (N,) arrays
        Of the projections: instants, and rows as :func:`twin.per_projection.rows_of` gives them.
    """
    last = len(smoothed.mean) - 1
    low = np.clip(np.floor(place + EARLY).astype(int), 0, last)
    high, part = np.minimum(low + 1, last), np.clip(place - low, 0.0, 1.0)
    found = []
    for k, observation in enumerate(wanted, start=first):
        mean, variance = smoothed.mean[:, k], smoothed.cov[:, k, k]
        found.append(
            MarkerCourse(
                observation.channel,
                time,
                (1.0 - part) * mean[low] + part * mean[high],
                np.sqrt(np.maximum((1.0 - part) * variance[low] + part * variance[high], 0.0)),
            )
        )
    return tuple(found)


def courses_csv(found: tuple[MarkerCourse, ...]) -> str:
    """The courses as a readings file, projection by projection.

    Examples
    --------
    >>> print(courses_csv((MarkerCourse("wire_n", np.array([1.7e9]), np.array([54.9]), np.array([0.01])),)), end="")
    # ctwin readings 1
    time,channel,value,sigma,quality
    2023-11-14T22:13:20.000000Z,wire_n,54.90000,0.01000,good
    """
    rows = [HEAD]
    for k, time in enumerate(iso(found[0].time) if found else ()):
        rows += [f"{time},{c.channel},{c.place_px[k]:.5f},{c.sigma_px[k]:.5f},good\n" for c in found]
    return "".join(rows)
