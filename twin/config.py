"""Configuration: TOML → frozen typed model. All errors of a file at once, each with its key and its mend."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, Field, ValidationError

from sensors import registry
from twin import sections as s
from twin.faults import describe, nearest
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
    vibration: s.Vibration = s.Vibration()
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


Check = Callable[[Config], Iterable[str]]


class Registry(Protocol):
    """Kinds of sensor or sink by name."""

    def kinds(self) -> tuple[str, ...]:
        """Names of all kinds."""

    def options_of(self, kind: str) -> type[BaseModel]:
        """Options of a kind; KeyError for an unknown one."""


def load(path: Path, further: Sequence[Check] = ()) -> Config:
    """Read and validate a configuration file; raises :class:`ConfigError` with every fault of the file."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors of Windows put a byte order mark there
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
    except RecursionError:
        raise ConfigError([f"{path}: not a configuration: its brackets are nested too deep"]) from None
    return validate(data, str(path), further)


def validate(data: dict[str, Any], where: str, further: Sequence[Check] = ()) -> Config:
    """Validate parsed TOML.

    Parameters
    ----------
    where : str
        Origin of the data, for the messages.
    further : sequence of callable
        Checks of packages that this module doesn't know; each yields one line per fault.
    """
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError([f"{where}: {line}" for line in describe(data, error.errors(), Config)]) from None
    checks = (broken_references, _sensor_faults, _listen_faults, *further)
    problems = [f"{where}: {line}" for check in checks for line in check(config)]
    if problems:
        raise ConfigError(problems)
    return config


def option_faults(key: str, kind: str, options: dict[str, Any], known: Registry) -> Iterator[str]:
    """Faults of the keys that belong to the kind of a sensor or sink."""
    try:
        model = known.options_of(kind)
    except KeyError:
        yield f"{key}.kind: {kind!r} is unknown{nearest(kind, known.kinds())}"
        return
    try:
        model.model_validate(options)
    except ValidationError as error:
        yield from describe(options, error.errors(), model, key)


def _sensor_faults(config: Config) -> Iterator[str]:
    for sensor in config.sensors:
        yield from option_faults(f"sensor[{sensor.name}]", sensor.kind, sensor.options, registry)


def _listen_faults(config: Config) -> Iterator[str]:
    host, port = config.http.listen.rsplit(":", 1)
    try:
        own = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        own = host == "localhost"
    if not own:
        yield (
            f"http.listen: {host} may be reachable from other machines, which needs access tokens and TLS, and ctwin "
            "can't do these yet: listen on 127.0.0.1, and reach it from elsewhere through an SSH tunnel"
        )
    if int(port) > 65535:
        yield f"http.listen: port {port} doesn't exist; choose one from 1024 to 65535"


def json_schema() -> dict[str, Any]:
    """JSON schema of the configuration (committed as docs/config.schema.json; a test compares)."""
    return Config.model_json_schema(by_alias=True)
