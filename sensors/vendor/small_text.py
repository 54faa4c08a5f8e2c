"""Text files beside the images: small, written by a console, in its own code page."""

from __future__ import annotations

from pathlib import Path

from sensors.reading import SensorError
from sensors.text_log import must_be_file

MOST_BYTES = 1 << 25  # a scan of 100 000 projections has a log of 10 MB


def read_small(path: Path) -> str:
    """Whole text of a log, Latin-1 (UTF-16 with a byte order mark is read, too), line ends as ``\\n``.

    Raises
    ------
    SensorError
        No file, unreadable, or larger than 32 MB.
    """
    must_be_file(path)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SensorError(f"{path}: can't be read: {error.strerror}; check the share", retry=True) from None
    if len(data) > MOST_BYTES:
        raise SensorError(f"{path}: is larger than {MOST_BYTES >> 20} MB; this is no log of a scan")
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1"
    text = data.decode(encoding, errors="replace").removeprefix("ï»¿")
    return text.replace("\r\n", "\n").replace("\r", "\n")
