"""A straight edge against rendered ones with known answers: line, blur, modulation, widths, and their σ."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from models.estimate import ModelError
from models.imaging.edge_spot import second_spot_of_edge
from models.imaging.fix import Verdict
from models.imaging.light import Light
from models.imaging.sharpness import CONVENTIONS, SUFFIXES, EdgeTracker, edge_fix, sharpness
from tests.models.imaging.rendered_edges import counted, falls_to, rendered, rise

Array = NDArray[np.float64]
SHAPE = (120, 80)


def light(known: bool = True) -> Light:
    return Light.plain(SHAPE, full_scale=1e12, variance_per_count=1.0 if known else float("nan"))


def truth(normal_deg: float, parts: list[tuple[float, float, float]]) -> dict[str, float]:
    return {
        "sfr50": falls_to(0.5, normal_deg, parts),
        "mtf10": falls_to(0.1, normal_deg, parts),
        "width_10_90": rise(0.1, 0.9, normal_deg, parts),
        "width_50_90": 2 * rise(0.5, 0.9, normal_deg, parts),
        "blur": parts[0][2],
    }


@pytest.mark.parametrize("normal_deg", [4.0, -8.0, 33.0, 93.0, 176.0, -95.0])
@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.5])
def test_without_noise_every_figure_is_the_formula(normal_deg: float, sigma: float) -> None:
    """Any direction, either side bright; the rendered edge is exact to 1e-4 of its step."""
    parts = [(1.0, 0.0, sigma)]
    found = sharpness(1e6 * (0.2 + 0.8 * rendered(SHAPE, normal_deg, 1.7, parts)), light())
    assert found.edge.angle_deg == pytest.approx((normal_deg + 90) % 180, abs=1e-3)
    assert found.edge.contrast[0] == pytest.approx(0.8, abs=1e-4)
    for name, value in truth(normal_deg, parts).items():
        assert found.figure(name)[0] == pytest.approx(value, rel=3e-3), name


def test_the_gaussian_numbers_of_the_textbook() -> None:
    """MTF50 = 0.1874/σ, f10 = 0.3415/σ, 10-90 and twice 50-90 = 2.563 σ, for a blur that dwarfs the pixel."""
    shape, sigma = (200, 160), 8.0
    window = 1e6 * (0.2 + 0.8 * rendered(shape, 5.0, 0.0, [(1.0, 0.0, sigma)]))
    found = sharpness(window, Light.plain(shape, full_scale=1e12, variance_per_count=1.0))
    assert found.figure("sfr50")[0] * sigma == pytest.approx(0.1874, rel=0.004)
    assert found.figure("mtf10")[0] * sigma == pytest.approx(0.3415, rel=0.004)
    assert found.figure("width_10_90")[0] / sigma == pytest.approx(2.563, rel=0.004)
    assert found.figure("width_50_90")[0] / sigma == pytest.approx(2.563, rel=0.004)


@pytest.mark.parametrize(
    ("parts", "tolerance"),
    [
        ([(0.8, 0.0, 0.7), (0.2, 0.0, 3.0)], 0.008),
        ([(0.85, 0.0, 0.8), (0.15, 4.0, 1.6)], 0.008),
        ([(0.6, 0.0, 0.7), (0.4, 1.5, 1.2)], 0.008),
    ],
    ids=["tail", "second spot", "lopsided"],
)
def test_line_spreads_that_are_not_gaussian(parts: list[tuple[float, float, float]], tolerance: float) -> None:
    found = sharpness(1e6 * (0.2 + 0.8 * rendered(SHAPE, 8.0, 0.4, parts)), light())
    assert found.edge.angle_deg == pytest.approx(98.0, abs=0.01)
    assert found.figure("sfr50")[0] == pytest.approx(falls_to(0.5, 8.0, parts), rel=tolerance)
    assert found.figure("mtf10")[0] == pytest.approx(falls_to(0.1, 8.0, parts), rel=tolerance)
    assert found.figure("width_10_90")[0] == pytest.approx(rise(0.1, 0.9, 8.0, parts), rel=0.02)


def test_position_counts_along_the_normal_towards_larger_columns() -> None:
    """As a wire's: from the middle of the left edge; whichever side is bright."""
    rng = np.random.default_rng(3)
    for normal_deg in (6.0, 186.0):
        share = rendered(SHAPE, normal_deg, 0.0 if normal_deg < 90 else -0.0, [(1.0, 0.0, 1.0)])
        fix = edge_fix(counted(rng, share, 20000.0), light())
        assert fix.values["n"] == pytest.approx(np.cos(np.deg2rad(6.0)) * (SHAPE[1] - 1) / 2, abs=5 * fix.sigma["n"])
        assert fix.values["angle"] == pytest.approx(96.0, abs=5 * fix.sigma["angle"])
    there = edge_fix(counted(rng, rendered(SHAPE, 6.0, 2.5, [(1.0, 0.0, 1.0)]), 20000.0), light())
    assert there.values["n"] - fix.values["n"] == pytest.approx(2.5, abs=7 * fix.sigma["n"])


@pytest.mark.parametrize("known", [True, False])
def test_sigma_is_what_repetition_scatters(known: bool) -> None:
    """24 images at 1500 counts: bias and χ²/dof of every figure (limits: 4 σ of a mean and of a χ² of 24)."""
    rng = np.random.default_rng(7)
    parts = [(1.0, 0.0, 0.9)]
    expected = truth(7.0, parts)
    deviations: dict[str, list[float]] = {name: [] for name in (*expected, "angle", "n")}
    for offset in (-1.4, 0.3):
        share = rendered(SHAPE, 7.0, offset, parts)
        at = np.cos(np.deg2rad(7.0)) * (SHAPE[1] - 1) / 2 + offset
        for _ in range(12):
            fix = edge_fix(counted(rng, share, 1500.0), light(known))
            assert fix.verdict is Verdict.GOOD
            for name, value in {**expected, "angle": 97.0, "n": at}.items():
                deviations[name].append((fix.values[name] - value) / fix.sigma[name])
    for name, z in deviations.items():
        assert abs(np.mean(z)) < 4 / np.sqrt(24), name
        assert abs(np.mean(np.square(z)) - 1) < 4 * np.sqrt(2 / 24), name


def test_gradient_dead_pixels_and_uneven_gain_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    gain = 1 + 0.05 * rng.standard_normal(SHAPE)
    dead = rng.random(SHAPE) < 0.005
    gain[dead] = 0.0
    u = np.linspace(-0.5, 0.5, SHAPE[1])
    share = rendered(SHAPE, 6.0, 0.7, [(1.0, 0.0, 1.0)])
    window = rng.poisson(8000 * gain * (1 + 0.01 * u) * (0.3 + 0.7 * share)) + 100.0
    window[10, 40] = 60000.0
    flat = Light.of(8000 * gain + 100.0, np.full(SHAPE, 100.0), SHAPE, variance_per_count=1.0)
    fix = edge_fix(window, flat)
    assert fix.verdict is Verdict.GOOD
    assert fix.misfit == pytest.approx(1.0, abs=0.06)
    for name, value in truth(6.0, [(1.0, 0.0, 1.0)]).items():
        assert fix.values[name] == pytest.approx(value, abs=4 * fix.sigma[name]), name


def test_noise_that_neighbours_share_is_counted() -> None:
    """A scintillator's blur of the noise: σ grows, and holds over 24 images."""
    rng = np.random.default_rng(11)
    share = rendered(SHAPE, 7.0, 0.3, [(1.0, 0.0, 1.0)])
    z, sigmas = [], []
    for _ in range(24):
        noise = gaussian_filter(rng.standard_normal(SHAPE), 0.7) * 60.0
        found = sharpness(3000.0 * (0.3 + 0.7 * share) + noise, light(False))
        value, sigma = found.figure("blur")
        z.append((value - 1.0) / sigma)
        sigmas.append(found.response.noise_power)
    assert np.mean(sigmas) > 2.0
    assert 0.3 < np.mean(np.square(z)) < 2.2


def test_an_edge_along_the_pixels_is_measured_and_doubted() -> None:
    fix = edge_fix(1e5 * (0.2 + 0.8 * rendered(SHAPE, 0.0, 0.3, [(1.0, 0.0, 1.0)])), light())
    assert fix.verdict is Verdict.SUSPECT
    assert "along the pixels" in fix.reason
    assert fix.values["sfr50"] == pytest.approx(falls_to(0.5, 0.0, [(1.0, 0.0, 1.0)]), rel=0.03)


def test_what_is_no_straight_edge_is_told() -> None:
    rng = np.random.default_rng(1)
    assert edge_fix(rng.poisson(1000.0, SHAPE), light()).verdict is Verdict.LOST
    one, two = (rendered(SHAPE, 4.0, at, [(1.0, 0.0, 1.0)]) for at in (-15.0, 18.0))
    strip = edge_fix(rng.poisson(3000 * (0.3 + 0.7 * (one - two))).astype(float), light())
    assert strip.verdict is not Verdict.GOOD
    v, u = np.mgrid[: SHAPE[0], : SHAPE[1]]
    bow = rng.poisson(2000 * (0.5 + 0.4 * np.tanh((u - 40 - 6 * ((v - 60) / 60) ** 2) / 1.5))).astype(float)
    bent = edge_fix(bow, light())
    assert bent.verdict is Verdict.SUSPECT
    assert "bent" in bent.reason
    full = np.minimum(rng.poisson(60000 * (0.2 + 0.8 * one)), 50000)
    cut = edge_fix(full, Light.plain(SHAPE, full_scale=50000.0, variance_per_count=1.0))
    assert cut.verdict is not Verdict.GOOD


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (4, 4), (1, 200), (200, 1), (8, 8)])
def test_odd_windows_are_answered(shape: tuple[int, int]) -> None:
    light = Light.plain(shape)
    step = np.where(np.arange(shape[1]) < shape[1] // 2, 100.0, 300.0) * np.ones(shape)
    for image in (np.zeros(shape), np.full(shape, np.nan), -np.ones(shape), np.full(shape, 65535, np.uint16), step):
        fix = edge_fix(image, light)
        assert fix.verdict is not Verdict.GOOD
        assert fix.reason


def test_too_few_counts_for_the_modulation_tell_none() -> None:
    rng = np.random.default_rng(2)
    fix = edge_fix(counted(rng, rendered(SHAPE, 7.0, 0.0, [(1.0, 0.0, 1.0)]), 30.0), light())
    assert np.isfinite(fix.values["blur"])
    assert np.isnan(fix.values["mtf10"])


def test_an_edge_that_leaves_the_window() -> None:
    """Half out of it it is still measured; out of it it is lost."""
    rng = np.random.default_rng(6)
    parts = [(1.0, 0.0, 0.8)]
    corner = edge_fix(counted(rng, rendered(SHAPE, 5.0, 38.0, parts), 20000.0), light())
    assert corner.values["sfr50"] == pytest.approx(falls_to(0.5, 5.0, parts), abs=4 * corner.sigma["sfr50"])
    gone = edge_fix(counted(rng, rendered(SHAPE, 5.0, 50.0, parts), 20000.0), light())
    assert gone.verdict is Verdict.LOST
    assert gone.reason


def test_every_value_has_a_name_and_a_convention() -> None:
    window = 1e5 * (0.2 + 0.8 * rendered(SHAPE, 7.0, 0.0, [(1.0, 0.0, 1.0)]))
    fix = edge_fix(window, light())
    assert set(fix.values) == set(SUFFIXES) == set(fix.sigma)
    assert set(CONVENTIONS) < set(SUFFIXES)
    with pytest.raises(ModelError, match="no figure 'mtf20'"):
        sharpness(window, light()).figure("mtf20")


def test_a_tracker_keeps_the_direction_of_its_first_image() -> None:
    """A nearly horizontal edge that tips over 0° doesn't change its sign."""
    rng = np.random.default_rng(4)
    tracker = EdgeTracker(light())
    places = [
        tracker.look(counted(rng, rendered(SHAPE, normal, 0.0, [(1.0, 0.0, 1.0)]), 20000.0)).values["n"]
        for normal in (92.0, 90.7, 89.4, 88.0)
    ]
    assert np.ptp(places) < 0.05


def test_second_spot_on_an_edge() -> None:
    """10 % of the rays, 4 px beside, wider: its share, offset and width come back; a single spot shows none."""
    rng = np.random.default_rng(9)
    shape = (160, 100)
    plain = Light.plain(shape, variance_per_count=1.0)
    parts = [(0.9, 0.0, 0.8), (0.1, 4.0, 2.0)]
    found = [
        second_spot_of_edge(sharpness(counted(rng, rendered(shape, 8.0, 0.3, p), 10000.0, 0.2), plain).response)
        for p in (parts, [(0.9, 0.0, 0.8), (0.1, 5.5, 2.0)], [(1.0, 0.0, 1.0)])
    ]
    assert found[2] is None
    assert found[0] is not None
    assert found[1] is not None
    for value, (mean, sigma) in zip(
        (0.1, 4.0, 2.0, 0.8), (found[0].amplitude, found[0].offset, found[0].width, found[0].main_width), strict=True
    ):
        assert mean == pytest.approx(value, abs=4 * sigma)
    moved, sigma = found[1].drift(found[0])
    assert moved == pytest.approx(1.5, abs=4 * sigma)
    assert sigma < 0.4
