"""Records tell by themselves whether they are whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twin.publish.segment import Damage, Record, decode, encode

some_lines = st.lists(st.binary(min_size=1, max_size=40).map(lambda b: b.replace(b"\n", b"x").replace(b"#", b"y")),
                      min_size=1, max_size=5)  # fmt: skip


@given(st.lists(some_lines, min_size=1, max_size=5), st.floats(0, 2e9))
def test_what_is_encoded_is_decoded(batches, time):
    data = b"".join(encode(lines, time) for lines in batches)
    records = list(decode(data))
    assert all(isinstance(record, Record) for record in records)
    assert [r.payload.split(b"\n")[:-1] for r in records if isinstance(r, Record)] == batches
    assert [r.count for r in records if isinstance(r, Record)] == [len(lines) for lines in batches]
    assert abs(records[0].time - time) < 1e-6  # type: ignore[union-attr]


@given(st.lists(some_lines, min_size=2, max_size=5), st.data())
def test_one_changed_byte_costs_one_record(batches, data):
    pieces = [encode(lines, 1.0) for lines in batches]
    victim = data.draw(st.integers(0, len(pieces) - 1))
    at = data.draw(st.integers(0, len(pieces[victim]) - 1))
    flip = data.draw(st.integers(1, 255))
    broken = bytearray(pieces[victim])
    broken[at] ^= flip
    pieces[victim] = bytes(broken)
    found = [p for p in decode(b"".join(pieces)) if isinstance(p, Record)]
    others = [lines for i, lines in enumerate(batches) if i != victim]
    assert [r.payload.split(b"\n")[:-1] for r in found] == others


@given(st.binary(max_size=300))
def test_noise_is_damage(noise):
    pieces = list(decode(noise))
    assert sum(p.end - p.start for p in pieces) == len(noise)
    assert all(isinstance(p, Damage) for p in pieces)


def test_a_record_cut_off_by_a_short_read_is_no_damage():
    data = encode([b"m v=1.0 1"] * 3, 1.0)
    for cut in range(len(data)):
        assert list(decode(data[:cut], complete=False)) == []
    assert [type(p) for p in decode(data[:-1])] == [Damage]
