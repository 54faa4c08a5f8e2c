"""Scans from the logs of a CT's own console: when each projection was taken is in them, in local wall-clock time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sensors.reading import SensorError
from twin.scan import Scan, ScanError, checked

if TYPE_CHECKING:
    from sensors.vendor.scan_table import ScanTable


def read_waygate(path: Path, zone: str | None = None) -> Scan:
    """Projections of a Waygate ``.pcp`` (phoenix datos|x); one per row, index = ``ImgNr`` - 1."""
    from sensors.vendor.waygate import read_pcp

    try:
        return _scan(path, read_pcp(path, zone or "UTC").scan)
    except SensorError as error:
        raise ScanError(str(error)) from None


def read_bruker(path: Path, zone: str | None = None) -> Scan:
    """Projections of a Bruker/SkyScan ``.log``, equally spaced over the scan's duration (it holds no time for each)."""
    from sensors.vendor.bruker_log import read_log

    try:
        return _scan(path, read_log(path, zone or "UTC").scan)
    except SensorError as error:
        raise ScanError(str(error)) from None


def read_nikon(path: Path, zone: str | None = None) -> Scan:
    """Projections of a Nikon ``_ctdata.txt``, index = number - 1; the scan begins when the name of its folder says."""
    from sensors.vendor.nikon import read_ctdata

    try:
        return _scan(path, read_ctdata(path).scan(zone or "UTC"))
    except SensorError as error:
        raise ScanError(str(error)) from None


def read_zeiss(path: Path, zone: str | None = None) -> Scan:
    """Projections of a Zeiss ``.txrm``."""
    from sensors.vendor.zeiss import read_txrm_scan

    try:
        return _scan(path, read_txrm_scan(path, zone or "UTC"))
    except SensorError as error:
        raise ScanError(str(error)) from None


def _scan(path: Path, table: ScanTable) -> Scan:
    scan = Scan(table.name, table.projection, table.time, table.angle_deg, ("projection",) * len(table))
    return checked(scan, [f"{path}, projection {k}" for k in table.projection.tolist()])
