"""A file is written whole or not at all, and the reason of a failure is one line."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from twin import atomic
from twin.atomic import OutputError, cause, make_folder, write_atomic

ROOT = Path(__file__).resolve().parents[2]
POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


def refused(path, words, data="new"):
    with pytest.raises(OutputError, match=words) as fault:
        write_atomic(path, data)
    assert str(path) in str(fault.value)
    assert "\n" not in str(fault.value)


def test_text_and_bytes_arrive_unchanged_over_an_old_file(tmp_path):
    file = tmp_path / "a.txt"
    for data, there in (("µ\n\r\n", "µ\n\r\n".encode()), (b"\x00\xff\n", b"\x00\xff\n"), ("", b"")):
        write_atomic(file, data)
        assert file.read_bytes() == there
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_in_its_place(tmp_path):
    (tmp_path / "f").mkdir()
    refused(tmp_path / "f", "is a folder; name a file in it")


def test_a_missing_folder_and_a_file_for_a_folder(tmp_path):
    refused(tmp_path / "missing" / "a.txt", "doesn't exist; create it first")
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file" / "a.txt", "not a folder")
    with pytest.raises(OutputError, match="is a file, but a folder is needed"):
        make_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="can't be created: a part of the path is a file"):
        make_folder(tmp_path / "file" / "deeper")
    assert make_folder(make_folder(tmp_path / "a" / "b")).is_dir()


@POSIX
def test_a_device_stays_a_device():
    refused(Path("/dev/full"), "is a device")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)  # noqa: PTH116


@POSIX
def test_a_name_too_long(tmp_path):
    refused(tmp_path / ("x" * 300), "too long")


def test_text_that_utf_8_can_not_hold(tmp_path):
    refused(tmp_path / "a.txt", "UTF-8", "\ud800")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_any_late_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step, number):
    """Made failures, for the causes that a test can't have for real (the next tests have two of them for real)."""
    file = tmp_path / "a.txt"
    file.write_text("old")

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic.os if step == "fsync" else Path, step, fail)
    refused(file, cause(OSError(number, "")).split(";")[0].split(",")[0])
    monkeypatch.undo()
    assert file.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


def test_an_interrupt_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a.txt", "x")
    assert list(tmp_path.iterdir()) == []


@POSIX
def test_a_limit_on_file_size(tmp_path):
    """Real: the kernel refuses to let the file grow."""
    code = (
        "import resource, sys; from pathlib import Path; from twin.atomic import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_atomic(Path(sys.argv[1]), 'x' * 5000)"
    )
    file = tmp_path / "a.txt"
    file.write_text("old")
    run = subprocess.run([sys.executable, "-c", code, file], cwd=ROOT, capture_output=True, text=True)
    assert "OutputError" in run.stderr.splitlines()[-1]
    assert "larger than this system or its limits" in run.stderr.splitlines()[-1]
    assert file.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def in_small_filesystem(tmp_path, script):
    """Run a script in a user's own mount namespace with a real file system of 64 kB on ``$D``; or skip."""
    setup = 'mount -t tmpfs -o size=64k none "$D" && '
    environment = {**os.environ, "D": str(tmp_path), "PYTHON": sys.executable}
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    try:
        probe = subprocess.run([*unshare, setup + "true"], env=environment, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no unshare(1) here: a full disk can't be had without rights")
    if probe.returncode:
        pytest.skip("this system lets nobody mount a file system: a full disk can't be had")
    return subprocess.run([*unshare, setup + script], env=environment, cwd=ROOT, capture_output=True, text=True)


WRITE = """"$PYTHON" -c 'import sys, pathlib; from twin.atomic import write_atomic
write_atomic(pathlib.Path(sys.argv[1]), "x" * int(sys.argv[2]))' """


@POSIX
def test_a_full_disk(tmp_path):
    """Real: a file system of 64 kB."""
    run = in_small_filesystem(tmp_path, f'{WRITE} "$D/a" 1000; {WRITE} "$D/a" 100000; wc -c < "$D/a"; ls -A "$D"')
    last = run.stderr.splitlines()[-1]
    assert "OutputError" in last
    assert "the disk is full; free some space" in last
    assert run.stdout.split() == ["1000", "a"]


@POSIX
def test_a_read_only_file_system(tmp_path):
    """Real, and the one kind of read-only folder that also stops root."""
    run = in_small_filesystem(
        tmp_path, f'{WRITE} "$D/a" 1000; mount -o remount,ro "$D"; {WRITE} "$D/a" 10; wc -c < "$D/a"; ls -A "$D"'
    )
    assert "the file system is read-only; write elsewhere" in run.stderr.splitlines()[-1]
    assert run.stdout.split() == ["1000", "a"]


@POSIX
def test_a_read_only_folder():
    """Real; root, who may write anywhere, becomes somebody else for the moment."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.txt").write_text("old")
        folder.chmod(0o555)
        if root:
            os.seteuid(65534)
        try:
            refused(folder / "a.txt", "no permission to write in that folder")
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o700)
        assert (folder / "a.txt").read_text() == "old"
        assert len(list(folder.iterdir())) == 1


@POSIX
def test_rights_are_those_of_an_ordinary_file(tmp_path):
    old = os.umask(0o027)
    try:
        write_atomic(tmp_path / "new", "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o604)
    write_atomic(tmp_path / "new", "y")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604


@POSIX
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_atomic(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_readers_see_whole_files_while_two_write(tmp_path):
    file = tmp_path / "a.txt"
    write_atomic(file, "a" * 50000)
    done = threading.Event()

    def write(letter):
        while not done.is_set():
            write_atomic(file, letter * 50000)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for writer in writers:
        writer.start()
    try:
        seen = {file.read_text() for _ in range(200)}
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert seen <= {"a" * 50000, "b" * 50000}
    assert len(list(tmp_path.iterdir())) == 1
