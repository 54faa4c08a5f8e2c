"""Configuration: TOML → frozen typed model. All errors of a file at once, each with its key and its mend."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError

from sensors import registry
from twin import sections as s
from twin.references import broken_references


class ConfigError(ValueError):
    """A configuration can't be used. ``problems`` holds one line per fault: file, key, what is allowed."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Config(s.Section):
    """A whole configuration file (format version 1)."""

    ctwin: Literal[1]
    system: s.System
    geometry: s.Geometry
    source: s.Source
    detector: s.Detector = s.Detector()
    scan: s.ScanPlan
    estimator: s.Estimator = s.Estimator()
    nodes: tuple[s.Node, ...] = Field(default=(), alias="node")
    links: tuple[s.Link, ...] = Field(default=(), alias="link")
    elements: tuple[s.Element, ...] = Field(default=(), alias="element")
    drift: s.Drifts = s.Drifts()
    flux: s.Flux = s.Flux()
    stage: s.Stage = s.Stage()
    modes: tuple[s.Mode, ...] = Field(default=(), alias="mode")
    markers: tuple[s.Marker, ...] = Field(default=(), alias="marker")
    sensors: tuple[s.SensorSection, ...] = Field(default=(), alias="sensor")
    channels: tuple[s.ChannelSection, ...] = Field(default=(), alias="channel")
    alerts: tuple[s.AlertSection, ...] = Field(default=(), alias="alert")
    sinks: tuple[s.SinkSection, ...] = Field(default=(), alias="sink")
    store: s.Store = s.Store()
    publish: s.Publish = s.Publish()
    http: s.Http = s.Http()

    @property
    def digest(self) -> str:
        """Hash of everything in the file, for provenance (first 16 hex digits of SHA-256)."""
        text = json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def load(path: Path) -> Config:
    """Read and validate a configuration file; raises :class:`ConfigError` with every fault of the file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file; 'ctwin init PROFILE' writes one to start from"]) from None
    except IsADirectoryError:
        raise ConfigError([f"{path}: is a folder; name the TOML file in it"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: can't be read: {error.strerror}"]) from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: not valid TOML: {error}"]) from None
    return validate(data, str(path))


def validate(data: dict[str, Any], where: str) -> Config:
    """Validate parsed TOML; ``where`` names its origin in the messages."""
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError([_problem(where, data, fault) for fault in error.errors()]) from None
    problems = [f"{where}: {line}" for line in (*broken_references(config), *_sensor_faults(config))]
    if problems:
        raise ConfigError(problems)
    return config


def _sensor_faults(config: Config) -> Iterator[str]:
    for sensor in config.sensors:
        key = f"sensor[{sensor.name}]"
        try:
            model = registry.options_of(sensor.kind)
        except KeyError:
            yield f"{key}.kind: {sensor.kind!r} is unknown{_nearest(sensor.kind, registry.kinds())}"
            continue
        try:
            model.model_validate(sensor.options)
        except ValidationError as error:
            for fault in error.errors():
                yield f"{key}.{_tail(fault, model)}"


def _tail(fault: Any, model: type[BaseModel]) -> str:
    name = ".".join(str(part) for part in fault["loc"]) or "(table)"
    if fault["type"] == "extra_forbidden":
        return f"{name}: unknown key{_nearest(name, tuple(model.model_fields))}"
    return f"{name}: {fault['msg']}"


def _nearest(word: str, known: tuple[str, ...]) -> str:
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else f"; allowed: {', '.join(known)}"


def _problem(where: str, data: dict[str, Any], fault: Any) -> str:
    """One line for one pydantic fault: file, key with the entry's own name, consequence and mend."""
    place, model = _place(data, fault["loc"])
    kind, last = fault["type"], str(fault["loc"][-1]) if fault["loc"] else "(file)"
    if kind == "extra_forbidden":
        known = tuple(field.alias or name for name, field in model.model_fields.items()) if model else ()
        return f"{where}: {place}: unknown key{_nearest(last, known)}"
    if kind == "missing":
        return f"{where}: {place}: missing; add it"
    given = "" if isinstance(fault.get("input"), dict | list) else f" (given: {fault.get('input')!r})"
    message = fault["msg"].removeprefix("Value error, ")
    if kind in ("literal_error", "enum") and isinstance(fault.get("input"), str):
        allowed = tuple(w.strip(" '") for w in str(fault["ctx"]["expected"]).replace(" or ", ", ").split(","))
        return f"{where}: {place}: {fault['input']!r} is not allowed{_nearest(fault['input'], allowed)}"
    return f"{where}: {place}: {message}{given}"


def _place(data: Any, loc: tuple[int | str, ...]) -> tuple[str, type[BaseModel] | None]:
    """Readable key path, and the model whose keys are allowed at its parent."""
    words: list[str] = []
    model: type[BaseModel] | None = Config
    here = data
    for index, part in enumerate(loc):
        if isinstance(part, int):
            here = here[part] if isinstance(here, list) and part < len(here) else None
            name = here.get("name") if isinstance(here, dict) else None
            words[-1] += f"[{name or part + 1}]" if words else f"[{part + 1}]"
            continue
        words.append(part)
        here = here.get(part) if isinstance(here, dict) else None
        if index < len(loc) - 1 and model is not None:
            model = _model_of(model, part) or model
    return ".".join(words) or "(file)", model


def _model_of(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    for name, field in model.model_fields.items():
        if key in (name, field.alias):
            return _first_model(field.annotation)
    return None


def _first_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, Union) or get_args(annotation):
        for inner in get_args(annotation):
            found = _first_model(inner)
            if found is not None:
                return found
    return None


def json_schema() -> dict[str, Any]:
    """JSON schema of the configuration (committed as docs/config.schema.json; a test compares)."""
    return Config.model_json_schema(by_alias=True)
