"""``corrections.parquet``: the columns of ``corrections.csv``, with its words in the file's metadata."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from pyarrow import parquet

from models.correction import Correction
from twin.atomic import write_atomic
from twin.export.exporter import Setup, check
from twin.export.table import ABOUT, COLUMNS, KEYS, MAGIC, column


class ParquetExporter:
    """Writes the table as Parquet (docs/reference/corrections.md)."""

    name = "parquet"
    filename = "corrections.parquet"

    def __init__(self, setup: Setup | None = None) -> None:
        self.setup = setup

    def write(self, correction: Correction, path: Path) -> None:
        """Write the table; doubles as they are, ``projection`` as a whole number."""
        check(correction, self.name)
        arrays: dict[str, Any] = {"projection": np.asarray(correction.projection).astype(np.int64)}
        arrays |= {key: np.asarray(getattr(correction, key), float) for key in KEYS[1:]}
        for tail in ("", "_std"):
            arrays |= {name + tail: column(correction, owner + tail, part) for name, (owner, part) in COLUMNS.items()}
        table = pyarrow.table(arrays).replace_schema_metadata(
            {
                "ctwin": f"{MAGIC.removeprefix('# ')}; {ABOUT}",
                "scan": json.dumps(correction.scan),
                "convention": json.dumps(correction.convention),
                "provenance": json.dumps([list(pair) for pair in correction.provenance]),
            }
        )
        buffer = io.BytesIO()
        parquet.write_table(table, buffer)
        write_atomic(path, buffer.getvalue())
