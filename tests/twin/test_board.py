import asyncio
import json
import math
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.board import Board, plain
from twin.thinning import thin


def filled(count: int, capacity: int = 100) -> Board:
    board = Board(capacity)
    for i in range(count):
        board.publish({"i": i}, {"time_s": 10.0 * i, "x": float(i)})
    return board


def test_nothing_published() -> None:
    board = Board()
    assert board.state() == {}
    assert board.newest() == (0, "{}")
    assert board.history() == {"first": 1, "seq": 0, "columns": {}}


def test_history_continues_where_the_reader_stopped() -> None:
    board = filled(5)
    assert board.history(after=3) == {"first": 4, "seq": 5, "columns": {"time_s": [30.0, 40.0], "x": [3.0, 4.0]}}
    assert board.history(after=5) == {"first": 6, "seq": 5, "columns": {"time_s": [], "x": []}}


def test_the_ring_forgets_the_oldest() -> None:
    history = filled(250, capacity=100).history()
    assert (history["first"], history["seq"]) == (151, 250)
    assert history["columns"]["x"] == [float(i) for i in range(150, 250)]


def test_a_number_from_another_run_means_everything() -> None:
    assert filled(5).history(after=999)["first"] == 1


def test_columns_that_come_and_go_leave_gaps() -> None:
    board = Board(capacity=3)
    board.publish({}, {"time_s": 0.0})
    board.publish({}, {"time_s": 1.0, "late": 5.0})
    board.publish({}, {"time_s": 2.0, "late": None})
    assert board.history()["columns"]["late"] == [None, 5.0, None]
    for i in (3.0, 4.0):  # the row of 5.0 is used anew; the old value must not shine through
        board.publish({}, {"time_s": i})
    assert board.history()["columns"]["late"] == [None, None, None]


def test_span_keeps_what_is_recent() -> None:
    history = filled(50).history(span_s=30.0)
    assert history["columns"]["time_s"] == [460.0, 470.0, 480.0, 490.0]
    assert history["first"] == 47


def test_long_histories_are_thinned() -> None:
    history = filled(1000, capacity=1000).history(points=50)
    columns = history["columns"]
    assert 30 <= len(columns["x"]) <= 50
    assert len(columns["x"]) == len(columns["time_s"])
    assert (history["first"], history["seq"]) == (1, 1000)
    assert (columns["time_s"][0], columns["time_s"][-1]) == (0.0, 9990.0)


@pytest.mark.parametrize("points", [0, 1, -5])
def test_too_few_points_are_refused(points: int) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        filled(5).history(points=points)


def test_a_board_needs_room() -> None:
    with pytest.raises(ValueError, match="capacity is 1"):
        Board(capacity=1)


@settings(deadline=None)
@given(
    values=st.lists(st.one_of(st.just(math.nan), st.floats(-1e6, 1e6)), min_size=3, max_size=300),
    points=st.integers(3, 60),
)
def test_thinning_keeps_extremes_order_and_the_newest(values: list[float], points: int) -> None:
    column = np.array(values)
    time = np.arange(len(values), dtype=float)
    out = thin({"time_s": time, "x": column}, points)
    assert len(out["x"]) == len(out["time_s"]) <= max(points, 3)
    assert np.all(np.diff(out["time_s"]) >= 0)
    assert np.array_equal(out["x"][-1:], column[-1:], equal_nan=True)
    known = column[~np.isnan(column)]
    if known.size:
        assert np.nanmin(out["x"]) == known.min()
        assert np.nanmax(out["x"]) == known.max()


def test_states_become_json_with_null_for_what_is_no_number() -> None:
    board = Board()
    board.publish(
        {
            "a": np.float32(0.5),
            "b": np.int64(3),
            "c": math.nan,
            "d": np.array([1.0, math.inf]),
            "e": (True, np.bool_(False)),
        },
        {},
    )
    assert json.loads(board.newest()[1]) == {"a": 0.5, "b": 3, "c": None, "d": [1.0, None], "e": [True, False]}


def test_numbers_keep_all_their_digits() -> None:
    value = 0.1 + 0.2
    board = Board()
    board.publish({"value": value}, {})
    assert json.loads(board.newest()[1])["value"] == value


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="can't hold set"):
        plain({"a": {1, 2}})


def test_publishing_from_many_threads_loses_nothing() -> None:
    board = Board(capacity=4000)

    def work(who: int) -> None:
        for i in range(1000):
            board.publish({}, {"time_s": float(i), f"from_{who}": 1.0})

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = board.history()
    assert history["seq"] == 4000
    assert [sum(v or 0 for v in history["columns"][f"from_{who}"]) for who in range(4)] == [1000] * 4


def test_a_subscriber_gets_the_newest_not_the_queue() -> None:
    """A burst of 5000 publishes over half a second reaches a reader as at most ten updates per second."""
    board = Board()

    async def main() -> tuple[list[int], float]:
        seen: list[int] = []
        loop = asyncio.get_running_loop()
        subscription = board.subscribe()

        def burst() -> None:
            pause = threading.Event()
            for i in range(5000):
                board.publish({"i": i}, {})
                if i % 10 == 0:
                    pause.wait(0.001)

        thread = threading.Thread(target=burst)
        begin = loop.time()
        thread.start()
        async for update in subscription.updates(idle_s=5.0):
            assert update is not None
            seen.append(json.loads(update[1])["i"])
            if seen[-1] == 4999:
                break
        subscription.close()
        await asyncio.to_thread(thread.join)
        return seen, loop.time() - begin

    seen, took = asyncio.run(main())
    assert seen == sorted(set(seen))
    assert 2 <= len(seen) <= took / board.interval_s + 2


def test_a_subscriber_hears_when_nothing_happens_and_ends_on_close() -> None:
    board = filled(1)

    async def main() -> list[int | None]:
        subscription = board.subscribe()
        seen: list[int | None] = []
        async for update in subscription.updates(idle_s=0.02):
            seen.append(None if update is None else update[0])
            if len(seen) == 3:
                subscription.close()
        board.publish({}, {})  # nobody is left to be told
        return seen

    assert asyncio.run(asyncio.wait_for(main(), 5)) == [1, None, None]


def test_a_reader_whose_loop_is_gone_is_forgotten() -> None:
    board = Board()

    async def leave() -> None:
        board.subscribe()

    asyncio.run(leave())
    board.publish({}, {})
    assert not board._subscriptions
