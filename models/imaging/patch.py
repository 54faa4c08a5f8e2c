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
from models.imaging.patch_cover import LARGE_MISFIT, Found, Mask, covered, suspicious
from models.imaging.patch_noise import SharedNoise
from models.imaging.patch_place import Place, Reading, Window, moved
from models.imaging.patch_reference import Reference, References
from models.imaging.patch_texture import Texture, prepare

GRID_PX = 0.125  # templates are made for whole multiples of this
PLACES, TEXTURES, TEXTURE_PIXELS = 25, 4, 8_000_000  # kept: places; textures, at least, and more while they are small
LEAST_SIDE = 8  # px, of a window
TRIES = 8  # places before a shift is given up
ROUNDABOUT = 2.0  # reaches at which a reading is taken that leads from one place to the other and back
STRIDE_PX = 0.7  # longest way from one place to the next: farther away the answers say little
SIGNIFICANT = 6.0  # σ of a correlation that is none by chance
STAYED = 0.5  # of the last contrast: with less the patch may have jumped
MISFIT_TOLD = 1.08  # from which a misfit is more than its own scatter, and widens σ
HALF, FEW = 0.5, 0.01  # of the pixels
BRIGHTER = 1.25  # change of brightness after which pixels are weighed anew
NAN = float("nan")
DIRECT = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))  # types that are read as they are


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
    Assumes that the patch moves as a whole and that the texture is sampled finely enough (correlation length to 1/e at least
    1.5 px). Weights are those of white noise; noise that neighbours share (a scintillator's) is found and widens σ. The noise
    of a reference is a common error of all images that are compared with it; it is contained in σ. What has moved into the
    window isn't in the reference and isn't compared. σ is widened by a misfit, but a misfit that is itself a texture can
    shift more than that.

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
        if min(light.flat.shape) < LEAST_SIDE:
            rows, columns = light.flat.shape
            raise ModelError(f"a window of {rows} × {columns} px holds no texture; give it {LEAST_SIDE} px each way")
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
        self._noise = SharedNoise()

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

    def restart(self) -> None:
        """Forget where the patch was last: the next image is searched as the first one is."""
        self._last, self._usual = None, NAN
        self._places.clear()

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

    def _against(self, key: float, image: NDArray[Any], without: Mask | None) -> Fix:
        try:
            ready = self._prepared(key, image)
        except ModelError as failure:
            return self._lost(str(failure))
        if ready is None:
            return self._lost("dark")
        texture = ready.texture
        found = None if self._last is None else self._converged(key, ready, image, self._last)
        if found is None or not _significant(*found, texture) or found[1].gain < STAYED * self._usual:
            coarse = ready.search.find(image)
            if not coarse.level > 0:
                return self._lost("dark")
            if coarse.significance < SIGNIFICANT:
                return self._lost("no correlation with the reference")
            far = self._converged(key, ready, image, (coarse.u, coarse.v))
            if far is not None and (found is None or far[1].gain > found[1].gain):
                found = far
        if found is None or not _significant(*found, texture):
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
        tried: list[tuple[float, Found]] = []
        for _ in range(TRIES):
            if not (abs(at[0]) < HALF * columns and abs(at[1]) < HALF * rows):
                return None
            place = self._place(key, ready, at)
            if not place.alive:
                return None
            if any(place is other for _, (other, _) in tried):
                break  # in a circle between two places: noise looks a little different from each
            reading = place.read(image)
            if not math.isfinite(reading.du + reading.dv):
                return None
            away = max(abs(reading.du) / place.reach[0], abs(reading.dv) / place.reach[1])
            if away <= 1.0:
                return place, reading
            tried.append((away, (place, reading)))
            at = _next(place, reading)
        away, found = min(tried, key=lambda one: one[0])
        return found if away <= ROUNDABOUT else None

    def _judged(self, key: float, ready: _Ready, found: Found, image: NDArray[Any], without: Mask | None) -> Fix:
        place, reading = found
        saturated = self._saturated(image, reading)
        out = saturated if without is None else without if saturated is None else saturated | without

        def refit(mask: Mask) -> Found | None:
            both = mask if out is None else mask | out
            at = place.u + reading.du, place.v + reading.dv
            other = Place(ready.texture, Window.of(self._light, both), *at, reading.level)
            return (other, other.read(image)) if other.alive else None

        hidden: Mask | None = None
        if out is not None:
            if self._part(out) > HALF:
                return self._lost("saturated" if self._part(saturated) > HALF else "not a number")
            again = refit(out)
            if again is None:
                return self._lost("hardly a pixel left")
            place, reading = again
        if suspicious(place, reading):
            hidden = covered(place, reading, image, refit)
            if hidden is not None:
                again = refit(hidden)
                if again is None or self._part(hidden) > HALF:
                    return self._lost("covered")
                place, reading = again
        if not _significant(place, reading, ready.texture):
            return self._lost("no correlation with the reference")
        if place.alive < HALF * image.size:
            return self._lost("mostly dead" if self._alive < HALF * image.size else "left the window")
        self._last, self._usual = (place.u + reading.du, place.v + reading.dv), reading.gain
        if not 1.0 / BRIGHTER < reading.level / ready.level < BRIGHTER:
            self._forget(key)
        if hidden is None and out is None and not (place.stated and reading.misfit > LARGE_MISFIT):
            self._noise.ask(ready.texture, place, reading, image)
        return self._fix(ready, place, reading, self._part(hidden), self._part(saturated))

    def _saturated(self, image: NDArray[Any], reading: Reading) -> Mask | None:
        """Saturated pixels that aren't dead anyway; None without any."""
        if reading.top < self._light.full_scale:
            return None
        mask = (image >= self._light.full_scale) & (self._window.flat > 0)
        return mask if mask.any() else None

    def _part(self, mask: Mask | None) -> float:
        """Part of the pixels that are alive in a mask."""
        return 0.0 if mask is None else float(np.count_nonzero(mask & (self._window.flat > 0))) / max(self._alive, 1)

    def _fix(self, ready: _Ready, place: Place, reading: Reading, hidden: float, saturated: float) -> Fix:
        stated = self._window.stated
        scale = reading.misfit if not stated or reading.misfit > MISFIT_TOLD else 1.0
        scale = max(scale, self._noise.factor * (1.0 if stated else reading.misfit))
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


def _next(place: Place, reading: Reading) -> tuple[float, float]:
    """Where an image is to be read that is out of a place's reach.

    A patch that has just left the reach drifts: the next place lies ahead of it, so that it stays there for longer.
    """
    at = []
    for from_, step, reach in ((place.u, reading.du, place.reach[0]), (place.v, reading.dv, place.reach[1])):
        ahead = max(0.0, reach - 0.6 * GRID_PX) if reach < abs(step) < 2.0 * reach else 0.0
        at.append(from_ + math.copysign(min(abs(step), STRIDE_PX) + ahead, step))
    return at[0], at[1]


def _readable(window: NDArray[Any]) -> tuple[NDArray[Any], Mask | None]:
    """Image in a type that the compiled passes read, and pixels of it that are no number."""
    kind = window.dtype.newbyteorder("=")
    image = np.ascontiguousarray(window, dtype=kind if kind in DIRECT else np.dtype(np.float32))
    if kind.kind != "f":
        return image, None
    bad = ~np.isfinite(image)
    if not bad.any():
        return image, None
    return np.where(bad, np.float32(0), image), bad


def _significant(place: Place, reading: Reading, texture: Texture) -> bool:
    """Whether the texture is there at all.

    A misfit beyond the stated noise is taken for another texture with cells as large: it resembles this one by chance far
    more easily than noise does.
    """
    if not reading.level > 0:
        return False
    widened = reading.misfit
    if place.stated and reading.misfit > 1.0:
        widened = 1.0 + (reading.misfit - 1.0) * texture.cell_px
    return reading.gain * reading.level > SIGNIFICANT * math.sqrt(float(reading.cov[1, 1]) * max(widened, 1e-30))
