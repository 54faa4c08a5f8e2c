"""``corrections.parquet`` is ``corrections.csv`` in another container."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from tests.twin.export.corrections import correction, setup
from twin.export import make


@pytest.fixture
def files(tmp_path):
    for name in ("table", "parquet"):
        exporter = make(name, setup())
        exporter.write(correction(scan="µ\n7"), tmp_path / exporter.filename)
    return tmp_path / "corrections.csv", tmp_path / "corrections.parquet"


def test_columns_and_every_bit_are_those_of_the_table(files):
    ours = pd.read_parquet(files[1])
    lines = [line for line in files[0].read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert list(ours) == lines[0].split(",")
    assert ours["projection"].dtype == np.int64
    np.testing.assert_array_equal(ours.to_numpy(), np.loadtxt(lines[1:], delimiter=","))


def test_metadata_has_version_convention_and_provenance(files):
    said = {key.decode(): value.decode() for key, value in parquet.read_schema(files[1]).metadata.items()}
    c = correction(scan="µ\n7")
    assert said["ctwin"].startswith("ctwin corrections 1; ")
    assert json.loads(said["scan"]) == c.scan
    assert json.loads(said["convention"]) == c.convention
    assert [tuple(pair) for pair in json.loads(said["provenance"])] == list(c.provenance)
