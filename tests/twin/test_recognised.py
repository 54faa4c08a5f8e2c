"""Steps through the whole twin: events, values for rules, the store, the page and the published series."""

from __future__ import annotations

import json
from itertools import chain

import numpy as np
import pytest

from sensors.reading import Reading
from tests.endtoend.machine import T0
from tests.endtoend.small import small
from twin.core import Twin
from twin.history import History, open_to_read, read_steps
from twin.pipeline import Pipeline
from twin.recognised import largest

STEPPING = "steps_per_day = 2.0\nstep_um = [0.5, 0.5, 0.0]\n"
MORE = f'[drift.object]\nmodel = "random_walk"\nrandom_walk_um_per_sqrt_h = [0.1, 0.1, 0.1]\n{STEPPING}'


def machine():
    """The small machine, in which sample and stage may slip; the spot's steps are unexpected."""
    return small(more=MORE)


def rows(
    seconds: int = 1500, seed: int = 2, jump_px: float = 0.0, at: int = 900, flux: float = 1.0, lasts: int = 10**6
):
    """Calm readings every 5 s; the ball jumps by ``jump_px`` along u, the flux by a factor, from ``at`` on."""
    rng = np.random.default_rng(seed)
    out = []
    for k in range(0, seconds, 5):
        t, after = T0 + k, k >= at
        out += [Reading("t_room", t, 294.15, 0.02), Reading("t_tube", t, 294.15, 0.05)]
        out += [Reading("voltage", t, 80e3), Reading("current", t, 100e-6)]
        out.append(Reading("wire_n", t, rng.normal(0.0, 0.2) + jump_px * after, 0.2))
        out.append(Reading("ball_u", t, rng.normal(0.0, 0.2) + jump_px * after, 0.2))
        out.append(Reading("ball_v", t, rng.normal(0.0, 0.2), 0.2))
        broken = flux if at <= k < at + lasts else 1.0
        out.append(Reading("i0", t, 4000.0 * broken + rng.normal(0.0, 4.0), 4.0))
    return out


@pytest.fixture
def pipeline(tmp_path):
    history = History(tmp_path / "state")
    made = Pipeline(machine(), history)
    yield made
    history.close()


def test_a_jump_of_the_spot_reaches_rules_store_and_page(pipeline, tmp_path):
    for k in range(0, 2400, 40):
        pipeline.take(rows(jump_px=20.0)[k : k + 40], None)
    pipeline.finish()
    (event,) = pipeline.twin.recognised
    assert event.name == "source"
    assert event.time == T0 + 900.0
    assert event.told <= T0 + 910.0
    u = event.size[event.states.index("source.u.walk")]
    # content moves by -(M - 1) s / p: 20 px at M = 50 and 50 µm are -20.4 µm
    assert u * 1e6 == pytest.approx(-20.0 * 50.0 / 49.0, abs=1.0)
    assert largest(pipeline.twin.recognised, T0 + 1000.0)["source_step_um"] == pytest.approx(20.4, abs=1.0)
    assert largest(pipeline.twin.recognised, T0 + 6000.0)["source_step_um"] == 0.0
    (shown,) = pipeline.board.state()["steps"]
    connection = open_to_read(tmp_path / "state")
    (stored,) = read_steps(connection)
    connection.close()
    assert stored["of"] == "source"
    assert stored["size"]["u_um"]["mean"] == pytest.approx(u * 1e6)
    assert shown == stored


@pytest.mark.parametrize(("lasts", "kind"), [(5, "breakdown"), (10**6, "step")])
def test_flux_is_followed_at_once_and_then_judged(lasts, kind):
    twin = Twin(machine())
    seen = {}
    for estimate in chain(twin.steps(rows(flux=0.5, lasts=lasts)), twin.finish()):
        seen[estimate.time - T0] = np.exp(twin.outputs().value("flux"))
    (event,) = [e for e in twin.recognised if e.name == "flux"]
    assert (event.kind, event.time) == (kind, T0 + 900.0)
    assert np.expm1(event.size[0]) == pytest.approx(-0.5, abs=0.02)
    assert seen[900.0] == pytest.approx(2000.0, rel=0.01), "the projection saw that flux"
    assert seen[1100.0] == pytest.approx(4000.0 if kind == "breakdown" else 2000.0, rel=0.01)
    assert largest(twin.recognised, T0 + 1000.0)["flux_step"] == pytest.approx(-0.5, abs=0.02)


def test_calm_readings_make_no_event():
    twin = Twin(machine())
    twin.update(rows())
    assert list(twin.recognised) == []


def test_an_object_that_slips_a_little_is_told_from_noise():
    twin = Twin(machine())
    # the markers of this machine don't ride on the object: nothing sees it
    twin.update(rows(jump_px=1.0))
    assert not [e for e in twin.recognised if e.name == "object"]


@pytest.mark.parametrize("cut", [901, 904, 907, 912])
def test_a_restart_during_a_suspicion_equals_none(cut):
    given = rows(jump_px=3.0, flux=0.9)
    calm, stopped, again = Twin(machine()), Twin(machine()), Twin(machine())
    calm.begin_scan(T0 + 50.0)
    stopped.begin_scan(T0 + 50.0)
    calm.update(given)
    k = next(i for i, r in enumerate(given) if r.time >= T0 + cut)
    stopped.update(given[:k])
    again.restore(json.loads(json.dumps(stopped.snapshot())))
    again.update(given[k:])
    assert calm.recognised
    assert json.dumps(again.snapshot()) == json.dumps(calm.snapshot())
