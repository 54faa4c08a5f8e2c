"""At which flux a bright image was taken: by its time where the files tell it, else by its place among the frames."""

from __future__ import annotations

import numpy as np
import pytest

from sensors.images.series import Contents, Frame
from sensors.images.stamps import MODIFIED
from sensors.reading import SensorError
from twin.apply.lights import light_of, nearest_projections

FLUX = np.array([1.0, 1.1, 1.25])


class Listed:
    """A folder's order: flats first, whenever they were taken; the second one counts at the flux of the end."""

    def __init__(self, times, clock="TIFF tag DateTime", levels=(1010.0, 1260.0)):
        kinds = ("flat", "flat", "dark", "projection", "projection", "projection")
        frames = [Frame(k, kind, time=t, place=f"f{k}") for k, (kind, t) in enumerate(zip(kinds, times, strict=True))]
        self.contents = Contents("listed", frames, (6, 8), clock=clock)
        self._levels = (*levels, 10.0)

    def image(self, position, rows=slice(None), columns=slice(None)):
        return np.full((6, 8), self._levels[position])

    def close(self):
        pass


def test_times_tell_which_flat_came_at_the_end():
    series = Listed([0.0, 500.0, 1.0, 100.0, 200.0, 300.0])
    assert nearest_projections(series, [0, 1]) == ([0, 2], True)
    light, lights = light_of(series, FLUX)
    assert light.flat == pytest.approx(1000.0)
    assert light.dark == pytest.approx(10.0)
    assert (lights.flats, lights.darks, lights.dead, lights.by_time) == (2, 1, 0, True)


@pytest.mark.parametrize(
    ("times", "clock"),
    [
        ([0.0, np.nan, 1.0, 100.0, 200.0, 300.0], "TIFF tag DateTime"),
        ([0.0, 500.0, 1.0, 100.0, np.nan, 300.0], "TIFF tag DateTime"),
        ([0.0, 500.0, 1.0, 100.0, 200.0, 300.0], MODIFIED),
    ],
)
def test_without_times_of_all_their_order_counts(times, clock):
    series = Listed(times, clock)
    assert nearest_projections(series, [0, 1]) == ([0, 0], False)
    light, lights = light_of(series, FLUX)
    assert light.flat == pytest.approx((1000.0 + 1250.0) / 2)
    assert not lights.by_time


def test_a_flat_that_is_none_is_named():
    with pytest.raises(SensorError, match="f0: more than half of the pixels of the flat image count nothing"):
        light_of(Listed([np.nan] * 6, levels=(10.0, 10.0)), FLUX)
