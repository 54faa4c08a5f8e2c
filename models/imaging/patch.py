"""A textured patch, followed against a reference at the limit that its counts allow."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import ModelError
from models.imaging.coarse_shift import CoarseSearch
from models.imaging.fix import SUSPECT_SIGMA_PX, Fix, Verdict
from models.imaging.light import Light
from models.imaging.patch_cover import covered
from models.imaging.patch_place import Place, Reading, Window, moved
from models.imaging.patch_reference import Reference, References
from models.imaging.patch_texture import Texture, prepare

GRID_PX = 0.125  # templates are made for whole multiples of this
PLACES, TEXTURES, TEXTURE_PIXELS = 9, 4, 8_000_000  # kept: places; textures, at least, and more while they are small
TRIES = 8  # places before a shift is given up
STRIDE_PX = 0.7  # longest way from one place to the next: farther away the answers say little
SIGNIFICANT = 6.0  # σ of a correlation that is none by chance
STAYED = 0.5  # of the last contrast: with less the patch may have jumped
LARGE_MISFIT = 2.0
MISFIT_TOLD = 1.08  # from which a misfit is more than its own scatter, and widens σ
HALF, FEW = 0.5, 0.01  # of the pixels
BRIGHTER = 1.25  # change of brightness after which pixels are weighed anew
NAN = float("nan")
DIRECT = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))  # types that are read as they are

Found = tuple[Place, Reading]


@dataclass(frozen=True, slots=True)
class _Ready:
    """A reference prepared for images of this level."""

    texture: Texture
    search: CoarseSearch
    level: float


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
    Assumes that the patch moves as a whole, that noise is white, and that the texture is sampled finely enough (correlation
    length to 1/e at least 1.5 px). The noise of a reference is a common error of all images that are compared with it; it is
    contained in σ. What has moved into the window isn't in the reference and isn't compared. σ is widened by a misfit, but a
    misfit that is itself a texture can shift more than that.

    Examples
    --------
    >>> c, r = np.meshgrid(np.arange(64.0), np.arange(64.0))
    >>> def patch(u, v):
    ...     x, y = c - u, r - v
    ...     return 1000.0 + 100.0 * np.sin(0.7 * x + 0.2 * y) * np.cos(0.5 * y) + 100.0 * np.cos(0.9 * x - 0.4 * y)
    >>> light = Light.plain((64, 64), variance_per_count=1.0)
    >>> tracker = PatchTracker(light, References(always=Reference.computed(patch(0.0, 0.0))))
    >>> image = np.random.default_rng(1).poisson(patch(1.3, -0.4)).astype(np.uint16)
    >>> fix = tracker.look(image)
    >>> fix.verdict.value, [f"{fix.values[s]:.2f} ± {fix.sigma[s]:.2f}" for s in ("u", "v")]
    ('good', ['1.30 ± 0.01', '-0.39 ± 0.02'])
    """

    suffixes = ("u", "v", "contrast")

    def __init__(self, light: Light, references: References | None = None) -> None:
        self._light, self._window = light, Window.of(light)
        self._alive = int(np.count_nonzero(self._window.flat))
        self._references = References() if references is None else references
        for key, reference in self._references.items():
            if reference.image.shape != light.flat.shape:
                raise ModelError(
                    f"the reference at {key:g}° has {reference.image.shape} pixels, the window {light.flat.shape}; "
                    "give the same region"
                )
        self._ready: OrderedDict[float, _Ready] = OrderedDict()
        self._places: OrderedDict[tuple[float, float, float], Place] = OrderedDict()
        self._last: tuple[float, float] | None = None
        self._usual = NAN

    @property
    def references(self) -> References:
        """References, with what has been learned."""
        return self._references

    def look(self, window: NDArray[Any], angle_deg: float = NAN) -> Fix:
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
        return self._against(key, *_readable(window))

    def learn(self, window: NDArray[Any], angle_deg: float = NAN) -> Fix:
        """Take an image of a first turn into the references.

        The first image at an angle defines where the patch is unmoved there; each further one is shifted onto the reference
        and averaged into it, unless it doesn't fit well.

        Returns
        -------
        Fix
            Shift of this image against the reference as it was before; zero, by definition, for the first one.

        Raises
        ------
        ModelError
            The window has another shape than the light, or the reference has no noise that could be averaged.
        """
        key = self._references.nearest(angle_deg)
        if key is None:
            first = Reference.measured(window, self._light)
            try:
                texture = prepare(first, self._light, 1.0)
            except ModelError as failure:
                return Fix.lost(str(failure))
            self._references.put(angle_deg, first)
            return Fix({"u": 0.0, "v": 0.0, "contrast": texture.contrast}, {"u": 0.0, "v": 0.0, "contrast": NAN})
        old = self._references[key]
        if np.isinf(old.averaged).any():
            raise ModelError(
                "the reference at this angle has no noise to be averaged; learn at angles without a reference"
            )
        fix = self.look(window, angle_deg)
        if fix.verdict is Verdict.GOOD:
            another = moved(Reference.measured(window, self._light), self._light, -fix.values["u"], -fix.values["v"])
            self._references.put(key, old.with_another(another))
            self._forget(key)
        return fix

    def _forget(self, key: float) -> None:
        self._ready.pop(key, None)
        for name in [name for name in self._places if name[0] == key]:
            del self._places[name]

    def _against(self, key: float, image: NDArray[Any], without: NDArray[np.bool_] | None) -> Fix:
        try:
            ready = self._prepared(key, image)
        except ModelError as failure:
            return self._lost(str(failure))
        if ready is None:
            return self._lost("dark")
        found = None if self._last is None else self._converged(key, ready, image, self._last)
        if found is None or not _significant(found[1]) or found[1].gain < STAYED * self._usual:
            coarse = ready.search.find(image)
            if not coarse.level > 0:
                return self._lost("dark")
            if coarse.significance > SIGNIFICANT:
                far = self._converged(key, ready, image, (coarse.u, coarse.v))
                if far is not None and _significant(far[1]) and (found is None or far[1].gain > found[1].gain):
                    found = far
        if found is None or not _significant(found[1]):
            return self._lost("no correlation with the reference")
        return self._judged(key, ready, found, image, without)

    def _lost(self, reason: str) -> Fix:
        self._last, self._usual = None, NAN
        return Fix.lost(reason)

    def _prepared(self, key: float, image: NDArray[Any]) -> _Ready | None:
        """The reference made ready, for images of about this brightness; None for one without light."""
        ready = self._ready.get(key)
        if ready is None:
            seen = self._window.flat > 0
            total = float(self._window.flat.sum(dtype=float))
            level = float((image[seen].astype(float) - self._window.dark[seen]).sum()) / total if total else 0.0
            if not level > 0:
                return None
            texture = prepare(self._references[key], self._light, level)
            ready = self._ready[key] = _Ready(texture, CoarseSearch(texture, self._window), level)
            if len(self._ready) > max(TEXTURES, TEXTURE_PIXELS // image.size):
                self._forget(next(iter(self._ready)))
        self._ready.move_to_end(key)
        return ready

    def _place(self, key: float, ready: _Ready, at: tuple[float, float]) -> Place:
        """Templates near a place: those at hand, or else new ones."""
        best, nearest = None, 1.0
        for name, place in self._places.items():
            if name[0] == key and place.alive:
                away = max(abs(at[0] - place.u) / place.reach[0], abs(at[1] - place.v) / place.reach[1])
                if away < nearest:
                    best, nearest = name, away
        if best is None:
            u, v = (GRID_PX * round(x / GRID_PX) for x in at)
            best = (key, u, v)
            self._places[best] = Place(ready.texture, self._window, u, v, ready.level)
            if len(self._places) > PLACES:
                self._places.popitem(last=False)
        self._places.move_to_end(best)
        return self._places[best]

    def _converged(self, key: float, ready: _Ready, image: NDArray[Any], at: tuple[float, float]) -> Found | None:
        """Place and reading where the image is read within reach of its place; None where that leads nowhere."""
        rows, columns = image.shape
        for _ in range(TRIES):
            if not (abs(at[0]) < HALF * columns and abs(at[1]) < HALF * rows):
                return None
            place = self._place(key, ready, at)
            if not place.alive:
                return None
            reading = place.read(image)
            if not math.isfinite(reading.du + reading.dv):
                return None
            if abs(reading.du) <= place.reach[0] and abs(reading.dv) <= place.reach[1]:
                return place, reading
            step = np.clip((reading.du, reading.dv), -STRIDE_PX, STRIDE_PX)
            at = place.u + float(step[0]), place.v + float(step[1])
        return None

    def _judged(
        self, key: float, ready: _Ready, found: Found, image: NDArray[Any], without: NDArray[np.bool_] | None
    ) -> Fix:
        place, reading = found
        saturated = image >= self._light.full_scale if reading.top >= self._light.full_scale else None
        out = saturated if without is None else without if saturated is None else saturated | without
        hidden: NDArray[np.bool_] | None = None
        for _ in range(TRIES):
            if out is not None:
                if self._part(out) > HALF:
                    return self._lost("saturated" if self._part(saturated) > self._part(hidden) else "covered")
                at = place.u + reading.du, place.v + reading.dv
                place = Place(ready.texture, Window.of(self._light, out), *at, reading.level)
                if not place.alive:
                    return self._lost("covered")
                reading = place.read(image)
                if not _significant(reading):
                    return self._lost("no correlation with the reference")
            more = covered(place, reading, image)
            if more is None or (hidden is not None and not (more & ~hidden).any()):
                break
            hidden = more if hidden is None else hidden | more
            out = hidden if out is None else out | hidden
        if place.alive < HALF * image.size:
            return self._lost("mostly dead" if self._alive < HALF * image.size else "left the window")
        self._last, self._usual = (place.u + reading.du, place.v + reading.dv), reading.gain
        if not 1.0 / BRIGHTER < reading.level / ready.level < BRIGHTER:
            self._forget(key)
        return self._fix(ready, place, reading, self._part(hidden), self._part(saturated))

    def _part(self, mask: NDArray[np.bool_] | None) -> float:
        """Part of the pixels that are alive in a mask."""
        return 0.0 if mask is None else float(np.count_nonzero(mask & (self._window.flat > 0))) / max(self._alive, 1)

    def _fix(self, ready: _Ready, place: Place, reading: Reading, hidden: float, saturated: float) -> Fix:
        stated = math.isfinite(self._light.variance_per_count)
        scale = reading.misfit if not stated or reading.misfit > MISFIT_TOLD else 1.0
        amount, u, v = (math.sqrt(scale * float(reading.cov[i, i])) for i in (1, 2, 3))
        contrast = ready.texture.contrast
        sigma = {"u": u, "v": v, "contrast": amount / reading.level * contrast}
        values = {"u": place.u + reading.du, "v": place.v + reading.dv, "contrast": reading.gain * contrast}
        reasons = []
        if max(u, v) > SUSPECT_SIGMA_PX:
            reasons.append("uncertain")
        if hidden:
            reasons.append(f"{hidden:.0%} covered")
        if saturated > FEW:
            reasons.append(f"{saturated:.0%} saturated")
        if stated and reading.misfit > LARGE_MISFIT:
            reasons.append("doesn't look like the reference")
        verdict = Verdict.SUSPECT if reasons else Verdict.GOOD
        return Fix(values, sigma, reading.misfit if stated else NAN, verdict, ", ".join(reasons))


def _readable(window: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Image in a type that the compiled passes read, and pixels of it that are no number."""
    kind = window.dtype.newbyteorder("=")
    image = np.ascontiguousarray(window, dtype=kind if kind in DIRECT else np.dtype(np.float32))
    if kind.kind != "f":
        return image, None
    bad = ~np.isfinite(image)
    if not bad.any():
        return image, None
    return np.where(bad, np.float32(0), image), bad


def _significant(reading: Reading) -> bool:
    """Whether the texture is there at all."""
    if not reading.level > 0:
        return False
    sigma = math.sqrt(float(reading.cov[1, 1]) * max(reading.misfit, 1e-30))
    return reading.gain * reading.level > SIGNIFICANT * sigma
