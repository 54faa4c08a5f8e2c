"""filterpy's engine, chosen in the configuration, gives the estimates of the compiled one: a whole twin, real gaps."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from twin.core import Twin
from twin.profiles import load_profile
from twin.simulate.machine import simulate
from twin.simulate.scenario import shipped_scenario


def test_engines_agree_through_the_whole_twin():
    config = load_profile("xrm2-nanoct")
    run = simulate(config, shipped_scenario("xrm2-nanoct"), 3)
    batches = [batch for _, batch in zip(range(420), run.batches(60.0), strict=False)]  # lead-in and the first hour
    other = config.model_copy(update={"estimator": config.estimator.model_copy(update={"engine": "filterpy"})})
    ours, reference = Twin(config), Twin(other)
    steps = 0
    for batch in batches:
        for a, b in zip(ours.update(batch), reference.update(batch), strict=True):
            sd = np.sqrt(np.diagonal(b.cov))
            # states without variance (known exactly so far) must be equal outright
            assert np.all(np.abs(a.mean - b.mean) <= 1e-9 * sd + 1e-15 * np.abs(b.mean))
            assert np.all(np.abs(a.cov - b.cov) <= 1e-9 * np.outer(sd, sd) + 1e-300)
            steps += 1
    assert steps > 2000
    assert ours.gated == reference.gated > 0


def test_a_package_that_shadows_ours_is_named(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("")
    found = subprocess.run(
        [sys.executable, "-c", "import twin"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert found.returncode == 1
    assert "ctwin needs its own package 'models'" in found.stderr
    assert "environment of its own" in found.stderr
