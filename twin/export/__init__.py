"""Corrections as files that reconstruction programs read as they are; one module per consumer."""

from twin.export.exporter import Exporter, ExportError, Setup
from twin.export.registry import formats, make
from twin.export.table import read_corrections

__all__ = ["ExportError", "Exporter", "Setup", "formats", "make", "read_corrections"]
