"""A textured patch, followed against a reference at the limit that its counts allow."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import ModelError
from models.imaging import patch_kernel
from models.imaging.coarse_shift import CoarseSearch
from models.imaging.fix import SUSPECT_SIGMA_PX, Fix, Verdict
from models.imaging.light import Light
from models.imaging.patch_place import Place, Reading, Window, between
from models.imaging.patch_reference import Reference, References
from models.imaging.patch_texture import MARGIN, Texture, prepare

GRID_PX = 0.125  # templates are made for whole multiples of this
PLACES, TEXTURES = 9, 4  # kept
STEPS = 8  # places tried before a shift is given up
SIGNIFICANT = 6.0  # σ of a correlation that is none by chance
STAYED = 0.5  # of the last contrast: with less the patch may have jumped
LARGE_MISFIT = 2.0
COVERED = 4.0  # times the median misfit: a block that shows something else
HALF = 0.5  # of the pixels
FEW = 0.01  # of the pixels
BRIGHTER = 1.25  # change of brightness after which the weights of pixels are made anew
PLAIN_TYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))


@dataclass(frozen=True, slots=True)
class _Prepared:
    texture: Texture
    search: CoarseSearch
    level: float
    failure: str = ""


class PatchTracker:
    """Follows a textured patch; fulfils :class:`models.imaging.fix.Tracker`.

    Shift, brightness and contrast are fitted at once by maximum likelihood to the raw counts (Poisson by quasi-likelihood:
    variance proportional to the expected counts; with a reference that is noisy itself, the weights for two noisy copies of
    one texture). ``u``, ``v`` say how far the content has moved against the reference: what stands at (column, row) there
    stands at (column + u, row + v) here. ``contrast`` is the rms of the texture in the image, relative to its mean.

    Parameters
    ----------
    light : Light
        Of the window.
    references : References, optional
        What the patch looks like; without any, the first turn is given to :meth:`learn`.

    Notes
    -----
    Assumes that the patch moves as a whole and that noise is white. Where the reference is noisy, its noise is a common
    error of all images that are compared with it; it is contained in σ. The margin around a shifted patch isn't compared:
    what moves in there is not in the reference.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> c, r = np.meshgrid(np.arange(64.0), np.arange(64.0))
    >>> def patch(u, v):
    ...     return 1000.0 * (1 + 0.1 * np.sin(0.7 * (c - u)) * np.cos(0.5 * (r - v)) + 0.1 * np.cos(0.9 * (c - u + r - v)))
    >>> light = Light.plain((64, 64), variance_per_count=1.0)
    >>> tracker = PatchTracker(light, References(always=Reference.computed(patch(0.0, 0.0))))
    >>> fix = tracker.look(rng.poisson(patch(1.3, -0.4)).astype(np.uint16))
    >>> fix.verdict.value, round(fix.values["u"], 2), round(fix.values["v"], 2), round(fix.sigma["u"], 4)
    """

    suffixes = ("u", "v", "contrast")

    def __init__(self, light: Light, references: References | None = None) -> None:
        self._light = light
        self._references = References() if references is None else references
        for key, reference in self._references.items():
            if reference.image.shape != light.flat.shape:
                raise ModelError(
                    f"the reference at {key:g}° has {reference.image.shape} pixels, the window {light.flat.shape}; "
                    "give the same region"
                )
        self._window = Window.of(light)
        self._prepared: OrderedDict[float, _Prepared] = OrderedDict()
        self._places: OrderedDict[tuple[float, float, float], Place] = OrderedDict()
        self._last: tuple[float, float] | None = None
        self._usual = float("nan")

    @property
    def references(self) -> References:
        """References, with what has been learned."""
        return self._references

    def look(self, window: NDArray[Any], angle_deg: float = float("nan")) -> Fix:
        """Shift of the next image against the reference nearest in angle.

        Raises
        ------
        ModelError
            The window has another shape than the light.
        """
        if window.shape != self._light.flat.shape:
            raise ModelError(f"the window has {window.shape} pixels, the tracker was made for {self._light.flat.shape}")
        key = self._references.nearest(angle_deg)
        if key is None:
            return Fix.lost("no reference at this angle")
        return self._against(key, _plain(window))

    def learn(self, window: NDArray[Any], angle_deg: float = float("nan")) -> Fix:
        """Take an image of a first turn into the references.

        The first image at an angle defines where the patch is unmoved there; each further one is shifted onto the reference
        and averaged into it, unless it doesn't fit.

        Returns
        -------
        Fix
            Shift of this image against the reference as it was before; zero for the first one.

        Raises
        ------
        ModelError
            The window has another shape than the light, or the reference has no noise to be averaged.
        """
        key = self._references.nearest(angle_deg)
        if key is None:
            self._references.put(angle_deg, Reference.measured(window, self._light))
            return Fix({"u": 0.0, "v": 0.0}, {"u": 0.0, "v": 0.0})
        old = self._references[key]
        if np.isinf(old.averaged).any():
            raise ModelError("the reference at this angle is computed; there is nothing to learn")
        fix = self.look(window, angle_deg)
        if fix.verdict is Verdict.GOOD:
            self._references.put(key, old.with_another(*self._moved(window, fix.values["u"], fix.values["v"])))
            self._forget(key)
        return fix

    def _forget(self, key: float) -> None:
        self._prepared.pop(key, None)
        for place in [place for place in self._places if place[0] == key]:
            del self._places[place]

    def _moved(self, window: NDArray[Any], u: float, v: float) -> tuple[NDArray[Any], NDArray[Any]]:
        """Image shifted back by (u, v), flat-corrected, and where it is known."""
        one = Reference.measured(window, self._light)
        texture = prepare(Reference(one.image, np.where(one.averaged > 0, np.inf, 0.0)), self._light, 1.0)
        shape = self._light.flat.shape
        place = Place(texture, self._window, -u, -v, 1.0)
        rows, columns = place.overlap
        moved = [np.empty((rows.stop - rows.start, columns.stop - columns.start), np.float32) for _ in range(3)]
        patch_kernel.shifted(texture.model, *between(texture, (-u, -v), rows.start, columns.start, 0), *moved)
        image, weight = np.zeros(shape), np.zeros(shape)
        image[rows, columns] = (1.0 + moved[0]) * texture.mean
        weight[rows, columns] = 1.0
        return image, weight

    def _against(self, key: float, window: NDArray[Any]) -> Fix:
        ready = self._ready(key, window)
        if ready.failure:
            return Fix.lost(ready.failure)
        found = None if self._last is None else self._converged(key, ready, window, self._last)
        if found is None or not _significant(found[1]) or found[1].gain < STAYED * self._usual:
            coarse, level = ready.search.find(window)
            if not level > 0:
                return self._lost("no light")
            far = None
            if coarse.significance > SIGNIFICANT:
                far = self._converged(key, ready, window, (coarse.u, coarse.v))
            if far is not None and _significant(far[1]) and (found is None or far[1].gain > found[1].gain):
                found = far
        if found is None or not _significant(found[1]):
            return self._lost("no correlation with the reference")
        place, reading = found
        return self._judged(ready, place, reading, window)

    def _lost(self, reason: str) -> Fix:
        self._last = None
        return Fix.lost(reason)

    def _ready(self, key: float, window: NDArray[Any]) -> _Prepared:
        ready = self._prepared.get(key)
        if ready is None:
            level = _level(window, self._light)
            try:
                texture = prepare(self._references[key], self._light, level)
            except ModelError as failure:
                return _Prepared(None, None, level, str(failure))
            ready = self._prepared[key] = _Prepared(texture, CoarseSearch(texture, self._light), level)
            if len(self._prepared) > TEXTURES:
                self._prepared.popitem(last=False)
        return ready

    def _place(self, key: float, ready: _Prepared, at: tuple[float, float]) -> Place:
        """Templates at or near a place: those at hand, or else new ones."""
        best, nearest = None, np.inf
        for name, place in self._places.items():
            away = max(abs(at[0] - place.u) / place.reach[0], abs(at[1] - place.v) / place.reach[1])
            if name[0] == key and away < min(nearest, 1.0):
                best, nearest = name, away
        if best is None:
            u, v = (GRID_PX * round(x / GRID_PX) for x in at)
            best = (key, u, v)
            self._places[best] = Place(ready.texture, self._window, u, v, ready.level)
            if len(self._places) > PLACES:
                self._places.popitem(last=False)
        self._places.move_to_end(best)
        return self._places[best]

    def _converged(
        self, key: float, ready: _Prepared, window: NDArray[Any], at: tuple[float, float]
    ) -> tuple[Place, Reading] | None:
        """Reading at the place where it was taken, or None where that leads nowhere."""
        rows, columns = window.shape
        for _ in range(STEPS):
            if not (abs(at[0]) < HALF * columns and abs(at[1]) < HALF * rows):
                return None
            place = self._place(key, ready, at)
            if place.alive == 0:
                return None
            reading = place.read(window)
            if abs(reading.du) <= place.reach[0] and abs(reading.dv) <= place.reach[1]:
                return place, reading
            at = place.u + float(np.clip(reading.du, -0.7, 0.7)), place.v + float(np.clip(reading.dv, -0.7, 0.7))
        return None

    def _judged(self, ready: _Prepared, place: Place, reading: Reading, window: NDArray[Any]) -> Fix:
        u, v = place.u + reading.du, place.v + reading.dv
        self._last, self._usual = (u, v), reading.gain
        scale = reading.misfit if not np.isfinite(self._light.variance_per_count) else max(reading.misfit, 1.0)
        sigma = np.sqrt(np.diag(reading.cov) * scale)
        contrast = reading.gain * ready.texture.contrast
        values = {"u": u, "v": v, "contrast": contrast}
        sigmas = {"u": float(sigma[2]), "v": float(sigma[3]), "contrast": float(sigma[1] / reading.level * ready.texture.contrast)}
        return Fix(values, sigmas, reading.misfit)


def _plain(window: NDArray[Any]) -> NDArray[Any]:
    """Window in a type that the compiled passes know, rows in a piece."""
    kind = window.dtype.newbyteorder("=")
    return np.ascontiguousarray(window, dtype=kind if kind in PLAIN_TYPES else np.dtype(np.float32))


def _significant(reading: Reading) -> bool:
    sigma = np.sqrt(reading.cov[1, 1] * max(reading.misfit, 1e-30))
    return bool(reading.level > 0 and reading.gain * reading.level > SIGNIFICANT * sigma)


def _level(window: NDArray[Any], light: Light) -> float:
    good = (light.flat > 0) & ~light.dead
    total = float(light.flat[good].sum())
    return max(float((np.asarray(window, dtype=float) - light.dark)[good].sum()) / total, 1e-30) if total else 1e-30
