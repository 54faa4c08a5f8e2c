"""Photographed edges whose answers another program gave: sfrmat5 (ISO 12233:2023) by P. Burns, and the angles it prints."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from models.imaging.fix import Verdict
from models.imaging.light import Light
from models.imaging.sharpness import edge_fix, sharpness
from tests.real_data import data_file

LUMINANCE = (0.213, 0.715, 0.072)  # of red, green, blue: sfrmat5's default


@pytest.mark.parametrize(("name", "slant_deg", "sfr50"), [("h_edge", 95.4, 0.202), ("v_edge", 5.38, 0.203)])
def test_figures_of_sfrmat5(name: str, slant_deg: float, sfr50: float) -> None:
    window = tifffile.imread(data_file(f"edges/{name}.tif")).astype(float) @ np.array(LUMINANCE)
    light = Light.plain((window.shape[0], window.shape[1]), full_scale=255.0)
    found = sharpness(window, light)
    assert found.edge.slant_deg == pytest.approx(slant_deg, abs=0.1)
    assert found.figure("sfr50")[0] == pytest.approx(sfr50, abs=0.01)
    assert found.figure("sfr50")[0] == pytest.approx(sfr50, abs=3 * found.figure("sfr50")[1])
    # its sampling efficiency of 68 % is the frequency of 10 % over 0.495 cycles/px
    assert found.figure("mtf10")[0] / 0.495 == pytest.approx(0.68, abs=0.02)
    assert found.response.noise_power > 1.5  # a camera's interpolated colours share their noise
    assert edge_fix(window, light).verdict is Verdict.GOOD
