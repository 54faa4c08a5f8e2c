"""Parts of a patch that show something else than the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.imaging.patch_place import Place, Reading

COVERED = 4.0  # times the usual misfit: a block that shows something else
FAR = 9.0  # squared residual of a single pixel, in units of the usual misfit, that is rare by chance
SHARE = 0.1  # of a block's pixels that must be far off: a grain of radiation on one pixel covers nothing


def covered(place: Place, reading: Reading, image: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Pixels of the blocks in which an image differs from the reference far more than elsewhere; None without any.

    Notes
    -----
    Finds what hides less than half of the patch; beyond that, what is usual is the cover. A cover that changes counts by
    less than about twice their noise isn't seen, and does little harm.
    """
    highest = float(reading.blocks.max(initial=0.0))
    if highest <= 2.0 * reading.misfit:
        return None  # nearly always; and if half of the blocks stand out, none does
    usual = float(np.median(reading.blocks[place.looked_at]))
    if place.stated:
        usual = max(usual, 1.0)
    strange = reading.blocks > COVERED * usual
    if not strange.any():
        return None
    out = np.zeros(image.shape, dtype=bool)
    far = place.squares(image, reading) > FAR * usual
    for b, a in zip(*np.nonzero(strange), strict=True):
        rows, columns, sampled = place.block(int(b), int(a))
        if (
            np.mean(far[sampled, columns.start - place.overlap[1].start : columns.stop - place.overlap[1].start])
            > SHARE
        ):
            out[rows, columns] = True
    return out if out.any() else None
