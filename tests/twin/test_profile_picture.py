"""The picture of a marker's averaged profile: valid SVG, both curves, the numbers of the measurement."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from models.imaging.light import Light
from models.imaging.mean_profile import mean_profiles
from models.imaging.profile_sharpness import profile_sharpness
from tests.models.imaging.rendered_wire import RenderedWire
from twin.profile_picture import profile_svg

SVG = "{http://www.w3.org/2000/svg}"


def picture(name: str = "wire") -> tuple[ElementTree.Element, str]:
    rng = np.random.default_rng(1)
    wire, shifts = RenderedWire(6.0, 3.0, 0.8), np.linspace(0, 3, 30)
    windows = (rng.poisson(2000 * wire.image((60, 70), (1.0, 0.0), 34.0 + s)) for s in shifts)
    profiles = mean_profiles(windows, shifts, 90.0, Light.plain((60, 70)), half_px=25.0)
    text = profile_svg(profiles, profile_sharpness(profiles), name)
    return ElementTree.fromstring(text), text


def test_both_curves_with_their_bands_inside_the_picture() -> None:
    root, _ = picture()
    lines, bands = root.findall(f"{SVG}polyline"), root.findall(f"{SVG}polygon")
    assert len(lines) == len(bands) == 2
    width, height = (float(root.attrib[key]) for key in ("width", "height"))
    for curve in (*lines, *bands):
        points = np.array([pair.split(",") for pair in curve.attrib["points"].split()], dtype=float)
        assert (points >= 0).all()
        assert (points <= (width, height)).all()
    assert len({line.attrib["stroke"] for line in lines}) == 2


def test_numbers_are_told() -> None:
    _, text = picture()
    assert "averaged over 30 projections" in text
    assert "no correction: blur σ" in text
    assert "corrected: blur σ 0.8" in text
    assert "times narrower" in text
    assert "the shifts scatter 0.9" in text
    assert "MTF 10 %" in text


def test_a_name_can_do_no_harm() -> None:
    root, text = picture('<script>alert("x")</script>\n&')
    assert "<script>" not in text
    assert root.find(f"{SVG}title") is not None
