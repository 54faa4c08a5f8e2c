"""Keys of the kind ``images`` in a configuration, and what they mean."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sensors.images.follower import Follower
from sensors.images.formats import open_series
from sensors.images.illumination import Illumination
from sensors.images.looking import Look
from sensors.images.region import Region
from sensors.images.series import Series
from sensors.images.times import TimesTable, Timing, start_of
from sensors.reading import SensorError
from sensors.timestamps import WallClock

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LookOptions(BaseModel):
    """Keys of ``[[sensor.look]]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    marker: Literal["wire", "cross", "sphere", "patch", "edge", "bright", "flux"]
    window: str | None = None
    diameter_px: Positive | None = None
    reference: str | None = None

    @field_validator("window")
    @classmethod
    def _is_window(cls, text: str | None) -> str | None:
        if text is not None:
            Region.parse(text)
        return text

    @model_validator(mode="after")
    def _fits(self) -> LookOptions:
        if self.marker in ("flux", "patch", "edge") and self.window is None:
            raise ValueError(f"marker {self.marker!r} needs its window; it can't be found by itself")
        if self.reference is not None and self.marker not in ("patch", "bright"):
            raise ValueError(f"a {self.marker} is compared with no reference; remove the key")
        if self.diameter_px is not None and self.marker not in ("wire", "cross", "sphere"):
            raise ValueError(f"{self.marker!r} has no diameter; remove the key")
        return self


class ImagesOptions(BaseModel):
    """Keys of the kind ``images``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str
    pattern: str = ""
    follow: bool = True
    poll_s: Positive = 1.0
    patience_s: NonNegative = 60.0
    flat: str | None = None
    dark: str | None = None
    times: str | None = None
    cadence_s: Positive | None = None
    start: str | None = None
    exposure_s: NonNegative = 0.0
    timezone: str = "UTC"
    photons_per_count: Positive | None = None
    look: tuple[LookOptions, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> ImagesOptions:
        try:
            WallClock(self.timezone)
        except SensorError as error:
            raise ValueError(str(error)) from None
        if (self.cadence_s is None) != (self.start is None):
            raise ValueError("cadence_s and start belong together; give both or none")
        if self.start is not None:
            start_of(self.start, self.timezone)
        if self.times is not None and self.cadence_s is not None:
            raise ValueError("times and cadence_s exclude each other; remove one")
        names = [look.name for look in self.look]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"look {twice[0]!r} is there twice; names are unique")
        bright = [look.name for look in self.look if look.marker == "bright"]
        if self.follow and bright and len(bright) < len(self.look):
            raise ValueError(
                f"look {bright[0]!r} is for bright images; give them a sensor of their own, whose pattern names them"
            )
        return self

    def looks(self, base: Path) -> tuple[Look, ...]:
        """What to look at; paths relative to ``base``."""
        return tuple(
            Look(
                look.name,
                look.marker,
                None if look.window is None else Region.parse(look.window),
                look.diameter_px,
                None if look.reference is None else base / look.reference,
            )
            for look in self.look
        )

    def timing(self, base: Path) -> Timing:
        """Where times come from; raises SensorError for a table that can't be read."""
        return Timing(
            None if self.times is None else TimesTable(base / self.times, growing=self.follow),
            math.nan if self.cadence_s is None else self.cadence_s,
            math.nan if self.start is None else start_of(self.start, self.timezone),
            self.exposure_s,
        )

    def illumination(self, base: Path) -> Illumination:
        """Where bright and dark images are; those of a finished series are among its frames."""
        flat, dark = (None if path is None or not self.follow else base / path for path in (self.flat, self.dark))
        return Illumination(self.open, flat, dark, self.photons_per_count or math.nan)

    def open(self, path: Path) -> Series:
        """A series beside the projections: bright or dark images, references."""
        return open_series(path, timezone=self.timezone)

    def series(self, base: Path) -> Series:
        """The finished series itself, with the bright and dark images that are named; raises SensorError in one line."""
        flat, dark = (None if path is None else base / path for path in (self.flat, self.dark))
        return open_series(base / self.path, timezone=self.timezone, flat=flat, dark=dark, pattern=self.pattern)

    def follower(self, base: Path) -> Follower:
        """The folder that is being filled."""
        without = frozenset(base / path for path in (self.flat, self.dark) if path is not None)
        return Follower(base / self.path, self.pattern, self.patience_s, self.poll_s, without)
