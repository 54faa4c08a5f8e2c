"""From drift to tomogram and back: what is predicted, and what RTK reconstructs from radiographs of an independent projector.

MTF10 is that of a disk's rim in eight wedges of ±10° and of its face along the axis, in cycles per detector pixel at the
axis; the worst of the nine is what a scan is said to resolve. ``python -m tests.accuracy.test_closed_loop`` prints the table
and draws the picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.correction import Correction
from tests.accuracy.loop_picture import picture
from tests.accuracy.tomogram import Bench, Sharpness, as_shift, moving, reconstructed, still
from tests.oracles.cylinders import Scanner

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

BENCH = Bench(Scanner(0.5073, 42.99, 0.05, 224, 64), 85.0, 1.0)  # fxe160-submicron's geometry, cropped
COUNT = 360
PICTURE = Path("docs/images/predicted-reconstructed.svg")
T = np.arange(COUNT) / COUNT


def walk(seed: int, rms: float) -> np.ndarray:
    steps = np.cumsum(np.random.default_rng(seed).normal(size=COUNT))
    return rms * (steps - steps[0]) / steps.std()


def sine(turns: float, amplitude: float, phase: float = 0.0) -> np.ndarray:
    return amplitude * np.sin(2.0 * np.pi * turns * T + phase)


# displacement of the image content along u and v over the turn [px]
HISTORIES = {
    "line": (2.0 * T, -1.5 * T),
    "line, steep": (-3.5 * T, 2.5 * T),
    "exponential, early": (3.0 * (1.0 - np.exp(-T / 0.2)), 2.0 * (1.0 - np.exp(-T / 0.2))),
    "exponential, late": (-2.5 * (1.0 - np.exp(-T / 0.7)), 3.0 * (1.0 - np.exp(-T / 0.7))),
    "sine, half a turn": (sine(0.5, 1.5), sine(0.5, 1.2)),
    "sine, once": (sine(1.0, 1.5, 0.7), sine(1.0, 1.2, 0.7)),
    "sine, three times": (sine(3.0, 1.2), sine(3.0, 1.0)),
    "step": (2.0 * (T > 0.4), 1.5 * (T > 0.4)),
    "two steps": (1.2 * (T > 0.2) - 2.0 * (T > 0.7), 1.0 * (T > 0.3) + 1.0 * (T > 0.6)),
    "random walk 1": (walk(1, 1.2), walk(2, 1.0)),
    "random walk 2": (walk(3, 0.8), walk(4, 1.2)),
    "random walk 3": (walk(5, 0.5), walk(6, 0.4)),
    "line and sine": (1.5 * T + sine(2.0, 0.6), 1.0 * T + sine(2.0, 0.6)),
}
TRUE = ("line", "sine, once", "step", "random walk 1")  # that are corrected in full, too
KNOWN = 0.8  # part of the drift that the imperfect correction knows


def source_moved(history: tuple[np.ndarray, np.ndarray], part: float = 1.0) -> Correction:
    """The source displaced so that the image content moves by part of a history."""
    u, v = history
    m = BENCH.scanner.magnification
    moved = np.zeros((COUNT, 3))
    moved[:, 0], moved[:, 1] = u - u[0], v - v[0]
    return moving(BENCH.pose, still(COUNT), source_um=-part * moved * BENCH.unit * 1e3 * m / (m - 1.0))


@pytest.fixture(scope="module")
def loop(tmp_path_factory) -> dict[tuple[str, str], Sharpness]:
    return measured(tmp_path_factory.mktemp("loop"))


def measured(folder: Path) -> dict[tuple[str, str], Sharpness]:
    none = still(COUNT)
    moved = {"nothing": none} | {name: source_moved(history) for name, history in HISTORIES.items()}
    geometries = {name: [("none", none)] for name in moved}
    for name, history in HISTORIES.items():
        geometries[name].append(("part", source_moved(history, KNOWN)))
    for name in TRUE:
        geometries[name].append(("true", moved[name]))
    geometries["line"] += [
        ("shift", as_shift(BENCH.pose, moved["line"])),
        ("wrong sign", source_moved(HISTORIES["line"], -1.0)),
    ]
    return reconstructed(BENCH, folder, moved, geometries)


def predicted(name: str, left: float) -> Sharpness:
    moved = source_moved(HISTORIES[name])
    return BENCH.predicted(left * moved.shift_px, moved.angle_deg)


def test_without_drift_the_static_budget_holds(loop):
    said, found = BENCH.predicted(np.zeros((COUNT, 2)), still(COUNT).angle_deg), loop["nothing", "none"]
    assert said.rim == pytest.approx(found.rim, rel=0.03)
    assert said.face == pytest.approx(found.face, rel=0.09)  # rows and slices have few phases between them


@pytest.mark.parametrize("name", TRUE)
def test_with_the_true_geometry_nothing_is_lost(loop, name):
    assert loop[name, "true"].rim.min() >= 0.97 * loop["nothing", "none"].rim.min()
    # without drift the slices lie at two phases between the rows; the static budget is of all phases
    assert loop[name, "true"].face >= 0.97 * BENCH.predicted(np.zeros((COUNT, 2)), still(COUNT).angle_deg).face


def test_predicted_is_what_is_reconstructed(loop):
    """Over thirteen histories, uncorrected and partly corrected: the worst edge, and all nine."""
    worst, edges = [], []
    for name in HISTORIES:
        for geometry, left in (("none", 1.0), ("part", 1.0 - KNOWN)):
            said, found = predicted(name, left), loop[name, geometry]
            worst.append(said.worst / found.worst - 1.0)
            edges.append(np.append(said.rim, said.face) / np.append(found.rim, found.face) - 1.0)
    assert np.median(np.abs(worst)) <= 0.05
    assert np.max(np.abs(worst)) <= 0.10
    assert np.median(np.abs(edges)) <= 0.05


def test_the_drifts_are_worth_correcting(loop):
    for name in HISTORIES:
        assert loop[name, "none"].worst < 0.9 * loop["nothing", "none"].worst, name
        assert loop[name, "part"].worst > loop[name, "none"].worst


def test_a_shift_does_nearly_as_well_here_and_a_wrong_sign_worse_than_nothing(loop):
    """The disk is a sixth of a millimetre across where the source is half a millimetre away."""
    assert loop["line", "shift"].worst > 0.95 * loop["line", "true"].worst
    assert loop["line", "wrong sign"].worst < 0.8 * loop["line", "none"].worst


def main() -> None:
    """Print predicted and reconstructed MTF10 of all histories, and draw them."""
    from tempfile import mkdtemp

    loop = measured(Path(mkdtemp()))
    print("| drift | geometry | predicted, worst | reconstructed | difference | of all nine edges: median, largest |")
    print("|---|---|---|---|---|---|")
    dots = []
    for name in HISTORIES:
        for geometry, left in (("none", 1.0), ("part", 1.0 - KNOWN)):
            said, found = predicted(name, left), loop[name, geometry]
            dots.append(("not corrected" if geometry == "none" else "four fifths corrected", said.worst, found.worst))
            edges = np.abs(np.append(said.rim, said.face) / np.append(found.rim, found.face) - 1.0)
            print(
                f"| {name} | {geometry} | {said.worst:.3f} | {found.worst:.3f} | {said.worst / found.worst - 1.0:+.1%} | "
                f"{np.median(edges):.1%}, {edges.max():.1%} |"
            )
    PICTURE.write_text(picture(dots), encoding="utf-8")


if __name__ == "__main__":
    main()
