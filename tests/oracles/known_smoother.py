"""Dense inversion of the joint Gaussian of a simulated run: content shift given all marker readings.

Written from the covariance functions alone (min(s, t) for a walk, exp(-|s-t|/tau) for a wander), with the offsets of the
windows as fixed effects (generalised least squares); it shares no code with twin/simulate/yardstick.py.
"""

from __future__ import annotations

import numpy as np

from twin.simulate.run import Run

JUMP_UM = 100.0


def known_smoother(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Mean (2N,) and covariance (2N, 2N) of the content's position, u of all projections before v [px]."""
    g = run.config.geometry
    sod, sdd, pixel = g.source_object_mm * 1e-3, g.source_detector_mm * 1e-3, g.pixel_um * 1e-6
    n = len(run.truth.time)

    def known_px(depth: float, mount: str) -> np.ndarray:
        s, m, d = (run.parts[b].known for b in ("source", mount, "detector"))
        reach = (sdd + d[:, 2] - s[:, 2]) / (depth + m[:, 2] - s[:, 2])
        return (s[:, :2] + reach[:, None] * (m[:, :2] - s[:, :2]) - d[:, :2]) / pixel

    # every row: index of the projection, per body the gain in px/µm along u and v
    rows_at, rows_gain, rows_value, rows_sigma, rows_channel = [], [], [], [], []
    sees = [c for c in run.config.channels if c.quantity == "marker_shift"]
    for number, channel in enumerate(sees):
        marker = next(m for m in run.config.markers if m.name == channel.marker)
        mount = "object" if marker.mounted_on == "object" else f"marker:{marker.name}"
        angle = np.deg2rad(marker.angle_deg)
        normal = {"u": [1.0, 0.0], "v": [0.0, 1.0], "n": [np.sin(angle), -np.cos(angle)]}[str(channel.axis)]
        depth = marker.source_marker_mm * 1e-3
        known = known_px(depth, mount) @ normal
        record = run.record.of(channel.name)
        for at, value, sigma, wrong in zip(record.projection, record.value, record.sigma, record.wrong, strict=True):
            if wrong:
                continue
            rows_at.append(at)
            rows_gain.append(_gain(sdd / depth, mount, normal, pixel))
            rows_value.append(value - known[at])
            rows_sigma.append(sigma)
            rows_channel.append(number)
    content_gain = [_gain(sdd / sod, "object", axis, pixel) for axis in ([1.0, 0.0], [0.0, 1.0]) for _ in range(n)]
    at = np.array(rows_at + list(range(n)) * 2)
    gain = rows_gain + content_gain
    joint = np.zeros((len(at), len(at)))
    time = run.truth.time[at]
    for body in run.parts:
        law = run.scenario.walk(body)
        for axis in (0, 1):
            weight = np.array([row.get((body, axis), 0.0) for row in gain])
            cov = law.random_walk_um_per_sqrt_h[axis] ** 2 / 3600 * (np.minimum.outer(time, time) - run.begin_s)
            apart = np.abs(np.subtract.outer(time, time)) / (law.wander_min * 60)
            cov = cov + law.wander_um[axis] ** 2 * np.exp(-apart)
            if body == "source":
                for jump in run.scenario.jumps:
                    after = (time >= run.scan_start_s + jump.time_h * 3600).astype(float)
                    cov = cov + JUMP_UM**2 * np.outer(after, after)
            joint += np.outer(weight, weight) * cov
    m = len(rows_at)
    seen = joint[:m, :m] + np.diag(np.array(rows_sigma) ** 2)
    cross, own = joint[m:, :m], joint[m:, m:]
    fixed = np.equal.outer(np.array(rows_channel), np.arange(len(sees))).astype(float)
    inverse_fixed, inverse_cross = np.linalg.solve(seen, fixed), np.linalg.solve(seen, cross.T)
    normal_matrix = fixed.T @ inverse_fixed
    offset = np.linalg.solve(normal_matrix, inverse_fixed.T @ np.array(rows_value))
    mean = inverse_cross.T @ (np.array(rows_value) - fixed @ offset)
    loss = cross @ inverse_fixed
    cov = own - cross @ inverse_cross + loss @ np.linalg.solve(normal_matrix, loss.T)
    return mean + known_px(sod, "object").T.ravel(), cov


def _gain(scale: float, mount: str, normal: list[float], pixel: float) -> dict[tuple[str, int], float]:
    found: dict[tuple[str, int], float] = {}
    for body, factor in (("source", 1 - scale), (mount, scale), ("detector", -1.0)):
        for axis in (0, 1):
            found[body, axis] = factor * normal[axis] * 1e-6 / pixel
    return found


def expected_rms(cov: np.ndarray) -> float:
    """Root of the mean variance over projections and both components, each component's mean taken off."""
    n = len(cov) // 2
    parts = [cov[:n, :n], cov[n:, n:]]
    return float(np.sqrt(np.mean([np.trace(c) / n - c.sum() / n**2 for c in parts])))
