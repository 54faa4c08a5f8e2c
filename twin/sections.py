"""The tables of a configuration file as frozen typed models; every key carries its unit in its name."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sensors.channel import UNITS, Channel

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]
Vector = tuple[Number, Number, Number]
Spread = tuple[NonNegative, NonNegative, NonNegative]

# Textbook coefficients of linear expansion [1e-6/K]; priors, narrowed by sensitivity_sigma and calibration.
EXPANSION = {
    "aluminium": 23.0,
    "brass": 19.0,
    "stainless-304": 17.0,
    "carbon-steel": 11.5,
    "granite": 6.5,
    "tungsten": 4.5,
    "invar": 1.2,
}


class Section(BaseModel):
    """Base of all tables: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class System(Section):
    """Which machine this is; both names become tags of every stored series."""

    name: Name
    site: Name = "lab"


class Geometry(Section):
    """Reference pose and detector grid."""

    source_object_mm: Positive
    source_detector_mm: Positive
    pixel_um: Positive
    columns: Annotated[int, Field(gt=0)]
    rows: Annotated[int, Field(gt=0)]

    @model_validator(mode="after")
    def _order(self) -> Geometry:
        if self.source_detector_mm <= self.source_object_mm:
            raise ValueError(
                "source_detector_mm must be larger than source_object_mm (the detector is behind the object)"
            )
        return self


class Source(Section):
    """Focal spot and operating point. Give the spot as FWHM or as its width at 10 % of the peak, not both."""

    spot_fwhm_um: tuple[Positive, Positive] | None = None
    spot_10_percent_um: Positive | None = None
    spot_sigma_percent: Positive = 20.0
    spot_walk_um_per_sqrt_h: tuple[NonNegative, NonNegative] = (0.0, 0.0)
    second_percent: Annotated[float, Field(ge=0, lt=50)] = 0.0
    second_fwhm_um: Positive | None = None
    second_offset_um: tuple[Number, Number] = (0.0, 0.0)
    voltage_kv: Positive
    current_ua: Positive

    @model_validator(mode="after")
    def _one_convention(self) -> Source:
        if (self.spot_fwhm_um is None) == (self.spot_10_percent_um is None):
            raise ValueError("give exactly one of spot_fwhm_um and spot_10_percent_um")
        if bool(self.second_percent) != (self.second_fwhm_um is not None):
            raise ValueError("second_percent and second_fwhm_um belong together; give both or none")
        return self

    @property
    def second_spot_m(self) -> tuple[float, float, float, float] | None:
        """Part of the light, FWHM and offsets along u and v of the second spot [m]; None without one."""
        if self.second_fwhm_um is None:
            return None
        u, v = self.second_offset_um
        return self.second_percent / 100.0, self.second_fwhm_um * 1e-6, u * 1e-6, v * 1e-6


class Detector(Section):
    """Blur and counting of the detector."""

    psf_sigma_px: NonNegative = 0.0
    full_scale_counts: Positive = 65535.0
    photons_per_count: Positive = 1.0


class ScanPlan(Section):
    """The scan this machine is watched for."""

    projections: Annotated[int, Field(gt=0)]
    exposure_s: Positive
    frames: Annotated[int, Field(gt=0)] = 1
    duration_h: Positive
    conditioning_h: NonNegative = 0.0
    flat_every: Annotated[int, Field(ge=0)] = 0
    ends_after_min: Positive | None = None
    resolution_limit_um: Positive


class Estimator(Section):
    """How readings become estimates."""

    grid_s: Positive = 10.0
    late_s: NonNegative = 30.0
    engine: Literal["compiled", "filterpy"] = "compiled"
    gate_sigma: Positive = 5.0
    forecast_every_s: Positive = 600.0
    forecast_h: Positive = 8.0
    snapshot_every_s: Positive = 600.0


class Node(Section):
    """A node of the thermal network. The node called ambient is the room."""

    name: Name
    daily_k: NonNegative = 0.0
    random_walk_k_per_sqrt_h: NonNegative = 0.1
    time_constant_min: Positive | None = None
    kelvin_per_watt: NonNegative = 0.0
    capacity_j_per_k: Positive | None = None
    initial_sigma_k: Positive | None = None


class Link(Section):
    """A conductance between two nodes other than ambient (symmetric)."""

    a: Name
    b: Name
    conductance_w_per_k: Positive


class Element(Section):
    """A piece of the mechanical path that carries a body and expands with a node's temperature."""

    body: Annotated[str, Field(pattern=r"^(source|object|detector|marker:[A-Za-z0-9_.-]+)$")]
    node: Name
    material: Literal["aluminium", "brass", "stainless-304", "carbon-steel", "granite", "tungsten", "invar"] | None = (
        None
    )
    expansion_per_k: Number | None = None
    length_mm: Positive
    direction: Vector
    sensitivity: Number = 1.0
    sensitivity_sigma: NonNegative = 0.3
    direction_sigma: NonNegative = 0.0

    @model_validator(mode="after")
    def _one_coefficient(self) -> Element:
        if (self.material is None) == (self.expansion_per_k is None):
            raise ValueError("give exactly one of material and expansion_per_k")
        return self

    @property
    def metres_per_kelvin(self) -> float:
        """Expansion of the element [m/K] before its direction is applied."""
        per_kelvin = self.expansion_per_k if self.expansion_per_k is not None else EXPANSION[self.material or ""] * 1e-6
        return self.sensitivity * per_kelvin * self.length_mm * 1e-3


class Drift(Section):
    """Drift of a body that no temperature explains."""

    model: Literal["random_walk", "ornstein_uhlenbeck", "integrated_walk"] = "random_walk"
    random_walk_um_per_sqrt_h: Spread = (0.0, 0.0, 0.0)
    sigma_um: Spread | None = None
    correlation_min: Positive | None = None
    rate_walk_um_per_h_per_sqrt_h: Spread | None = None
    warmup_um: Spread = (0.0, 0.0, 0.0)
    warmup_min: tuple[Positive, Positive] = (5.0, 180.0)
    steps_per_day: NonNegative = 0.0
    step_um: Spread = (0.0, 0.0, 0.0)

    @property
    def step_sigma_um(self) -> Spread:
        """Usual size of a step per axis [µm]; where none is stated, five times the random walk of an hour."""
        u, v, w = self.step_um if any(self.step_um) else (5.0 * walk for walk in self.random_walk_um_per_sqrt_h)
        return u, v, w

    @model_validator(mode="after")
    def _keys_of_the_model(self) -> Drift:
        if (self.model == "ornstein_uhlenbeck") != (self.sigma_um is not None and self.correlation_min is not None):
            raise ValueError("sigma_um and correlation_min belong to model = 'ornstein_uhlenbeck', which needs both")
        if (self.model == "integrated_walk") != (self.rate_walk_um_per_h_per_sqrt_h is not None):
            raise ValueError("rate_walk_um_per_h_per_sqrt_h belongs to model = 'integrated_walk', which needs it")
        if self.warmup_min[0] >= self.warmup_min[1]:
            raise ValueError("warmup_min is a range: its first value must be smaller than its second")
        if any(self.step_um) and not self.steps_per_day:
            raise ValueError("step_um belongs to steps_per_day, which must be above 0")
        return self


class SampleDrift(Section):
    """Creep of the sample on the stage, which turns with the angle; the same in every direction of the sample."""

    random_walk_um_per_sqrt_h: NonNegative = 0.0


class Drifts(Section):
    """Non-thermal drift per body; the detector is the origin of the frame and has none."""

    source: Drift = Drift()
    object: Drift = Drift()
    sample: SampleDrift = SampleDrift()


class Flux(Section):
    """Prior of the flux model: log I = b(t) + beta·covariates + noise."""

    random_walk_percent_per_sqrt_h: NonNegative = 0.1
    warmup_percent: NonNegative = 0.0
    warmup_min: tuple[Positive, Positive] = (5.0, 180.0)
    floor_percent: NonNegative = 0.05
    covariate_sigma: Positive = 3.0
    ripple_period_s: tuple[Positive, ...] = ()
    ripple_percent: NonNegative = 0.1
    steps_per_day: NonNegative = 0.0
    step_percent: Positive = 5.0


class Stage(Section):
    """Rotation stage: what it adds to the budget, and what of it repeats with the angle."""

    wobble_urad: NonNegative = 0.0
    height_above_bearing_mm: NonNegative = 0.0
    runout_nm: NonNegative = 0.0
    repeatable_nm: Spread = (0.0, 0.0, 0.0)
    harmonics: Annotated[int, Field(ge=1, le=12)] = 3
    nonrepeatable_nm: NonNegative = 0.0
    angle_error_urad: NonNegative = 0.0
    sample_radius_um: NonNegative = 0.0


class Mode(Section):
    """A mode in which a body moves relative to the base that an accelerometer stands on."""

    frequency_hz: Positive
    damping: Annotated[float, Field(gt=0, lt=1)]
    axis: Literal["u", "v", "w"]
    body: Literal["source", "object", "detector"] = "object"
    participation: Number = 1.0
    amplitude_nm: NonNegative = 0.0


class Vibration(Section):
    """How blocks of acceleration are looked at."""

    low_hz: Positive = 1.0
    spectrum_every_s: Positive = 300.0


class Marker(Section):
    """Something in the projections whose position is measured."""

    name: Name
    kind: Literal["wire", "cross", "sphere", "patch"]
    source_marker_mm: Positive
    diameter_um: Positive | None = None
    angle_deg: Number = 90.0
    node: Name | None = None
    mounted_on: Literal["base", "object"] = "base"
    mount_random_walk_um_per_sqrt_h: NonNegative = 0.0


class SensorSection(BaseModel):
    """A source of readings; further keys belong to its kind and are checked by it."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: Name
    kind: str
    startup: Literal["fail", "retry", "ignore"] = "retry"

    @property
    def options(self) -> dict[str, Any]:
        """Keys that belong to the kind."""
        return dict(self.model_extra or {})


class ChannelSection(Section):
    """What a stream of values means."""

    name: Name
    sensor: Name
    quantity: str
    unit: str
    address: str = ""
    at: Name | None = None
    lag_s: NonNegative = 0.0
    sigma: Positive | None = None
    period_s: Positive | None = None
    stale_after_s: Positive | None = None
    valid: tuple[Number, Number] | None = None
    sentinels: tuple[Number, ...] = ()
    marker: Name | None = None
    axis: Literal["n", "u", "v", "w"] | None = None
    full_scale: Positive | None = None
    noise_per_sqrt_hz: NonNegative = 0.0
    covariates: tuple[Literal["voltage", "current", "detector_shift", "beam_shift"], ...] = ()
    measures: Literal["beam_shift"] | None = None

    @model_validator(mode="after")
    def _known_unit(self) -> ChannelSection:
        if self.quantity not in UNITS:
            raise ValueError(f"quantity {self.quantity!r} is unknown; allowed: {', '.join(UNITS)}")
        if self.unit not in UNITS[self.quantity]:
            raise ValueError(
                f"unit {self.unit!r} does not fit {self.quantity}; allowed: {', '.join(UNITS[self.quantity])}"
            )
        if self.valid is not None and self.valid[0] >= self.valid[1]:
            raise ValueError("valid is a range: its first value must be smaller than its second")
        return self

    @property
    def noun(self) -> Channel:
        """The channel as the packages that use it know it."""
        return Channel(
            self.name, self.quantity, self.unit, self.sensor, self.address, math.nan if self.sigma is None else self.sigma,
            math.inf if self.stale_after_s is None else self.stale_after_s, self.valid, self.sentinels,
            math.nan if self.full_scale is None else self.full_scale, self.noise_per_sqrt_hz,
        )  # fmt: skip


class AlertSection(Section):
    """A rule: when it holds for long enough, somebody is told."""

    name: Name
    when: str
    for_min: NonNegative = 0.0
    clear_for_min: NonNegative = 0.0
    hysteresis: NonNegative = 0.0
    severity: Literal["info", "minor", "major", "critical"] = "minor"
    guidance: str = ""


class SinkSection(BaseModel):
    """Where alerts go; further keys belong to its kind and are checked by it."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: Name
    kind: str

    @property
    def options(self) -> dict[str, Any]:
        """Keys that belong to the kind."""
        return dict(self.model_extra or {})


class Store(Section):
    """The embedded store."""

    folder: str = "state"
    keep_readings_days: Positive = 90.0


class Influx(Section):
    """A server that takes line protocol."""

    url: Annotated[str, Field(pattern=r"^https?://")]
    api: Literal["v1", "v2"] = "v2"
    bucket: str
    org: str = ""
    token_file: str | None = None
    spool_mb: Positive = 256.0
    spool_days: Positive = 30.0


class Publish(Section):
    """Where results are published."""

    influx: Influx | None = None


class Http(Section):
    """Status page."""

    listen: Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^:\s]+):\d{1,5}$")] = "127.0.0.1:8321"
    tls_certificate: str | None = None
    tokens_file: str | None = None
