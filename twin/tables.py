"""CSV files at the boundary that hold estimates and resolution; docs/reference/files.md."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence

from sensors.timestamps import iso

ESTIMATES = "# ctwin estimates 1"
RESOLUTION = "# ctwin resolution 1"
RESOLUTION_COLUMNS = (
    "time", "f10_lp_per_mm", "half_pitch10_um", "fwhm_um", "static_f10_lp_per_mm", "static_half_pitch10_um",
    "static_fwhm_um", "loss_uncorrected", "loss_corrected",
)  # fmt: skip


def estimates_csv(rows: Sequence[Mapping[str, float | None]]) -> str:
    """Estimates: time and every quantity of the chart samples, empty where unknown."""
    names = list(dict.fromkeys(name for row in rows for name in row if name != "time_s"))
    return _csv(
        ESTIMATES, ["time", *names], ([iso(float(r["time_s"] or 0.0)), *(_text(r.get(n)) for n in names)] for r in rows)
    )


def resolution_csv(rows: Iterable[tuple[float, Mapping[str, float]]]) -> str:
    """Resolution at each forecast: now and static, and the loss."""

    def line(time: float, v: Mapping[str, float]) -> list[str]:
        static = 500.0 / v["static_half_pitch10_um"]
        return [iso(time), *(_text(x) for x in (
            v["f10_lp_per_mm"], v["half_pitch10_um"], 804.0 / v["f10_lp_per_mm"], static, v["static_half_pitch10_um"],
            804.0 / static, v["loss_uncorrected"], v["loss_corrected"],
        ))]  # fmt: skip

    return _csv(RESOLUTION, list(RESOLUTION_COLUMNS), (line(t, v) for t, v in rows))


def _csv(head: str, names: list[str], rows: Iterable[Sequence[str]]) -> str:
    out = io.StringIO()
    out.write(f"{head}\n{','.join(names)}\n")
    for row in rows:
        out.write(",".join(row) + "\n")
    return out.getvalue()


def _text(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.9g}"
