"""``ctwin track --profile``: a wire's profile averaged as it is and shifted back, by its own places and by a model's."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile

from tests.oracles.wire_image import Wire
from twin.cli import main

IMAGES, BLUR, AMPLITUDE = 60, 1.2, 1.6
DRIFT = AMPLITUDE * np.sin(np.linspace(0.0, 2.0 * np.pi, IMAGES, endpoint=False))
T0 = 1_700_000_000


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A wire tilted by 3°, one projection a minute, that wanders by 1.6 px to and fro."""
    folder = tmp_path_factory.mktemp("profile")
    rng = np.random.default_rng(3)
    (folder / "scan").mkdir()
    for k, shift in enumerate(DRIFT):
        wire = Wire(90, 80, 41.0 + shift, 0.052, 7.0, 0.6, BLUR, 900.0)
        stamp = np.datetime64(T0 + 60 * k, "s").item().strftime("%Y:%m:%d %H:%M:%S")
        tifffile.imwrite(
            folder / "scan" / f"p_{k:03d}.tif", rng.poisson(wire.expected()).astype(np.uint16), datetime=stamp
        )
    return folder


@pytest.fixture
def track(scan, monkeypatch):
    monkeypatch.chdir(scan)
    return lambda *words: main(["track", "scan", "--marker", "wire", "--out", "wire.csv", *words])


def blurs(said: str) -> list[tuple[float, float]]:
    """The two blurs of the line about the profile, each with its σ."""
    words = next(line for line in said.splitlines() if line.startswith("averaged profile")).split()
    return [(float(words[k - 1]), float(words[k + 1])) for k, word in enumerate(words) if word == "±"][:2]


def test_shifting_gives_the_wire_its_own_blur_back(track, scan, capsys):
    assert track("--profile", "profile.svg") == 0
    said = capsys.readouterr().out
    before, after = blurs(said)
    assert after[0] == pytest.approx(BLUR, abs=4.0 * after[1] + 0.01)
    assert after[1] < 0.03
    # a sine's blur isn't Gaussian: the best Gaussian is near its root mean square
    assert before[0] == pytest.approx(np.hypot(BLUR, AMPLITUDE / np.sqrt(2.0)), rel=0.1)
    assert "(by where each was seen)" in said
    assert f"averaged over {IMAGES} projections" in (scan / "profile.svg").read_text()
    ElementTree.parse(scan / "profile.svg")


def test_shifts_of_a_model_are_judged_by_the_profile(track, scan, capsys):
    """A course that follows half of the drift leaves the other half's blur."""
    rows = "".join(f"{T0 + 60 * k},wire_n,{41.0 + 0.5 * shift},0.01,good\n" for k, shift in enumerate(DRIFT))
    (scan / "markers.csv").write_text(f"time,channel,value,sigma,quality\n{rows}")
    assert track("--profile", "profile.svg", "--shifts", "markers.csv") == 0
    said = capsys.readouterr().out
    _, after = blurs(said)
    assert after[0] == pytest.approx(np.hypot(BLUR, 0.5 * AMPLITUDE / np.sqrt(2.0)), rel=0.05)
    assert "(by markers.csv)" in said


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--profile", "profile.png"), "is SVG; give a name with the ending .svg"),
        (("--shifts", "markers.csv"), "give --profile, too"),
        (("--profile", "p.svg", "--shifts", "absent.csv"), "absent.csv: no such file"),
        (("--profile", "p.svg", "--shifts", "other.csv"), "other.csv: holds no wire_n but t_tube"),
        (("--profile", "p.svg", "--shifts", "early.csv"), "the shifts given begin and end outside"),
        (("--profile", "p.svg", "--follow"), "--profile is for a wire in a finished series"),
    ],
)
def test_bad_requests_are_one_line(track, scan, capsys, words, expected):
    (scan / "other.csv").write_text("time,channel,value,sigma,quality\n1,t_tube,3,,good\n")
    (scan / "early.csv").write_text("time,channel,value,sigma,quality\n1,wire_n,3,,good\n2,wire_n,3,,good\n")
    assert track(*words) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.startswith("ctwin: ")
    assert len(error.strip().splitlines()) == 1
