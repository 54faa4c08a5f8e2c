"""Surroundings for tests of the command: a machine's files, a process of its own, a full disk, a user who may not write."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.servers import wait_until

GOOD = Path(__file__).parent / "cases" / "good"
ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}


def machine(folder: Path, *changes: tuple[str, str], extra: str = "") -> Path:
    """A copy of the good machine with changes to its configuration; the configuration's path."""
    shutil.copytree(GOOD, folder, dirs_exist_ok=True)
    config = folder / "good.toml"
    text = config.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    config.write_text(text + extra, encoding="utf-8")
    return config


def ctwin(*arguments: object, prefix: tuple[str, ...] = (), cwd: Path | None = None) -> tuple[int, str, str]:
    """Run the command as a process; its exit code, stdout and stderr."""
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "twin", *map(str, arguments)], capture_output=True, text=True,
        encoding="utf-8", timeout=90, env=ENVIRONMENT, cwd=cwd, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@contextmanager
def running(config: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A real ``ctwin run`` that says that it watches; ended in good order afterwards."""
    said = config.with_name("run.out")
    with said.open("w") as out, config.with_name("run.err").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "twin", "run", str(config), *options], stdout=out, stderr=err, env=ENVIRONMENT,
            text=True,
        )  # fmt: skip
    try:
        wait_until(lambda: "watching" in said.read_text() or process.poll() is not None)
        assert process.poll() is None, config.with_name("run.err").read_text()
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(30)


def readings_in(store: Path) -> int:
    """Readings in a store, as another process sees them."""
    with closing(sqlite3.connect(f"{(store / 'history.sqlite').as_uri()}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM reading").fetchone()[0])


def sums(folder: Path) -> dict[str, str]:
    """Hash of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class SmallDisk:
    """A file system of its own that can be filled and grown; Linux as root, skipped elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        if self._mount("-t", "tmpfs", "-o", "size=4m", "none") != 0:
            pytest.skip("no file system can be mounted here (needs Linux and root)")

    def _mount(self, *arguments: str) -> int:
        try:
            return subprocess.run(["mount", *arguments, str(self.folder)], capture_output=True, check=False).returncode
        except FileNotFoundError:
            return 1

    def size(self, kilobytes: int) -> None:
        """Grow or shrink to a size."""
        assert self._mount("-o", f"remount,size={kilobytes}k") == 0

    def fill(self) -> None:
        """Leave no block free."""
        with (self.folder / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def close(self) -> None:
        """Give it up."""
        subprocess.run(["umount", str(self.folder)], capture_output=True, check=False)


def without_privilege() -> tuple[str, ...]:
    """Prefix of a command that permissions bind, even for root; skips where there is no such thing."""
    if os.name == "nt":
        pytest.skip("folders of Windows have no modes")
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root is bound by no permission, and setpriv is missing")
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
