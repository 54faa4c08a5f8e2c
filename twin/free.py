"""Numbers of a configuration that records can determine: where each stands, and how wide its prior is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from models.identify import Parameter
from twin.channels import channels_of
from twin.config import Config
from twin.vectorise import DEFAULT_SIGMA

AXES = "uvw"
THREE, FIVE = math.log(3.0), math.log(5.0)  # σ of the prior of ln(value): a factor of three, of five


@dataclass(frozen=True, slots=True)
class Free:
    """A number of the configuration that is to be found.

    Attributes
    ----------
    parameter : Parameter
        Its name in messages, its value and prior.
    table : tuple of str
        Path of the table in the file; an array of tables is named by its singular key.
    index : int or None
        Which table of an array, from 0.
    key : str
    axis : int or None
        Which component of a list.
    kind : str
        ``sensitivity``, ``time_constant``, ``heating``, ``capacity``, ``link``, ``lag``, ``noise``, ``walk``.
    """

    parameter: Parameter
    table: tuple[str, ...]
    index: int | None
    key: str
    axis: int | None
    kind: str

    @property
    def name(self) -> str:
        """Name in messages and tables."""
        return self.parameter.name


def free_of(config: Config, own_sigma: Iterable[str] = ()) -> list[Free]:
    """All numbers of a configuration that a record might determine.

    What the configuration says is absent (a zero, a missing lag) stays absent. The noise of channels in ``own_sigma``,
    whose readings bring their own σ, is not free.
    """
    found = [*_thermal(config), *_elements(config), *_channels(config, set(own_sigma)), *_drifts(config)]
    for i, marker in enumerate(config.markers):
        found += _one(f"marker[{marker.name}]", ("marker",), i, "mount_random_walk_um_per_sqrt_h", "walk", FIVE, marker)
    if any(c.quantity == "flux" for c in config.channels):
        for key, kind in (("random_walk_percent_per_sqrt_h", "walk"), ("floor_percent", "noise")):
            found += _one("flux", ("flux",), None, key, kind, FIVE, config.flux)
    return found


def _one(
    label: str, table: tuple[str, ...], index: int | None, key: str, kind: str, spread: float, section: BaseModel
) -> Iterator[Free]:
    value = getattr(section, key)
    if isinstance(value, tuple):
        for axis, part in enumerate(value):
            if part > 0:
                name = f"{label}.{key}[{AXES[axis]}]"
                yield Free(Parameter(name, part, spread), table, index, key, axis, kind)
    elif value is not None and value > 0:
        yield Free(Parameter(f"{label}.{key}", value, spread), table, index, key, None, kind)


def _thermal(config: Config) -> Iterator[Free]:
    for i, node in enumerate(config.nodes):
        place = f"node[{node.name}]", ("node",), i
        yield from _one(*place, "time_constant_min", "time_constant", THREE, node)
        if node.capacity_j_per_k is None:
            yield from _one(*place, "kelvin_per_watt", "heating", THREE, node)
        else:
            # with a capacity given, kelvin_per_watt only says that the tube heats the node
            yield from _one(*place, "capacity_j_per_k", "capacity", THREE, node)
        yield from _one(*place, "random_walk_k_per_sqrt_h", "walk", FIVE, node)
    for i, link in enumerate(config.links):
        yield from _one(f"link[{link.a}-{link.b}]", ("link",), i, "conductance_w_per_k", "link", THREE, link)


def _elements(config: Config) -> Iterator[Free]:
    for i, element in enumerate(config.elements):
        if element.sensitivity_sigma > 0 and element.sensitivity != 0:
            name = f"element[{i + 1}: {element.body} by {element.node}].sensitivity"
            spread = abs(element.sensitivity) * element.sensitivity_sigma
            parameter = Parameter(name, element.sensitivity, spread, positive=False)
            yield Free(parameter, ("element",), i, "sensitivity", None, "sensitivity")


def _channels(config: Config, own_sigma: set[str]) -> Iterator[Free]:
    known = channels_of(config)
    for i, channel in enumerate(config.channels):
        place = f"channel[{channel.name}]", ("channel",), i
        if channel.at is not None:
            yield from _one(*place, "lag_s", "lag", THREE, channel)
        if (channel.at is not None or channel.marker is not None) and channel.name not in own_sigma:
            scale = known[channel.name].admit(0.0, 0.0, 1.0).sigma
            sigma = DEFAULT_SIGMA[channel.quantity] / scale if channel.sigma is None else channel.sigma
            yield Free(Parameter(f"{place[0]}.sigma", sigma, FIVE), ("channel",), i, "sigma", None, "noise")


def _drifts(config: Config) -> Iterator[Free]:
    for body in ("source", "object"):
        drift = getattr(config.drift, body)
        for key, kind, spread in (
            ("random_walk_um_per_sqrt_h", "walk", FIVE),
            ("sigma_um", "walk", FIVE),
            ("correlation_min", "time_constant", THREE),
            ("rate_walk_um_per_h_per_sqrt_h", "walk", FIVE),
        ):
            yield from _one(f"drift.{body}", ("drift", body), None, key, kind, spread, drift)
    sample = config.drift.sample
    yield from _one("drift.sample", ("drift", "sample"), None, "random_walk_um_per_sqrt_h", "walk", FIVE, sample)


def with_values(config: Config, free: Iterable[Free], values: Mapping[str, float]) -> Config:
    """The configuration with other numbers; not validated again, for numbers of the kinds above stay in their ranges."""
    changes: dict[tuple[tuple[str, ...], int | None], dict[str, Any]] = {}
    for one in free:
        section = section_of(config, one)
        here = changes.setdefault((one.table, one.index), {})
        if one.axis is None:
            here[one.key] = values[one.name]
        else:
            parts = list(here.get(one.key, getattr(section, one.key)))
            parts[one.axis] = values[one.name]
            here[one.key] = tuple(parts)
    update: dict[str, Any] = {}
    drifts: dict[str, Any] = {}
    for (table, index), keys in changes.items():
        if table[0] == "drift":
            drifts[table[1]] = getattr(config.drift, table[1]).model_copy(update=keys)
        elif index is None:
            update[table[0]] = getattr(config, table[0]).model_copy(update=keys)
        else:
            name = f"{table[0]}s"
            sections = list(update.get(name, getattr(config, name)))
            sections[index] = sections[index].model_copy(update=keys)
            update[name] = tuple(sections)
    if drifts:
        update["drift"] = config.drift.model_copy(update=drifts)
    return config.model_copy(update=update)


def section_of(config: Config, free: Free) -> Any:
    """The table in which a number stands."""
    if free.table[0] == "drift":
        return getattr(config.drift, free.table[1])
    return getattr(config, free.table[0]) if free.index is None else getattr(config, f"{free.table[0]}s")[free.index]
