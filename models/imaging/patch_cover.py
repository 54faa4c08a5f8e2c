"""Parts of a patch that show something else than the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.imaging.patch_place import Place, Reading

Mask = NDArray[np.bool_]
Found = tuple[Place, Reading]

SUSPICIOUS = 1.6  # a block's misfit over all blocks' from which a closer look is worth its time
LARGE_MISFIT = 2.0  # the same for the misfit of all, where the noise is stated
COVERED = 4.0  # times the usual misfit: a block that shows something else
FAR = 9.0  # squared residual of a single pixel, in units of the usual misfit, that is rare by chance
SHARE = 0.1  # of a block's pixels that must be far off: a grain of radiation on one pixel covers nothing
ROUNDS = 6


def suspicious(place: Place, reading: Reading) -> bool:
    """Whether a part may be covered; quick, and rather too often yes."""
    highest = float(reading.blocks.max(initial=0.0))
    return highest > SUSPICIOUS * reading.misfit or (place.stated and reading.misfit > LARGE_MISFIT)


def covered(place: Place, reading: Reading, image: NDArray[Any], refit: Callable[[Mask], Found | None]) -> Mask | None:
    """Pixels of the blocks in which an image differs from the reference far more than elsewhere; None without any.

    What is covered spoils the fit, and with it all residuals: the patch is fitted to the better half of the blocks, then to
    all that agree with that (least trimmed squares, concentration steps of Rousseeuw & Van Driessen 1999, Technometrics 41,
    212).

    Parameters
    ----------
    place, reading, image
        An image, and how it was read with all of the patch.
    refit : callable
        Reads the image again without the pixels of a mask.

    Notes
    -----
    Finds what hides less than half of the patch; beyond that, what is usual is the cover. A cover that changes counts by
    less than about twice their noise isn't seen, and does little harm.
    """
    squares = place.squares(image, reading, reading.du, reading.dv)
    means = place.block_means(squares)
    strange = _strange(place, squares, means)
    if reading.misfit > LARGE_MISFIT or not place.stated:
        strange = strange | (means > np.nanmedian(means)) if strange.any() or place.stated else strange
    if not strange.any():
        return None
    for _ in range(ROUNDS):
        again = refit(_pixels(place, strange, image.shape))
        if again is None:
            return None
        other, better = again
        squares = place.squares(image, better, other.u + better.du - place.u, other.v + better.dv - place.v)
        before, strange = strange, _strange(place, squares, place.block_means(squares))
        if np.array_equal(before, strange):
            break
    return _pixels(place, strange, image.shape) if strange.any() else None


def _strange(place: Place, squares: NDArray[np.float64], means: NDArray[np.float64]) -> Mask:
    """Blocks that differ far more than usual, in more than single pixels."""
    usual = float(np.nanmedian(means))
    if place.stated:
        usual = max(usual, 1.0)
    with np.errstate(invalid="ignore"):
        strange: Mask = means > COVERED * usual
    if strange.any():
        strange &= place.block_means(np.asarray(squares > FAR * usual, dtype=float)) > SHARE
    return strange


def _pixels(place: Place, blocks: Mask, shape: tuple[int, ...]) -> Mask:
    out = np.zeros(shape, dtype=bool)
    for down, across in zip(*np.nonzero(blocks), strict=True):
        out[place.block(int(down), int(across))] = True
    return out
