"""Resolution: figures from the literature, and the tomogram's formula against reconstructed edges."""

from __future__ import annotations

import numpy as np
import pytest

from models.blur import (
    TEN_PERCENT_PER_FWHM,
    Budget,
    Resolution,
    f10,
    history_mtf,
    inplane_mtf,
    mtf,
    static_budget,
    tomogram_f10,
    unknown_blur_var,
)  # fmt: skip
from models.geometry import ConeBeam

POINT = Budget(1e-6, 0.0, 0.0, 0.0, 1e-12)


def test_gaussian_figures():
    assert f10(POINT) * 1e-6 == pytest.approx(0.3415, abs=1e-4)
    fwhm = 1e-6 * 2.0 * np.sqrt(2.0 * np.log(2.0))
    assert f10(POINT) * fwhm == pytest.approx(0.804, abs=1e-3)
    assert Resolution.of(f10(POINT)).half_pitch10_um == pytest.approx(0.622 * fwhm * 1e6, rel=2e-3)
    assert Resolution.of(f10(POINT)).fwhm_um == pytest.approx(fwhm * 1e6, rel=1e-3)


def test_ten_percent_isodose_of_the_sub_micron_tube():
    assert pytest.approx(494.0, abs=1.0) == 900.0 / TEN_PERCENT_PER_FWHM
    assert pytest.approx(1.823, abs=1e-3) == TEN_PERCENT_PER_FWHM


def test_published_figures_of_the_profiles():
    from twin.budget import budget_of
    from twin.profiles import load_profile

    fxe = load_profile("fxe160-submicron")
    pose = ConeBeam(fxe.geometry.source_object_mm * 1e-3, fxe.geometry.source_detector_mm * 1e-3, 50e-6)
    assert pose.magnification == pytest.approx(84.7, abs=0.1)
    assert 50e-6 / pose.magnification == pytest.approx(590e-9, abs=1e-9)
    assert fxe.scan.projections * fxe.scan.frames * fxe.scan.exposure_s / 3600.0 == pytest.approx(8.9, abs=0.02)
    assert 0.5e6 / f10(budget_of(fxe)) == pytest.approx(
        0.98, abs=0.06
    )  # "0.92 before drift with this panel", stage added
    xrm = load_profile("xrm2-nanoct")
    m = xrm.geometry.source_detector_mm / xrm.geometry.source_object_mm
    assert m == pytest.approx(585.0, abs=0.1)
    assert 55e3 / m == pytest.approx(94.0, abs=0.1)
    assert xrm.scan.projections * xrm.scan.exposure_s / 3600.0 == pytest.approx(27.8, abs=0.05)


def test_aperture_alone_and_with_blur_by_a_dense_search():
    for budget in (Budget(0.0, 0.0, 0.0, 0.0, 94e-9), Budget(34e-9, 47e-9, 10e-9, 5e-9, 94e-9)):
        f = np.linspace(1.0, 2e7, 400_001)
        assert f10(budget) == pytest.approx(f[np.argmax(mtf(budget, f) < 0.1)], rel=1e-4)


def test_linear_and_sinusoidal_drift():
    f = np.array([0.2e6, 0.5e6, 0.9e6])
    ramp = np.linspace(-0.5e-6, 0.5e-6, 4001)
    assert np.allclose(history_mtf(f, ramp), np.abs(np.sinc(1e-6 * f)), atol=1e-3)
    from scipy.special import j0

    sine = 0.3e-6 * np.sin(2 * np.pi * np.arange(4000) / 4000)
    assert np.allclose(history_mtf(f, sine), np.abs(j0(2 * np.pi * 0.3e-6 * f)), atol=1e-6)


def test_a_displacement_that_follows_the_angle_only_moves_the_object():
    angle = np.deg2rad(np.arange(360.0))
    x = 3e-6 * np.cos(angle) - 2e-6 * np.sin(angle)
    assert np.allclose(inplane_mtf(np.array([1e6]), x, angle, 0.3), 1.0, atol=1e-9)


def test_tomogram_formula_against_reconstructed_edges():
    """Parallel-beam filtered back-projection of a disc whose centre moves with the angle, by numpy alone."""
    count, size, radius = 720, 384, 90.0
    angle = 2 * np.pi * np.arange(count) / count
    s = np.arange(size) - size / 2 + 0.5
    drift = 3.0 * np.linspace(-0.5, 0.5, count)  # px, a slow ramp over the turn

    def sinogram(shift):
        # line integrals over the pixel aperture: difference of the disc's cumulative chord
        def cumulative(t):
            t = np.clip(t, -radius, radius)
            return t * np.sqrt(radius**2 - t**2) + radius**2 * np.arcsin(t / radius)

        return np.array([cumulative(s - d + 0.5) - cumulative(s - d - 0.5) for d in shift])

    def edge_mtf(shift, normal, f):
        ramp = np.abs(np.fft.fftfreq(2 * size))
        data = np.fft.ifft(np.fft.fft(sinogram(shift), 2 * size, axis=1) * ramp, axis=1).real[:, :size]
        rho = radius + np.arange(-14.0, 14.0, 0.1)
        profile = np.zeros_like(rho)
        for tilt in np.deg2rad(np.linspace(-8.0, 8.0, 9)):
            direction = normal + tilt
            for k in range(count):
                at = rho * np.cos(direction - angle[k])
                profile += np.interp(at, s, data[k])
        spread = np.gradient(profile) * np.hanning(len(rho))
        phase = np.exp(-2j * np.pi * np.outer(f, rho))
        return np.abs(phase @ spread) / np.abs(spread.sum())

    f = np.linspace(0.02, 0.4, 77)
    blur = edge_mtf(np.zeros(count), 0.0, f)
    found = []
    for normal in (0.0, np.pi / 3, 2 * np.pi / 3):
        measured = edge_mtf(drift, normal, f) / blur
        predicted = inplane_mtf(f, drift, angle, normal)
        level = 0.6  # of the modulation that the drift alone leaves: inside the band where the edge is well measured
        found.append((f[np.argmax(measured < level)], f[np.argmax(predicted < level)]))
    for measured, predicted in found:
        assert predicted == pytest.approx(measured, rel=0.12), found


def test_common_error_is_no_blur_and_independent_ones_are():
    n = 50
    assert unknown_blur_var(np.eye(n)) == pytest.approx(1.0 - 1.0 / n)
    assert unknown_blur_var(np.eye(n) + 7.0) == pytest.approx(1.0 - 1.0 / n)


def test_worst_edge_counts():
    angle = np.deg2rad(np.arange(0.0, 360.0, 0.5))
    still = np.zeros((720, 2))
    along = still.copy()
    along[:, 1] = np.linspace(-2e-6, 2e-6, 720)
    budget = static_budget(ConeBeam(10e-3, 50e-3, 50e-6), 5e-6, 1.0)
    assert tomogram_f10(budget, still, angle) == pytest.approx(f10(budget), rel=1e-6)
    assert tomogram_f10(budget, along, angle) < tomogram_f10(budget, still, angle)
