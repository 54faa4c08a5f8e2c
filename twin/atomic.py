"""Files are written whole or not at all: a reader never sees half a file, a failure leaves the old one as it was."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from pathlib import Path


class OutputError(ValueError):
    """A file can't be written; the message names the file, the cause and the mend, in one line."""


_CAUSES = {
    errno.ENOSPC: "the disk is full; free some space or write elsewhere",
    errno.EDQUOT: "the disk quota is used up; free some space or write elsewhere",
    errno.EFBIG: "the file would be larger than this system or its limits (ulimit -f) allow",
    errno.EROFS: "the file system is read-only; write elsewhere",
    errno.EACCES: "no permission to write in that folder, or the file is open elsewhere; change one or write elsewhere",
    errno.EPERM: "no permission to write in that folder, or the file is protected; change one or write elsewhere",
    errno.EISDIR: "is a folder; name a file in it",
    errno.ENOTDIR: "a part of the path is a file, not a folder; correct the path",
    errno.ENAMETOOLONG: "the name is too long for this file system; shorten it",
    errno.EIO: "the disk reports a hardware error; write elsewhere and check the disk",
}


def write_atomic(path: Path, data: str | bytes) -> None:
    """Put ``data`` into ``path``: a temporary file in the same folder, flushed to the disk, then renamed.

    Text is written as UTF-8 with the line ends it has (``\\n`` stays ``\\n`` on every system). A symbolic link is
    followed. Two writers at once are safe: one of the two files wins, whole.

    Raises
    ------
    OutputError
        The folder is missing or read-only, the disk is full, ``path`` is a folder or a device. What was there
        before is unchanged and no temporary file is left.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.txt"
    >>> write_atomic(file, "one\\n")
    >>> file.read_bytes()
    b'one\\n'
    """
    try:
        _replace(_target(path), data.encode("utf-8") if isinstance(data, str) else data)
    except UnicodeEncodeError as error:
        raise OutputError(f"{path}: the text holds what UTF-8 can't ({error.reason}); nothing written") from None
    except OSError as error:
        raise OutputError(f"{path}: not written: {cause(error)}") from None


def make_folder(path: Path) -> Path:
    """Create a folder for output with its parents, or accept the one there; raises :class:`OutputError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"{path}: is a file, but a folder is needed; give another folder") from None
    except OSError as error:
        raise OutputError(f"{path}: the folder can't be created: {cause(error)}") from None
    return path


def cause(error: OSError) -> str:
    """Cause and mend of a failed write in plain words.

    Examples
    --------
    >>> cause(OSError(errno.ENOSPC, "No space left on device"))
    'the disk is full; free some space or write elsewhere'
    """
    return _CAUSES.get(error.errno or 0, error.strerror or str(error))


def _target(path: Path) -> Path:
    """The file that will be replaced, after the checks whose errors would otherwise come late or unclear."""
    # a link stays a link: its target is replaced
    target = path.resolve() if path.is_symlink() else path
    if target.is_dir():
        raise OutputError(f"{path}: not written: {_CAUSES[errno.EISDIR]}")
    if target.exists() and not target.is_file():
        # renaming over a device would remove the device
        raise OutputError(f"{path}: not written: is a device or a pipe; name an ordinary file")
    if not target.parent.exists():
        raise OutputError(f"{path}: not written: the folder {target.parent} doesn't exist; create it first")
    return target


def _replace(target: Path, data: bytes) -> None:
    # not tempfile.mkstemp: its files are private (0600), here the umask decides as for any other file
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(temporary, flags, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            with contextlib.suppress(OSError):  # some network shares know no modes
                shutil.copymode(target, temporary)
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut; Windows and some shares can't, and don't need it asked twice."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
