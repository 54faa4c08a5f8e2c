"""Results leave the machine: line protocol through a spool on the disk to InfluxDB and its relatives, and Grafana."""

from twin.publish.influx import Publisher, PublishStatus
from twin.publish.line_protocol import LineError, Tags
from twin.publish.series import (
    age_lines,
    alert_lines,
    correction_lines,
    forecast_lines,
    innovation_lines,
    reading_lines,
    resolution_lines,
    scan_lines,
    series_lines,
    spot_lines,
    state_lines,
    step_lines,
)
from twin.publish.spool_files import SpoolError, SpoolStatus
from twin.publish.target import PublishError

__all__ = [
    "LineError",
    "PublishError",
    "PublishStatus",
    "Publisher",
    "SpoolError",
    "SpoolStatus",
    "Tags",
    "age_lines",
    "alert_lines",
    "correction_lines",
    "forecast_lines",
    "innovation_lines",
    "reading_lines",
    "resolution_lines",
    "scan_lines",
    "series_lines",
    "spot_lines",
    "state_lines",
    "step_lines",
]
