"""What really happens in a simulated CT: the scenario file, typed. The configuration reveals none of it.

Times ending in ``_h`` count from the start of the scan; negative ones lie in the lead-in.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from twin.config import ConfigError
from twin.faults import describe
from twin.sections import Name, NonNegative, Number, Positive, Section, Spread, Vector

ROOM = "room"
BODY = r"^(source|object|detector|marker:[A-Za-z0-9_.-]+)$"
Body = Annotated[str, Field(pattern=BODY)]
Fraction = Annotated[float, Field(ge=0, le=1)]
FOLDER = Path(__file__).parent / "scenarios"


class Door(Section):
    """Somebody opens the door: the air moves towards ``depth_k`` and recovers afterwards."""

    time_h: Number
    depth_k: Number
    open_min: Positive = 2.0
    recovery_min: Positive = 15.0


class Room(Section):
    """Air of the room: mean, daily swing, sawtooth of the air conditioning, slow random walk, doors."""

    mean_degc: Number = 21.0
    daily_k: NonNegative = 0.0
    warmest_utc_h: Annotated[float, Field(ge=0, lt=24)] = 15.0
    conditioning_k: NonNegative = 0.0
    conditioning_min: Positive = 20.0
    random_walk_k_per_sqrt_h: NonNegative = 0.0
    doors: tuple[Door, ...] = Field(default=(), alias="door")


class Mass(Section):
    """A thermal mass that is warm all through (a tube housing, a chamber wall): follows the room or another mass.

    ``swing_k`` and ``random_walk_k_per_sqrt_h`` are disturbances of its own: cooling water, a motor, an amplifier.
    """

    name: Name
    follows: Name = ROOM
    time_constant_min: Positive
    kelvin_per_watt: NonNegative = 0.0
    swing_k: NonNegative = 0.0
    swing_min: Positive = 60.0
    random_walk_k_per_sqrt_h: NonNegative = 0.0


class Contact(Section):
    """Heat transfer to a surrounding. ``film_min`` is the time constant the whole bar would have through this contact
    alone if it conducted perfectly (rho c L / h); 0 is a perfect contact.
    """

    to: Name
    film_min: NonNegative = 0.0


class Bar(Section):
    """A bar that carries a body: heat creeps along it, it expands, the body moves along ``direction``."""

    name: Name
    body: Body
    direction: Vector
    length_mm: Positive
    expansion_per_k: Number
    diffusivity_m2_per_s: Positive
    cells: Annotated[int, Field(ge=3, le=400)] = 40
    foot: Contact | None = None
    head: Contact | None = None
    side: Contact | None = None

    @model_validator(mode="after")
    def _touches_something(self) -> Bar:
        if self.foot is None and self.head is None and self.side is None:
            raise ValueError("a bar needs at least one of foot, head and side, or it has no temperature")
        if self.side is not None and self.side.film_min == 0:
            raise ValueError("side.film_min must be positive: a bar held at its surroundings' heat conducts nothing")
        return self


class TubeEvent(Section):
    """The operator switches the tube or changes its operating point (omitted values: the configuration's)."""

    time_h: Number
    on: bool = True
    voltage_kv: Positive | None = None
    current_ua: Positive | None = None


class Tube(Section):
    """Programme of the tube; ``ripple_percent`` is the regulation noise of voltage and current."""

    on_at_start: bool = True
    ripple_percent: NonNegative = 0.01
    events: tuple[TubeEvent, ...] = Field(default=(), alias="event")


class Walk(Section):
    """Motion of a body that no temperature explains.

    ``random_walk``; ``wander``, an Ornstein-Uhlenbeck process; ``warmup``, A exp(-t/tau) since the tube was armed;
    ``creep``, A log(1 + t/tau) since the lead-in began.
    """

    random_walk_um_per_sqrt_h: Spread = (0.0, 0.0, 0.0)
    wander_um: Spread = (0.0, 0.0, 0.0)
    wander_min: Positive = 240.0
    warmup_um: Vector = (0.0, 0.0, 0.0)
    warmup_min: Positive = 60.0
    creep_um: Vector = (0.0, 0.0, 0.0)
    creep_min: Positive = 60.0


class Jump(Section):
    """The focal spot jumps and stays."""

    time_h: Number
    source_um: Vector


class SpotTruth(Section):
    """Size of the focal spot: FWHM when the scan starts (omitted: the configuration's), and what it does from then on."""

    fwhm_um: tuple[Positive, Positive] | None = None
    growth_um: tuple[Number, Number] = (0.0, 0.0)
    growth_h: Positive = 5.0
    random_walk_um_per_sqrt_h: tuple[NonNegative, NonNegative] = (0.0, 0.0)


class FluxStep(Section):
    """From ``time_h`` on the flux is ``factor`` times what it was; with ``recovery_min`` it comes back."""

    time_h: Number
    factor: Positive
    recovery_min: Positive | None = None


class FluxTruth(Section):
    """Flux of the bright field per projection, and everything it depends on."""

    level_counts: Positive = 1000.0
    warmup_percent: Number = 0.0
    warmup_min: Positive = 20.0
    random_walk_percent_per_sqrt_h: NonNegative = 0.0
    voltage_exponent: Number = 2.0
    current_exponent: Number = 1.0
    shuttle_px: NonNegative = 0.0
    percent_per_shuttle_px: Number = 0.0
    tip_um: Positive | None = None
    steps: tuple[FluxStep, ...] = Field(default=(), alias="step")


class MarkerTruth(Section):
    """Where a marker stands off the optical axis (in its own plane)."""

    name: Name
    position_um: tuple[Number, Number] = (0.0, 0.0)


class Instrument(Section):
    """How one channel's instrument errs. All values are in the channel's own unit."""

    channel: Name
    reads: Name | None = None
    position: Fraction = 0.5
    lag_s: NonNegative | None = None
    noise: NonNegative | None = None
    quantum: NonNegative = 0.0
    bias: Number = 0.0
    period_s: Positive | None = None
    loss: Fraction = 0.0
    silent_h: tuple[tuple[Number, Number], ...] = ()
    outliers: Fraction = 0.0
    outlier_size: Positive = 20.0
    jitter_s: NonNegative = 0.0
    delay_s: NonNegative = 0.0


class Scenario(Section):
    """A whole scenario file (format version 1)."""

    ctwin_scenario: Literal[1]
    name: Name
    step_s: Positive = 10.0
    settle_h: NonNegative = 24.0
    lead_h: NonNegative = 6.0
    room: Room = Room()
    masses: tuple[Mass, ...] = Field(default=(), alias="mass")
    bars: tuple[Bar, ...] = Field(default=(), alias="bar")
    tube: Tube = Tube()
    drift: dict[Body, Walk] = Field(default_factory=dict)
    jumps: tuple[Jump, ...] = Field(default=(), alias="jump")
    spot: SpotTruth = SpotTruth()
    flux: FluxTruth = FluxTruth()
    markers: tuple[MarkerTruth, ...] = Field(default=(), alias="marker")
    instruments: tuple[Instrument, ...] = Field(default=(), alias="instrument")

    def instrument(self, channel: str) -> Instrument:
        """Instrument behind a channel; a perfect one (but for the configured noise) where the scenario names none."""
        return next((i for i in self.instruments if i.channel == channel), Instrument(channel=channel))

    def walk(self, body: str) -> Walk:
        """Non-thermal motion of a body; none where the scenario names none."""
        return self.drift.get(body, Walk())


def load_scenario(path: Path) -> Scenario:
    """Read and validate a scenario file.

    Raises
    ------
    twin.config.ConfigError
        With one line per fault: file, key, consequence and mend.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file; shipped scenarios: {', '.join(shipped_names())}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: can't be read: {error.strerror}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: not valid TOML: {error}"]) from None
    return validate_scenario(data, str(path))


def validate_scenario(data: dict[str, Any], where: str) -> Scenario:
    """Validate parsed TOML; ``where`` names its origin in the messages."""
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        raise ConfigError([f"{where}: {line}" for line in describe(data, error.errors(), Scenario)]) from None
    problems = [f"{where}: {line}" for line in _broken_references(scenario)]
    if problems:
        raise ConfigError(problems)
    return scenario


def shipped_names() -> tuple[str, ...]:
    """Names of the scenarios that come with ctwin (those of the profiles they belong to)."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def shipped_scenario(name: str) -> Scenario:
    """Scenario that comes with ctwin, by the name of its profile; ConfigError for an unknown one."""
    if name not in shipped_names():
        raise ConfigError([f"scenario {name!r}: not shipped; there are {', '.join(shipped_names())}"])
    return load_scenario(FOLDER / f"{name}.toml")


def _broken_references(scenario: Scenario) -> Iterator[str]:
    known = [ROOM]
    for mass in scenario.masses:
        if mass.follows not in known:
            yield f"mass[{mass.name}].follows: {mass.follows!r} is not defined before it; known: {', '.join(known)}"
        known.append(mass.name)
    for bar in scenario.bars:
        for key, contact in (("foot", bar.foot), ("head", bar.head), ("side", bar.side)):
            if contact is not None and contact.to not in known:
                yield f"bar[{bar.name}].{key}.to: {contact.to!r} is not defined; known: {', '.join(known)}"
    readable = [*known, *(bar.name for bar in scenario.bars)]
    for kind, names in (
        ("mass or bar", readable),
        ("instrument", [i.channel for i in scenario.instruments]),
        ("marker", [m.name for m in scenario.markers]),
    ):
        for name in sorted({n for n in names if names.count(n) > 1}):
            yield f"{kind} {name!r}: given {names.count(name)} times; names must differ"
    for instrument in scenario.instruments:
        if instrument.reads is not None and instrument.reads not in readable:
            yield (
                f"instrument[{instrument.channel}].reads: {instrument.reads!r} is not defined; "
                f"known: {', '.join(readable)}"
            )
