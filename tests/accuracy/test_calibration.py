"""Calibration against machines simulated by steps of their equations (tests/oracles/warm_machine.py), truth drawn anew.

Twenty machines: intervals hold the truth, and the calibrated configuration predicts a record it hasn't seen.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict

import numpy as np
import pytest

from tests.oracles.warm_machine import CONFIG, Truth, run, switching
from twin.assembly import assemble
from twin.calibrate import calibrate
from twin.channels import channels_of
from twin.config import validate
from twin.scoring import score

SEEDS = range(20)
HOURS = 12.0
FIELDS = {
    "node[ambient].random_walk_k_per_sqrt_h": "room_walk",
    "node[target].time_constant_min": "target_min",
    "node[target].kelvin_per_watt": "kelvin_per_watt",
    "node[target].random_walk_k_per_sqrt_h": "target_walk",
    "node[stage].time_constant_min": "stage_min",
    "node[stage].random_walk_k_per_sqrt_h": "stage_walk",
    "element[1: source by target].sensitivity": "source",
    "element[2: object by stage].sensitivity": "object",
    "channel[t_room].sigma": "room_noise",
    "channel[t_target].lag_s": "lag_s",
    "channel[t_target].sigma": "target_noise",
    "channel[near_u].sigma": "near_noise",
    "channel[near_v].sigma": "near_noise",
    "channel[sample_v].sigma": "sample_noise",
    "drift.source.random_walk_um_per_sqrt_h[u]": "source_walk",
    "drift.source.random_walk_um_per_sqrt_h[v]": "source_walk",
}


def readings(config, truth, seed):
    known = channels_of(config)
    rows = run(truth, np.random.default_rng(seed), HOURS, switching(HOURS))
    return [known[name].admit(time, value) for time, name, value in rows]


@pytest.fixture(scope="module")
def calibrated():
    config = validate(tomllib.loads(CONFIG), "bench")
    found = []
    for seed in SEEDS:
        truth = Truth.drawn(np.random.default_rng(1000 + seed))
        found.append((truth, calibrate(config, readings(config, truth, 2000 + seed))))
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_intervals_hold_the_truth(calibrated):
    """95 % intervals of what is called determined: 85–100 % in each class, 91–98 % over all."""
    inside = defaultdict(list)
    for truth, done in calibrated:
        for free, found in zip(done.free, done.result.found, strict=True):
            if found.determined:
                inside[free.kind].append(found.low <= getattr(truth, FIELDS[free.name]) <= found.high)
    share = {kind: float(np.mean(hits)) for kind, hits in inside.items()}
    assert set(share) == {"time_constant", "heating", "sensitivity", "lag", "noise", "walk"}
    assert all(0.85 <= part <= 1.0 for part in share.values()), share
    assert 0.91 <= np.mean([hit for hits in inside.values() for hit in hits]) <= 0.98, share


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_called_undetermined_is_what_these_records_hide(calibrated):
    """The walk of the stage, 0.02 K/√h behind 0.1 px, is the one thing that such a record often can't tell."""
    hidden = defaultdict(int)
    for _, done in calibrated:
        for found in done.result.found:
            hidden[found.parameter.name] += not found.determined
    worst = hidden.pop("node[stage].random_walk_k_per_sqrt_h")
    assert worst >= 8
    assert max(hidden.values()) <= 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_new_record_is_predicted_better(calibrated):
    """Of a new record of the same machine the sample's marker is withheld after 2 h and predicted from the rest."""
    errors = defaultdict(list)
    for seed, (truth, done) in list(zip(SEEDS, calibrated, strict=True))[:8]:
        rows = [r for r in readings(done.before, truth, 3000 + seed) if r.channel != "near_v"]
        begin = rows[0].time + 2 * 3600.0
        for name, config in (("before", done.before), ("after", done.after)):
            errors[name].append(score(assemble(config), rows, "sample_v", lambda _, r, begin=begin: r.time > begin).rms)
    before, after = (np.sqrt(np.mean(np.square(errors[name]))) for name in ("before", "after"))
    assert after < 0.5 * before, (before, after)
    assert np.sum(np.array(errors["after"]) < np.array(errors["before"])) >= 7, errors
