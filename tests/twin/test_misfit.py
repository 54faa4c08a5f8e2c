"""A machine that isn't the configured one: rules, page and metrics say which channel, in which way, and since when."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from alerts.book import Book
from alerts.journal import MemoryJournal
from sensors.reading import Reading
from tests.endtoend.machine import T0
from tests.endtoend.small import batches, small
from twin.channels import channels_of, rules_of
from twin.core import Twin
from twin.metrics import exposition
from twin.profiles import load_profile, names
from twin.state import Latest, page_state, snapshot_of

RULE = '[[alert]]\nname = "model-does-not-fit"\nwhen = "model_misfit > 1"\nhysteresis = 0.5\n'
CONFIG = small(more=RULE)
BAD_FROM = 600.0


def at_rest(channel: str = "", deed=None) -> list[Reading]:
    """Readings of a machine at rest, as its sensors' σ has them; one channel changed after ten minutes."""
    rng, rows = np.random.default_rng(1), []
    level = {"t_room": 22.0, "t_tube": 26.0, "wire_n": 100.0, "ball_u": 300.0, "ball_v": 200.0, "i0": 30_000.0}
    sigma = {"t_room": 0.02, "t_tube": 0.05, "i0": 20.0}
    channels = channels_of(CONFIG)
    for k in range(360):
        for name, value in level.items():
            raw = value + sigma.get(name, 0.2) * rng.normal()
            if name == channel and 5.0 * k >= BAD_FROM:
                raw = deed(raw, 5.0 * k - BAD_FROM, rng)
            rows.append(channels[name].admit(T0 + 5.0 * k, raw))
    return rows


def run(rows: list[Reading]):
    """Twin, events and the snapshots' last page after the rows."""
    twin, channels, latest = Twin(CONFIG), channels_of(CONFIG), Latest()
    book, events = Book(rules_of(CONFIG), MemoryJournal()), []
    for batch in batches(rows, 40):
        latest.take(batch)
        if twin.update(batch):
            outputs = twin.outputs()
            events += book.step(snapshot_of(twin, outputs, None, latest, channels, {}, twin.time))
    page = page_state(twin, twin.outputs(), None, latest, channels, [], book.active(), None, {}, twin.time)
    return twin, events, json.loads(json.dumps(page, allow_nan=False))


def test_the_configured_machine_is_not_accused():
    twin, events, page = run(at_rest())
    assert {event.rule for event in events} == {"tube-warm"}, "the small machine has a rule of its own"
    assert page["consistency"]["said"] == ""
    assert page["consistency"]["misfit"] == twin.consistency.misfit < 1.0
    assert {row["name"] for row in page["consistency"]["channels"]} == set(twin.machine.model.channels)


@pytest.mark.parametrize(
    ("channel", "deed", "words"),
    [
        ("t_room", lambda x, t, rng: x + 0.06 * rng.normal(), "scatters .* times as far.* sigma is set too small"),
        ("ball_u", lambda x, t, rng: x + 0.6 * rng.normal(), "scatters .* times as far.* sigma is set too small"),
        ("i0", lambda x, t, rng: x * (1.0 + 3e-5 * t), "reads higher than predicted.* source's output"),
        ("t_tube", lambda x, t, rng: x - 2e-3 * t, "reads lower than predicted.* something cools there"),
        ("wire_n", lambda x, t, rng: x + 0.4 * np.sin(t / 12.0), "strays.* in a way or at a rate"),
    ],
)  # fmt: skip
def test_the_message_names_channel_way_beginning_and_usual_causes(channel, deed, words):
    _, events, page = run(at_rest(channel, deed))
    raised = [event for event in events if (event.rule, event.transition) == ("model-does-not-fit", "raised")]
    assert len(raised) == 1
    assert T0 + BAD_FROM < raised[0].time < T0 + 1800.0
    told = re.fullmatch(
        rf"model_misfit = [\d.]+, > 1: {channel} (.*) \(\d+ readings since (.*)\); usually (.*)", raised[0].message
    )
    assert told, raised[0].message
    assert re.search(words, raised[0].message)
    assert told[1] >= "2023-11-14T22:20:00", "the beginning is estimated: never minutes before it"
    assert page["consistency"]["said"].startswith(channel)
    row = next(row for row in page["consistency"]["channels"] if row["name"] == channel)
    assert row["misfit"] == max(row["charts"].values()) >= 1.0
    assert f'ctwin_channel_misfit{{channel="{channel}",way="scatter"}}' in exposition(page)


def test_a_snapshot_of_before_consistency_was_kept_is_taken():
    twin = Twin(CONFIG)
    twin.update(at_rest()[:60])
    old = {key: value for key, value in twin.snapshot().items() if key != "consistency"}
    again = Twin(CONFIG)
    again.restore(old)
    assert again.time == twin.time
    assert np.isnan(again.nis)


@pytest.mark.parametrize("profile", names())
def test_every_profile_ships_the_rule_whose_false_alarms_are_counted(profile):
    """tests/accuracy/test_misfit_delays.py reads it from the profile and counts."""
    (rule,) = [a for a in load_profile(profile).alerts if a.name == "model-does-not-fit"]
    assert (rule.when, rule.for_min, rule.hysteresis) == ("model_misfit > 1", 30.0, 0.5)
