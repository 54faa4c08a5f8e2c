"""Truth against a projector written here: points in space, straight rays, a plane."""

from __future__ import annotations

import numpy as np
import pytest

from tests.twin.simulate.machines import nano_config, scenario, wire_config
from twin.simulate.machine import simulate
from twin.simulate.projection import wire_normal
from twin.simulate.run import Run
from twin.simulate.scenario import Scenario, shipped_scenario


def seen_px(point: np.ndarray, source: np.ndarray, screen: np.ndarray, pixel: float) -> np.ndarray:
    """Where the line source-point meets the plane through ``screen`` spanned by u and v, in its own pixels."""
    span = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    a, b, _ = np.linalg.solve(np.column_stack([span, source - point]), source - screen)
    return np.array([a, b]) / pixel


def moving_run(**only: list[float]) -> Run:
    """Everything still but what is named: source, object or detector creeping."""
    drift = {body: {"creep_um": vector, "creep_min": 30.0} for body, vector in only.items()}
    return simulate(wire_config(), scenario(drift=drift), seed=3)


@pytest.mark.parametrize(
    ("moved", "shift_u", "shift_v", "ratio"),
    [
        # M = 40, 50 µm pixels; creep over the scan: what the truth itself says the body did, in µm
        ({"source": [1.0, 0.0, 0.0]}, -39 / 50, 0.0, 0.0),
        ({"source": [0.0, 1.0, 0.0]}, 0.0, -39 / 50, 0.0),
        ({"object": [1.0, 0.0, 0.0]}, 40 / 50, 0.0, 0.0),
        ({"object": [0.0, 1.0, 0.0]}, 0.0, 40 / 50, 0.0),
        ({"detector": [1.0, 0.0, 0.0]}, -1 / 50, 0.0, 0.0),
        ({"detector": [0.0, 1.0, 0.0]}, 0.0, -1 / 50, 0.0),
        ({"source": [0.0, 0.0, 1.0]}, 0.0, 0.0, (1 - 1 / 40) / 10e3),
        ({"object": [0.0, 0.0, 1.0]}, 0.0, 0.0, -1 / 10e3),
        ({"detector": [0.0, 0.0, 1.0]}, 0.0, 0.0, 1 / 400e3),
    ],
)
def test_signs_are_those_of_the_convention(
    moved: dict[str, list[float]], shift_u: float, shift_v: float, ratio: float
) -> None:
    run = moving_run(**moved)
    truth = run.truth
    ((body, vector),) = moved.items()
    path = (run.parts[body].total - run.parts[body].total[0]) @ np.array(vector) * 1e6
    assert path[-1] > 0.3
    # perspective is exact, the convention first order: they part by the displacement over the distance
    np.testing.assert_allclose(truth.shift_px[:, 0], shift_u * path, atol=1e-3 * path[-1])
    np.testing.assert_allclose(truth.shift_px[:, 1], shift_v * path, atol=1e-3 * path[-1])
    np.testing.assert_allclose(truth.magnification - 1, ratio * path, rtol=1e-3, atol=1e-12)


def test_truth_of_everything_at_once_against_rays_in_space() -> None:
    run = simulate(wire_config(), busy_scenario(), seed=5)
    view = run.config.geometry
    sod, sdd, pixel = view.source_object_mm * 1e-3, view.source_detector_mm * 1e-3, view.pixel_um * 1e-6
    s, o, d = (run.parts[body].total for body in ("source", "object", "detector"))
    places = np.array(
        [
            seen_px(np.array([0, 0, sod]) + o[k], s[k], np.array([0, 0, sdd]) + d[k], pixel)
            for k in range(len(run.truth.time))
        ]
    )
    np.testing.assert_allclose(run.truth.shift_px, places - places[0], atol=1e-7)
    # two points a micrometre either side of the axis: their images' distance is the magnification
    apart = np.array(
        [
            seen_px(np.array([1e-6, 0, sod]) + o[k], s[k], np.array([0, 0, sdd]) + d[k], pixel)
            - seen_px(np.array([-1e-6, 0, sod]) + o[k], s[k], np.array([0, 0, sdd]) + d[k], pixel)
            for k in range(len(run.truth.time))
        ]
    )[:, 0]
    np.testing.assert_allclose(run.truth.magnification, apart / apart[0], rtol=1e-7)
    assert np.ptp(run.truth.shift_px, axis=0).min() > 0.5


def test_gauge_a_common_motion_moves_nothing_and_the_detector_is_the_origin() -> None:
    together = {body: {"creep_um": [2.0, -1.0, 0.5]} for body in ("source", "object", "detector")}
    truth = simulate(wire_config(), scenario(drift=together), seed=1).truth
    np.testing.assert_allclose(truth.shift_px, 0.0, atol=1e-9)
    for moved in (truth.source_um, truth.object_um, truth.detector_um):
        np.testing.assert_allclose(moved, 0.0, atol=1e-9)


def test_detector_motion_reappears_as_source_and_object_motion() -> None:
    run = moving_run(detector=[1.0, 0.0, 0.0])
    path = (run.parts["detector"].total - run.parts["detector"].total[0])[:, 0] * 1e6
    np.testing.assert_allclose(run.truth.source_um[:, 0], -path, atol=1e-9)
    np.testing.assert_allclose(run.truth.object_um[:, 0], -path, atol=1e-9)
    assert not run.truth.detector_um.any()


def test_markers_are_seen_where_rays_meet_the_detector() -> None:
    run = simulate(wire_config(), busy_scenario(), seed=5)
    view = run.config.geometry
    sdd, pixel = view.source_detector_mm * 1e-3, view.pixel_um * 1e-6
    s, d = run.parts["source"].total, run.parts["detector"].total
    along = {
        "wire_n": (12e-3, "marker:wire", [np.sin(np.deg2rad(80)), -np.cos(np.deg2rad(80))]),
        "ball_u": (25e-3, "marker:ball", [1, 0]),
        "ball_v": (25e-3, "marker:ball", [0, 1]),
    }
    for channel, (depth, body, normal) in along.items():
        m = run.parts[body].total
        place = np.array(
            [
                seen_px(np.array([0, 0, depth]) + m[k], s[k], np.array([0, 0, sdd]) + d[k], pixel) @ normal
                for k in range(len(s))
            ]
        )
        readings = run.record.of(channel)
        apart = readings.value - place[readings.projection] - readings.value[0] + place[readings.projection[0]]
        sigma = readings.sigma[0]
        assert np.std(apart) == pytest.approx(sigma, rel=0.35)
        assert np.ptp(place) > 5 * sigma
        assert 50 < readings.value.mean() < 950


def test_a_bar_moves_its_body_by_its_expansion() -> None:
    bar = {
        "name": "post", "body": "object", "direction": [0.0, 1.0, 0.0], "length_mm": 100.0, "expansion_per_k": 23e-6,
        "diffusivity_m2_per_s": 9e-5, "foot": {"to": "box"},
    }  # fmt: skip
    heated = scenario(
        lead_h=2.0,
        mass=[{"name": "box", "time_constant_min": 5.0, "kelvin_per_watt": 4.0}],
        bar=[bar],
        tube={"on_at_start": False, "event": [{"time_h": -0.5, "on": True}]},
    )
    run = simulate(wire_config(duration_h=6.0), heated, seed=1)
    # 60 kV × 10 µA = 0.6 W, 4 K/W: 2.4 K; 2.3 µm/K
    settled = run.fine.moved_m["object"][:, 1] * 1e6
    assert settled[0] == pytest.approx(0.0, abs=1e-9)
    assert settled[-1] == pytest.approx(2.4 * 2.3, rel=1e-3)


def test_a_jump_happens_once_and_stays() -> None:
    run = simulate(wire_config(), scenario(jump=[{"time_h": 1.0, "source_um": [0.5, 0.0, 0.0]}]), seed=1)
    after = run.truth.time >= run.scan_start_s + 3600
    np.testing.assert_allclose(run.truth.source_um[after, 0], 0.5)
    np.testing.assert_allclose(run.truth.source_um[~after, 0], 0.0)
    assert 0 < after.sum() < len(after)


def test_the_nano_ct_drifts_by_8_to_15_px_and_its_marker_is_no_answer() -> None:
    run = simulate(nano_config(), shipped_scenario("xrm2-nanoct"), seed=1)
    drift = np.ptp(run.truth.shift_px, axis=0)
    assert 8.0 <= drift.max() <= 15.0
    for channel, moved in zip(("sample_u", "sample_v"), run.truth.shift_px.T, strict=True):
        readings = run.record.of(channel)
        good = ~readings.wrong
        noise = readings.value[good] - moved[readings.projection[good]]
        assert np.std(noise) >= drift.max() / 10
        assert readings.sigma.min() >= drift.max() / 10
        assert np.std(noise) == pytest.approx(np.median(readings.sigma), rel=0.1)


def busy_scenario() -> Scenario:
    """Everything moves in every direction."""
    walk = {"random_walk_um_per_sqrt_h": [0.6, 0.7, 3.0], "wander_um": [0.3, 0.3, 1.0], "wander_min": 20.0}
    return scenario(
        drift={
            "source": {**walk, "warmup_um": [0.5, 0.5, 2.0]},
            "object": walk,
            "detector": {**walk, "random_walk_um_per_sqrt_h": [9.0, 9.0, 9.0]},
            "marker:wire": walk,
            "marker:ball": walk,
        },
        jump=[{"time_h": 0.8, "source_um": [0.7, -0.4, 0.2]}],
    )


@pytest.mark.parametrize("angle", [0.0, 10.0, 87.0, 90.0, 135.0, 180.0, 200.0, -3.0])
def test_normal_of_a_wire_is_across_it_and_points_to_larger_columns_or_rows(angle: float) -> None:
    normal = wire_normal(angle)
    assert np.linalg.norm(normal) == pytest.approx(1.0)
    assert normal @ [np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))] == pytest.approx(0.0, abs=1e-12)
    assert normal[0] > 0 or (normal[0] == 0 and normal[1] > 0)
