"""A calibration as text: the configuration file with its new numbers, and what else would have to be measured."""

from __future__ import annotations

import datetime
import math
import tomllib
from collections.abc import Sequence
from pathlib import Path

from models.identify import Found
from twin.calibrate import Calibrated
from twin.config import Config, ConfigError, validate
from twin.config_edit import Edit, edited
from twin.free import Free, section_of


def calibrated_text(text: str, calibrated: Calibrated, today: datetime.date, where: Path) -> str:
    """The configuration file ``text`` with the numbers found, each with a comment of what it rests on.

    Raises
    ------
    ConfigError
        When a number stands where it can't be changed in place (an inline table, a dotted key).
    """
    edits = _edits(calibrated, today)
    new = edited(text, edits)
    wanted = _as_written(calibrated, edits)
    try:
        same = validate(tomllib.loads(new.removeprefix("\ufeff")), str(where)) == wanted
    except (ConfigError, tomllib.TOMLDecodeError):
        same = False
    if not same:
        raise ConfigError(
            [f"{where}: its tables can't be edited in place; write them as [table] or [[table]], one key per line"]
        )
    return new


def _edits(calibrated: Calibrated, today: datetime.date) -> list[Edit]:
    stamp, count = f"calibrated {today.isoformat()}:", calibrated.result.readings
    told: dict[tuple[tuple[str, ...], int | None, str], list[tuple[Free, Found]]] = {}
    for free, found in zip(calibrated.free, calibrated.result.found, strict=True):
        if found.use:
            told.setdefault((free.table, free.index, free.key), []).append((free, found))
    edits = []
    for (table, index, key), pairs in told.items():
        first = pairs[0][0]
        if first.axis is None:
            found = pairs[0][1]
            value, said = number(found.value, found.sigma), _said(found)
        else:
            parts = [f"{part:g}" for part in getattr(section_of(calibrated.before, first), key)]
            for free, found in pairs:
                parts[free.axis or 0] = number(found.value, found.sigma)
            value = f"[{', '.join(parts)}]"
            said = ", ".join(f"{'uvw'[free.axis or 0]} {_said(found)}" for free, found in pairs)
        edits.append(Edit(table, index, key, value, f"{stamp} {said} from {count} readings"))
        if first.kind == "sensitivity" and pairs[0][1].determined:
            sigma = calibrated.after.elements[index or 0].sensitivity_sigma
            edits.append(Edit(table, index, "sensitivity_sigma", f"{sigma:.2g}", f"{stamp} narrowed"))
    return edits


def _as_written(calibrated: Calibrated, edits: Sequence[Edit]) -> Config:
    """The configuration that the edits should make, from their rounded numbers."""
    data = calibrated.before.model_dump(by_alias=True)
    for edit in edits:
        place = data
        for part in edit.table:
            place = place[part]
        own = place if edit.index is None else place[edit.index]  # type: ignore[index]
        own[edit.key] = tomllib.loads(f"x = {edit.value}")["x"]
    return Config.model_validate(data)


def number(value: float, sigma: float) -> str:
    """A number as far as its σ lets it mean something, with two digits of the σ.

    Examples
    --------
    >>> number(20.8612, 0.0594), number(1234.5, 120.0), number(0.00351, 0.0011)
    ('20.861', '1234.5', '0.0035')
    """
    if not (math.isfinite(sigma) and sigma > 0):
        return f"{value:.4g}"
    decimals = max(1, 1 - math.floor(math.log10(sigma)))
    # never fewer than two digits of the value itself
    decimals = max(decimals, 1 - math.floor(math.log10(abs(value)))) if value else decimals
    text = f"{value:.{decimals}f}"
    return text if float(text) != 0.0 or value == 0.0 else f"{value:.2e}"


def interval(found: Found) -> str:
    """The 95 % interval as it is printed."""
    unit = max((found.high - found.low) / 4.0, 1e-300)
    return f"{number(found.low, unit)} … {number(found.high, unit)}"


def _said(found: Found) -> str:
    if found.determined:
        return f"{number(found.value, found.sigma)} ± {found.sigma:.2g}"
    known = f"{number(found.value, found.sigma)} ({interval(found)})"
    return f"{known}, only together with {' and '.join(found.partners)}" if found.partners else known
