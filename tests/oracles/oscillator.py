"""Oracle: masses on springs shaken at their base, integrated in time; exposures averaged one by one."""

from __future__ import annotations

import numpy as np
from scipy.signal import lsim


def shaken(masses, springs, dampers, acceleration, rate_hz):
    """Displacement of each mass relative to the base (N, n) [m] in a chain base–m1–m2–…, at rest in the beginning."""
    n = len(masses)
    m = np.diag(np.asarray(masses, float))

    def joined(values):
        out = np.zeros((n, n))
        for i, value in enumerate(values):
            out[i, i] += value
            if i:
                out[i - 1, i - 1] += value
                out[i, i - 1] -= value
                out[i - 1, i] -= value
        return out

    inverse = np.linalg.inv(m)
    a = np.block([[np.zeros((n, n)), np.eye(n)], [-inverse @ joined(springs), -inverse @ joined(dampers)]])
    b = np.concatenate([np.zeros(n), -np.ones(n)])[:, None]
    system = (a, b, np.hstack([np.eye(n), np.zeros((n, n))]), np.zeros((n, 1)))
    t = np.arange(len(acceleration)) / rate_hz
    _, y, _ = lsim(system, acceleration, t)
    return np.asarray(y).reshape(len(t), n)


def exposed(z, count):
    """Variance within exposures of ``count`` samples (mean over them), and variance of their means."""
    whole = len(z) // count * count
    shots = z[:whole].reshape(-1, count)
    return float(shots.var(axis=1).mean()), float(shots.mean(axis=1).var())


def floor_motion(rng, seconds, rate_hz, level=1e-3, lines=()):
    """Acceleration of a floor: noise that falls off below 2 Hz and above 200 Hz, and tones (Hz, amplitude)."""
    n = int(seconds * rate_hz)
    f = np.fft.rfftfreq(n, 1 / rate_hz)
    shape = (f / 2) ** 2 / (1 + (f / 2) ** 2) / (1 + (f / 200) ** 4)
    spectrum = np.fft.rfft(rng.standard_normal(n)) * shape
    out = np.fft.irfft(spectrum, n) * level
    t = np.arange(n) / rate_hz
    for frequency, amplitude in lines:
        out += amplitude * np.sin(2 * np.pi * frequency * t + 1.0)
    return out
