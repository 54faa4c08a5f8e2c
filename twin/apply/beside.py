"""A file or folder of many images is written beside its place and renamed at the end."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twin.atomic import OutputError, cause, make_folder


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Name in the same folder under which something is made; it becomes ``path`` at the end, or is removed.

    What was at ``path`` is there until then. A process that is killed leaves the other name, ``.NAME.….tmp``, behind.

    Raises
    ------
    OutputError
        It can't be written; the message names ``path``.

    Examples
    --------
    >>> import tempfile
    >>> out = Path(tempfile.mkdtemp()) / "images"
    >>> with beside(out) as making:
    ...     making.mkdir()
    >>> [item.name for item in out.parent.iterdir()]
    ['images']
    """
    make_folder(path.parent)
    token = secrets.token_hex(4)
    making, old = (path.with_name(f".{path.name[:100]}.{token}.{end}") for end in ("tmp", "old"))
    try:
        yield making
        _replace(making, path, old)
    except OSError as error:
        raise OutputError(f"{path}: not written: {cause(error)}") from None
    finally:
        _remove(making)
        _remove(old)


def _replace(making: Path, path: Path, old: Path) -> None:
    if not path.is_dir():
        making.replace(path)
        return
    path.rename(old)  # a folder can't be replaced by one
    try:
        making.rename(path)
    except BaseException:
        old.rename(path)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
