"""The page in a real browser, from a real server, while a thread publishes."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.feeder import STEPS, Feeder, alert
from twin.board import Board
from twin.http import Health, make_app, serve

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]

FEEDER = Feeder()
TIME = "[data-key='time']"
# Everything the page binds, with the value it claims to show.
BOUND = """() => [...document.querySelectorAll("[data-key]")]
    .map((element) => [element.dataset.key, element.dataset.value ?? ""])"""


class Nobody:
    """Stands for who knows of scans; the page doesn't ask."""

    def begin(self, name: str) -> dict[str, Any]:
        raise ValueError(name)

    def end(self) -> dict[str, Any]:
        raise ValueError("no scan is under way")

    def listed(self) -> list[dict[str, Any]]:
        return []


class Served:
    """A board and its page, served from a thread; ``stop`` and ``start`` again at the same port."""

    def __init__(self) -> None:
        self.board = Board(5000)
        self.acknowledged: list[tuple[str, str, str]] = []
        self.refuse = ""
        self.url = ""
        self.port = 0
        self.start()

    def start(self) -> None:
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._thread.start()
        assert self._up.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    async def _main(self) -> None:
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        app = make_app(self.board, str, lambda: Health(True, True), self._ack, Nobody())
        async with serve(app, "127.0.0.1", self.port) as self.url:
            self.port = int(self.url.rstrip("/").rpartition(":")[2])
            self._up.set()
            await self._leave.wait()

    def _ack(self, *signature: str) -> dict[str, Any]:
        if self.refuse:
            raise ValueError(self.refuse)
        self.acknowledged.append(signature)
        return {}

    def feed(self, begin: int, end: int, alerts: list[dict[str, Any]] | None = None) -> None:
        state = FEEDER.state(end - 1, alerts)
        for i in range(begin, end):
            self.board.publish(state, FEEDER.sample(i))


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    if served._thread.is_alive():
        served.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


class Viewer:
    """A page that remembers its console, its errors, what it asked for, and what the policy refused."""

    def __init__(self, browser: Any, url: str, width: int = 1440, height: int = 900, scheme: str = "light") -> None:
        self.url = url
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            timezone_id="Europe/Berlin",
            locale="en-GB",
        )
        self.page = self.context.new_page()
        self.troubles: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => console.error('policy', e.violatedDirective, e.blockedURI))"
        )
        self.page.goto(url)

    def wait_for_state(self, i: int) -> None:
        self.wait(
            "([key, time]) => document.querySelector(key).dataset.value === time", [TIME, FEEDER.state(i)["time"]]
        )

    def wait(self, condition: str, argument: Any = None) -> None:
        self.page.wait_for_function(condition, arg=argument, timeout=10_000)

    def wait_for_charts(self) -> None:
        self.wait("() => document.querySelectorAll('.plot canvas').length === 8")

    def text(self, selector: str) -> str:
        return " ".join(self.page.inner_text(selector).split())

    def overflow(self) -> int:
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def close(self, troubles: bool = False) -> None:
        self.context.close()
        assert all(url.startswith(self.url) for url in self.asked), "a request to another origin"
        assert troubles or self.troubles == []


def at(state: Any, path: str) -> Any:
    for key in path.split("."):
        state = state[int(key)] if isinstance(state, list) else (state or {}).get(key)
    return state


def test_the_page_changes_as_states_are_published_and_shows_their_numbers(browser: Any, served: Served) -> None:
    viewer = Viewer(browser, served.url)
    viewer.wait("() => document.getElementById('link-text').textContent === 'Connected'")
    assert viewer.page.is_visible("#waiting")
    assert "No data yet" in viewer.text("#waiting")
    assert not viewer.page.is_visible("#alerts-title"), "nothing is known of alerts yet"

    for i in (10, 300, 700):
        served.feed(i - 9, i + 1, [alert(i - 5)])
        viewer.wait_for_state(i)
        viewer.wait_for_charts()
        state = httpx.get(f"{served.url}api/state").json()
        bound = viewer.page.evaluate(BOUND)
        assert len(bound) > 60
        for key, shown in bound:
            value = at(state, key)
            if value is None:
                assert shown == "", key
            elif isinstance(value, str):
                assert shown == value, key
            else:
                assert float(shown) == value, key
    assert not viewer.page.is_visible("#waiting")
    resolution = state["resolution"]
    assert viewer.text("#tile-now .big") == f"{resolution['half_pitch10_um']:.3f} µm limit 0.150 µm"
    assert viewer.text("#tile-now .verdict") == "▲ At risk"
    assert viewer.text("#tile-corrected .verdict") == "✓ OK"
    assert viewer.text("#simulated") == "Simulated"
    assert viewer.text("#scan-left") == "22 h 20 min left, ends Wed 4 Mar 18:30"
    assert viewer.page.get_attribute(TIME, "title") == "2026-03-03 19:10:00 UTC"
    assert viewer.page.title() == "At risk · xrm2-nanoct · ctwin"
    viewer.close()


def test_charts_follow_the_record(browser: Any, served: Served) -> None:
    served.feed(0, 500)
    viewer = Viewer(browser, served.url)
    viewer.wait_for_state(499)
    viewer.wait_for_charts()
    before = viewer.page.locator("#chart-spot-u canvas").screenshot()
    served.feed(500, 900)
    viewer.wait_for_state(899)
    asked = len(viewer.asked)
    viewer.wait("() => performance.getEntriesByType('resource').some((entry) => entry.name.includes('after=500'))")
    deadline = 50
    while viewer.page.locator("#chart-spot-u canvas").screenshot() == before:
        deadline -= 1
        assert deadline, "the chart did not change"
        viewer.page.wait_for_timeout(100)
    assert len(viewer.asked) - asked < 10
    viewer.close()


def test_an_accelerated_run_neither_floods_nor_stalls_the_page(browser: Any, served: Served) -> None:
    viewer = Viewer(browser, served.url)
    states = [FEEDER.state(i) for i in range(0, STEPS, 10)]

    def race() -> None:
        pause = threading.Event()
        for i in range(STEPS):
            served.board.publish(states[i // 10], FEEDER.sample(i))
            if i % 3 == 0:
                pause.wait(0.004)

    thread = threading.Thread(target=race)
    thread.start()
    thread.join()
    served.board.publish(FEEDER.state(STEPS - 1), FEEDER.sample(STEPS - 1))
    viewer.wait_for_state(STEPS - 1)
    viewer.wait_for_charts()
    histories = [url for url in viewer.asked if "api/history" in url]
    assert 2 <= len(histories) < 20
    viewer.close()


def test_resolution_is_called_lost_beyond_the_limit(browser: Any, served: Served) -> None:
    served.feed(990, 1001)
    viewer = Viewer(browser, served.url)
    viewer.wait_for_state(1000)
    assert viewer.text("#tile-now .verdict") == "✕ Lost"
    assert viewer.text("#tile-now .why") == "1.3 % beyond the limit"
    state = FEEDER.state(1001)
    state["resolution"] |= {"limit_um": 0.1}
    served.board.publish(state, FEEDER.sample(1001))
    viewer.wait_for_state(1001)
    assert viewer.text("#tile-now .why") == "52.0 % beyond the limit, which is out of reach even without drift"
    viewer.close()


def test_an_alert_is_announced_and_acknowledged(browser: Any, served: Served) -> None:
    served.feed(0, 20, [alert(10)])
    viewer = Viewer(browser, served.url)
    viewer.wait_for_state(19)
    page = viewer.page
    assert "New major alert: resolution about to be lost" in (page.text_content("#announce") or "")
    assert "Pause after the current projection" in viewer.text("#alerts")
    button = page.get_by_role("button", name="Acknowledge resolution-about-to-be-lost")
    button.focus()
    served.feed(20, 30, [alert(10), alert(25, id="other:1", name="other", severity="critical")])
    viewer.wait_for_state(29)
    assert button.evaluate("(b) => b === document.activeElement"), "an update must not take the focus"
    assert page.locator("#alerts li").first.get_attribute("data-id") == "other:1", "the worst comes first"
    other = alert(25, id="other:1", name="other", severity="critical", acknowledged=True)
    served.feed(30, 40, [other, alert(10)])
    viewer.wait_for_state(39)
    assert page.locator("#alerts li").last.get_attribute("data-id") == "other:1", "what is acknowledged comes last"
    assert button.evaluate("(b) => b === document.activeElement"), "nor may a new order"

    page.keyboard.press("Enter")
    page.keyboard.type("Ada")
    page.keyboard.press("Tab")
    page.keyboard.type("Paused; taking references")
    served.refuse = "it has returned to normal"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("#ack-error").wait_for()
    assert viewer.text("#ack-error") == "Not acknowledged: it has returned to normal."
    assert served.acknowledged == []

    served.refuse = ""
    page.keyboard.press("Enter")
    page.locator("#ack").wait_for(state="hidden")
    assert served.acknowledged == [("resolution-about-to-be-lost:1", "Ada", "Paused; taking references")]

    served.feed(40, 50, [alert(10, acknowledged=True, state="active-acknowledged")])
    viewer.wait_for_state(49)
    assert page.locator("#alerts button:visible").count() == 0
    assert viewer.text("#alert-count") == "1 active, 0 to acknowledge"
    served.feed(50, 55, [alert(10, state="pending")])
    viewer.wait_for_state(54)
    assert page.locator("#alerts button:visible").count() == 0, "what is pending can't be acknowledged"
    served.feed(55, 60)
    viewer.wait_for_state(59)
    assert viewer.text("#alert-count") == "none active"
    assert "Alert over: resolution about to be lost" in (page.text_content("#announce") or "")
    viewer.close(troubles=True)  # the browser itself reports the refused request
    assert all("409" in trouble for trouble in viewer.troubles)


def test_states_without_numbers_are_shown_as_such(browser: Any, served: Served) -> None:
    state = FEEDER.state(5)
    nothing = dict.fromkeys(("mean_um", "std_um", "correction_um"))
    state |= {"scan": None, "flux": None, "resolution": None, "forecast": None, "sensors": [], "simulated": False}
    state |= {
        "spot": dict.fromkeys("uvw", nothing),
        "consistency": {"nis_mean": None, "misfit": None, "gated": 0},
        "temperatures": [],
    }
    served.board.publish(state, {"time_s": state["time_s"], "spot_u_um": None})
    viewer = Viewer(browser, served.url)
    viewer.wait_for_state(5)
    assert viewer.text("#tile-now .big").startswith("– µm")
    assert viewer.text("#tile-now .why") == "No data yet"
    assert viewer.text("#risk-why") == "No forecast yet"
    assert "None is running" in viewer.text("#no-scan")
    assert viewer.text("#no-sensors") == "No sensor has reported yet."
    assert not viewer.page.is_visible("#simulated")
    assert viewer.page.locator(".plot-empty:visible").count() == 8
    viewer.close()


def test_names_from_outside_are_text_not_markup(browser: Any, served: Served) -> None:
    evil = "<img src=x onerror=alert(1)>"
    state = FEEDER.state(5, [alert(1, name=evil, message=evil, guidance=evil)])
    state["system"] = state["sensors"][0]["name"] = state["sensors"][0]["message"] = evil
    state["temperatures"][0]["name"] = evil
    served.board.publish(state, FEEDER.sample(5) | {f"temperature.{evil}": 1.0})
    served.board.publish(state, FEEDER.sample(6) | {f"temperature.{evil}": 2.0})
    viewer = Viewer(browser, served.url)
    viewer.wait_for_state(5)
    viewer.wait_for_charts()
    assert viewer.page.locator("img").count() == 0
    assert viewer.text("h1") == evil
    viewer.close()


def test_a_lost_connection_is_told_and_found_again(browser: Any, served: Served) -> None:
    served.feed(0, 20)
    viewer = Viewer(browser, served.url)
    viewer.wait_for_state(19)
    viewer.wait_for_charts()
    served.stop()
    viewer.page.locator("#lost").wait_for()
    assert viewer.text("#lost").startswith("Connection lost — reconnecting. Last update ")
    assert viewer.text("#link-text") == "Reconnecting"
    # Another run of the service: its numbers begin anew, and so must the charts.
    served.board = Board(5000)
    served.feed(700, 800)
    served.start()
    viewer.wait_for_state(799)
    viewer.page.locator("#lost").wait_for(state="hidden")
    assert viewer.text("#link-text") == "Live"
    viewer.wait("() => performance.getEntriesByType('resource').filter((e) => e.name.includes('points=')).length > 1")
    viewer.close(troubles=True)
    assert all("ERR_" in trouble for trouble in viewer.troubles)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_follow_the_system_and_the_button(
    browser: Any, served: Served, tmp_path: Path, scheme: str
) -> None:
    served.feed(0, 900, [alert(850)])
    viewer = Viewer(browser, served.url, scheme=scheme)
    viewer.wait_for_state(899)
    viewer.wait_for_charts()

    def ground() -> int:
        colour = viewer.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))

    first = ground()
    assert (first > 600) == (scheme == "light")
    picture = viewer.page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
    assert len(picture) > 50_000
    viewer.page.click("#theme")
    viewer.wait_for_charts()
    assert (ground() > 600) != (scheme == "light")
    viewer.page.reload()
    viewer.wait_for_state(899)
    assert (ground() > 600) != (scheme == "light"), "the choice is remembered"
    viewer.close()


@pytest.mark.parametrize("width", [320, 390, 820, 1440])
def test_nothing_overflows(browser: Any, served: Served, width: int) -> None:
    served.feed(0, 900, [alert(850), alert(860, id="b", name="a-very-long-name-of-an-alert-that-someone-invented")])
    viewer = Viewer(browser, served.url, width=width, height=844)
    viewer.wait_for_state(899)
    viewer.wait_for_charts()
    assert viewer.overflow() == 0
    viewer.page.get_by_role("button", name="Acknowledge resolution-about-to-be-lost").click()
    assert viewer.overflow() == 0
    viewer.close()


def test_spans_and_zoom(browser: Any, served: Served) -> None:
    served.feed(0, 900)
    viewer = Viewer(browser, served.url)
    viewer.wait_for_state(899)
    viewer.wait_for_charts()
    page = viewer.page
    page.click("[data-span='3600']")
    viewer.wait("() => performance.getEntriesByType('resource').some((entry) => entry.name.includes('span_s=3600'))")
    assert page.get_attribute("[data-span='3600']", "aria-pressed") == "true"
    viewer.wait_for_charts()
    plot = page.locator("#chart-spot-u .u-over")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 40)
    assert page.is_visible("#chart-spot-u .tip")
    assert "UTC" in viewer.text("#chart-spot-u .tip")
    assert not page.is_visible("#chart-spot-v .tip")
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 60, steps=4)
    page.mouse.up()
    page.locator("#unzoom").wait_for()
    served.feed(900, 910)
    viewer.wait_for_state(909)
    assert page.is_visible("#unzoom"), "new data must not undo the zoom"
    page.click("#unzoom")
    page.locator("#unzoom").wait_for(state="hidden")
    viewer.close()


def test_the_history_the_page_reads_is_that_of_the_board(served: Served) -> None:
    served.feed(0, 50)
    history = json.loads(httpx.get(f"{served.url}api/history?after=49").text)
    assert history["columns"]["spot_u_um"] == [pytest.approx(FEEDER.sample(49)["spot_u_um"], abs=1e-6)]
