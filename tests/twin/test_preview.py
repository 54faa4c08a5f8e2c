"""What check says before a scan: predictions that follow from the configuration, and the sentences made of them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from twin.candidates import candidates
from twin.preview import Expected, half_pitches_um, one_more, preview
from twin.preview_picture import preview_svg
from twin.preview_words import mixed_words, preview_facts, preview_lines, told
from twin.profiles import load_profile
from twin.schedule import schedule, stood

COURSES = 8


@pytest.fixture(scope="module")
def fxe():
    return load_profile("fxe160-submicron")


@pytest.fixture(scope="module")
def one_wire(fxe):
    """Seed 001 as its authors had it: the reference wire, no thermometer."""
    return fxe.model_copy(update={"channels": tuple(c for c in fxe.channels if c.quantity != "temperature")})


@pytest.fixture(scope="module")
def known(one_wire):
    return preview(one_wire)


def test_one_wire_cannot_separate_source_from_mount(one_wire, known):
    """What the authors of seed 001 found afterwards is said beforehand, in one line with its numbers."""
    (mixed,) = known.mixed
    assert (mixed.channel, mixed.blind) == ("wire_n", ("v",))
    assert known.gain <= 1.1
    lines = [line for line in preview_lines(one_wire, known, []) if "can't separate source from mount" in line]
    assert len(lines) == 1
    assert "correction will gain little" in lines[0]
    assert f"{known.gain:.2f}x" in lines[0]
    assert f"{known.uncorrected.mean:.3g} um without" in lines[0]
    words = [d.words() for d in told(known)]
    assert "object.v" in words


def test_with_the_temperatures_nothing_of_that_is_said(fxe, known):
    better = preview(fxe)
    assert better.mixed == ()
    assert better.gain > 1.25
    # the same drifts, whatever is read
    assert better.uncorrected.mean == pytest.approx(known.uncorrected.mean, rel=1e-6)
    assert not [d for d in told(better) if "source.v" in d.words() or "object.v" in d.words()]


def test_readings_never_widen(known):
    assert all(known.posterior[n] <= known.prior[n] for n in known.prior)
    assert all(d.posterior <= d.prior for d in known.directions)


def test_one_more_sensor_is_sorted_by_what_it_buys(one_wire):
    known = preview(one_wire, courses=12)
    more = one_more(one_wire, known, courses=12)
    gains = [one.gain for one in more]
    assert gains == sorted(gains, reverse=True)
    assert more[0].words.startswith("a thermometer on")
    assert more[0].gain > 1.1
    words = {one.words for one in more}
    assert {"a second wire across wire", "a cross instead of wire", "a second wire at 1.2 mm from the source"} <= words
    svg = ET.fromstring(preview_svg(one_wire, known, more))
    texts = [t.text for t in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "with correction" in texts
    assert any("across wire" in (t or "") for t in texts)
    facts = preview_facts(known, more)
    assert [one["sensor"] for one in facts["one_more"]] == [one.words for one in more]
    assert facts["mixed"][0]["words"] == mixed_words(known.mixed[0], known.uncorrected, known.corrected)


def test_candidates_are_valid_configurations(one_wire):
    from twin.config import validate

    for option in candidates(one_wire):
        data = option.config.model_dump(mode="json", by_alias=True, exclude_none=True)
        validate(data, option.words)


def test_a_machine_that_stood_is_in_balance_with_its_room(fxe):
    model = schedule(fxe).machine.model
    belief = stood(model)
    room, stage = model.index("temperature.ambient"), model.index("temperature.stage")
    apart = belief.cov[room, room] + belief.cov[stage, stage] - 2 * belief.cov[room, stage]
    assert belief.cov[room, room] > 3.0**2
    # the stage's own wandering, σ² = q² τ/2 with both its ties, and the room's within that time
    own = 0.6**2 / 3600.0 / (2.0 * (1.0 / 7200.0 + 0.02 / 900.0))
    assert own < apart < own + 0.2


def test_readings_come_when_the_configuration_says(fxe):
    plan = schedule(fxe)
    read = np.isfinite(plan.steps.readings)
    names = plan.machine.model.channels
    assert plan.reference * plan.step_s == pytest.approx(5.5 * 3600, abs=plan.step_s)
    assert read[:, names.index("t_tube")].all()
    assert not read[: plan.reference, names.index("wire_n")].any()
    assert read[plan.reference :, names.index("wire_n")].all()
    # 20 readings of 0.02 K in a step of 198 s
    assert plan.steps.variances[0, names.index("t_tube")] == pytest.approx(0.02**2 * 10.0 / plan.step_s)
    seldom = schedule(fxe, every=lambda c: 3600.0 if c.name == "wire_n" else None)
    times = np.flatnonzero(np.isfinite(seldom.steps.readings[:, names.index("wire_n")]))
    assert len(times) == 12
    assert seldom.steps.variances[0, names.index("wire_n")] == pytest.approx(0.05**2)


def test_tomograms_of_still_and_of_drifting_machines(fxe):
    plan = schedule(fxe)
    count = len(plan.steps) - plan.reference
    ramp = np.zeros((1, count, 10))
    ramp[0, :, 7] = np.linspace(0.0, 3.0, count)  # px along v, the axis
    still, drifted = half_pitches_um(plan, np.concatenate([np.zeros_like(ramp), ramp]))
    assert drifted[0] == pytest.approx(still)
    # a linear drift D alone has f10 = 0.908/D (physics of a moving aperture); with the budget it is coarser than either
    assert drifted[1] > max(still, 0.5 * 3.0 * 0.59 / 0.908)


def test_expected_counts_by_weight():
    value = Expected.of(np.array([3.0, 1.0, 2.0]), np.array([0.0, 0.5, 0.5]))
    assert value.mean == pytest.approx(1.5)
    assert 1.0 <= value.low < value.high <= 2.0 + 1e-9
