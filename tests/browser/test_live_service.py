"""The whole way: readings appended to a file, ``ctwin run`` as a process of its own, the page in a real browser."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from twin import profiles

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]
HEAD = "# ctwin readings 1\ntime,channel,value,sigma\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Laboratory:
    """A configuration that follows a log, the log, and the service's process."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "readings.csv"
        self.log.write_text(HEAD)
        self.port = free_port()
        text = profiles.text("xrm2-nanoct")
        source = 'kind = "csv"\npath = "readings.csv"\nfollow = true\npoll_s = 0.05\n'
        text = re.sub(r'kind = "simulated"\nscenario = "[^"]*"\n', source, text)
        text = text.replace("127.0.0.1:8321", f"127.0.0.1:{self.port}")
        text = re.sub(r"late_s = [\d.]+", "late_s = 0.0", text)
        self.config = folder / "ct.toml"
        self.config.write_text(text)
        self.rng = np.random.default_rng(1)
        self.now = float(int(time.time()) // 10 * 10 - 3600)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "twin", "run", str(self.config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def append(self, steps: int) -> None:
        """Ten seconds of readings per step, ending within the last hour."""
        rows = []
        for _ in range(steps):
            self.now += 10.0
            rows.append(f"{self.now:.3f},t_room,{21.0 + 0.02 * self.rng.normal():.4f},0.02")
            rows.append(f"{self.now:.3f},t_stage,{21.1 + 0.01 * self.rng.normal():.4f},0.01")
            rows.append(f"{self.now:.3f},sample_u,{300.0 + 0.3 * self.rng.normal():.4f},0.3")
            rows.append(f"{self.now:.3f},sample_v,{400.0 + 0.3 * self.rng.normal():.4f},0.3")
            rows.append(f"{self.now:.3f},i0,{1400 + self.rng.normal():.2f},3.0")
        with self.log.open("a") as file:
            file.write("\n".join(rows) + "\n")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def laboratory(tmp_path: Path) -> Iterator[Laboratory]:
    lab = Laboratory(tmp_path)
    try:
        yield lab
    finally:
        if lab.process.poll() is None:
            lab.process.kill()
        out, err = lab.process.communicate()
        sys.stderr.write(out + err)


def wait_for(check, seconds: float = 30.0):
    """Value of ``check`` as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            value = check()
        except httpx.TransportError:
            value = None
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def test_page_follows_readings_and_shows_what_the_api_says(laboratory: Laboratory) -> None:
    laboratory.append(60)
    wait_for(lambda: httpx.get(laboratory.url + "api/state").json().get("spot"))
    with sync_api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, headless=True)
        page = browser.new_page()
        problems: list[str] = []
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: None if r.url.startswith(laboratory.url) else problems.append(r.url))
        page.goto(laboratory.url)
        value = "document.querySelector(\"[data-key='spot.u.mean_um']\")?.dataset.value"
        # evaluated from outside: the page's own policy forbids eval, as it should
        before = wait_for(lambda: page.evaluate(value))
        laboratory.append(30)
        wait_for(lambda: page.evaluate(value) not in (None, "", before))
        # one more step, then quiet but for the clock: the numbers of the page are those of the API
        expected = wait_for(
            lambda: (
                (s := httpx.get(laboratory.url + "api/state").json())
                and s["pipeline"]["journal_rows"] > 0
                and float(page.evaluate(value)) == s["spot"]["u"]["mean_um"]
                and s
            )
        )
        shown = dict(
            page.evaluate(
                "() => [...document.querySelectorAll('[data-key]')].map((e) => [e.dataset.key, e.dataset.value ?? ''])"
            )
        )
        for axis in "uvw":
            for name in ("mean_um", "std_um"):
                assert float(shown[f"spot.{axis}.{name}"]) == expected["spot"][axis][name]
        for name in ("half_pitch10_um", "loss_uncorrected", "loss_corrected"):
            assert float(shown[f"resolution.{name}"]) == expected["resolution"][name]
        assert problems == []
        browser.close()
    assert "ctwin_info" in httpx.get(laboratory.url + "metrics").text
    assert httpx.get(laboratory.url + "healthz").status_code == 200
    assert laboratory.stop() == 0
