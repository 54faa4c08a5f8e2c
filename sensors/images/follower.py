"""A folder that somebody is filling with projections: which of them can be read next, each once, in order of number.

Nothing here reads an image. The folder is listed in intervals (decision record 9); a file's turn comes when it has stood
still over two listings, and when everything before it has been read, given up, or awaited long enough.
"""

from __future__ import annotations

import fnmatch
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sensors.images.names import kind_of, number_of
from sensors.reading import SensorError

_LOG = logging.getLogger("ctwin.sensors.images")
ENDINGS = (".tif", ".tiff")
NEAR = 16  # numbers so close are neighbours, whatever else numbers mean


@dataclass(slots=True)
class Found:
    """A file of the folder.

    Attributes
    ----------
    path : Path
    number : int
        Last number in its name.
    size : int
        Bytes.
    modified_ns, arrived_ns : int
        When it was last written to, and when it (or its name) came into this folder [ns since 1970].
    since : float
        Since when it stands still [s, the follower's clock].
    still : bool
        The same over two listings.
    given_up : bool
        It stood still for too long without being readable; a change gives it another chance.
    """

    path: Path
    number: int
    size: int = -1
    modified_ns: int = -1
    arrived_ns: int = -1
    since: float = 0.0
    still: bool = False
    given_up: bool = False

    @property
    def order(self) -> tuple[int, str]:
        """Place among the others."""
        return self.number, self.path.name

    def look(self, now: float, settle_s: float) -> None:
        """Note size and times; OSError when it is gone again."""
        status = self.path.stat()
        before = (self.size, self.modified_ns)
        self.size, self.modified_ns = status.st_size, status.st_mtime_ns
        self.arrived_ns = max(status.st_mtime_ns, status.st_ctime_ns)
        if before != (self.size, self.modified_ns):
            self.since, self.still, self.given_up = now, False, False
        else:
            self.still = now - self.since >= settle_s


class Follower:
    """Gives files of a folder in order, each once.

    A number that is absent, or whose file is not whole, is awaited for ``patience_s`` after the next file is whole, and then
    passed over; if it comes after all it is given then. Memory and the work of a listing grow with the number of files only
    as a name and a look-up each.

    Parameters
    ----------
    folder : Path
    pattern : str, optional
        Names that are projections (``proj_*.tif``); otherwise all TIFF files whose name doesn't say flat or dark.
    patience_s : float
    settle_s : float
        How long a file must stand still before it is read.
    without : frozenset of Path
        Files that are no projections.
    """

    def __init__(
        self,
        folder: Path,
        pattern: str = "",
        patience_s: float = 60.0,
        settle_s: float = 0.0,
        without: frozenset[Path] = frozenset(),
    ) -> None:
        self.folder = folder
        self.drops: dict[str, int] = {}
        # a file that a listing just missed has settled at the third one: no other may overtake it before
        self._pattern, self._patience_s, self._settle_s = pattern, max(patience_s, 2.0 * settle_s), settle_s
        self._done: dict[str, int] = {}  # name -> number
        self._pending: dict[str, Found] = {}
        self._left = {path.name for path in without if path.parent.resolve() == folder.resolve()}
        self._last: int | None = None
        self._numbers: tuple[int, int, int] | None = None  # least, most, how many

    @property
    def pending(self) -> list[Found]:
        """Files that were not given yet, in order."""
        return sorted(self._pending.values(), key=lambda file: file.order)

    @property
    def given(self) -> list[Path]:
        """Files that were given and acknowledged, in order."""
        names = sorted(self._done, key=lambda name: (self._done[name], name))
        return [self.folder / name for name in names]

    def poll(self, now: float) -> None:
        """List the folder once, and look at the files that were not given yet.

        Raises
        ------
        SensorError
            The folder can't be read (``retry``: a share may come back).
        """
        try:
            with os.scandir(self.folder) as entries:
                names = {entry.name for entry in entries}
        except OSError as error:
            raise SensorError(f"{self.folder}: can't be read: {error.strerror}; check the share", retry=True) from None
        for name in names - self._done.keys() - self._pending.keys() - self._left:
            self._meet(name, now)
        if self._done and not self._pending and names.isdisjoint(self._done):
            _LOG.info("%s: was emptied; what comes now is another scan", self.folder)
            self._done.clear()
            self._last = self._numbers = None
        for name, file in list(self._pending.items()):
            try:
                file.look(now, self._settle_s)
            except OSError:
                del self._pending[name]  # gone again

    def _meet(self, name: str, now: float) -> None:
        stem, ending = os.path.splitext(name)  # noqa: PTH122 (Path costs ten times as much)
        wanted = fnmatch.fnmatch(name, self._pattern) if self._pattern else ending.lower() in ENDINGS
        number = number_of(stem)
        kind = "projection" if self._pattern else kind_of(stem)
        if wanted and number is not None and kind == "projection":
            self._pending[name] = Found(self.folder / name, number, since=now)
            self._count(number)
            return
        self._left.add(name)
        if wanted:
            why = "has no number in its name" if number is None else f"is no projection but a {kind} by its name"
            _LOG.warning("%s: %s; left out (a pattern says what projections are called)", self.folder / name, why)
            self._drop("not_a_projection")

    def skip(self, names: Iterable[str]) -> None:
        """Take files as given."""
        for name in names:
            file = self._pending.pop(name, None)
            number = (number_of(name.rpartition(".")[0]) or 0) if file is None else file.number
            if file is None:
                self._count(number)
            self._done[name] = number
            self._last = number if self._last is None else max(self._last, number)

    def ready(self, now: float) -> Iterator[Found]:
        """Files whose turn it is, one after the other; each must be :meth:`accept`-ed or :meth:`refuse`-d before the next.

        Parameters
        ----------
        now : float
            Of the same clock as that of :meth:`poll` [s].
        """
        waiting: list[Found] = []  # their turn is before that of what follows, but they can't be read yet
        for file in self.pending:
            late = self._last is not None and file.number <= self._last
            if file.still and not file.given_up:
                early = bool(waiting) or self._gap(file.number)
                if early and not late and now - file.since < self._patience_s:
                    return
                yield file
                if file.given_up or file.path.name in self._done:
                    self._pass_over(file, waiting)
                    waiting = []
                    continue
            if not late:
                waiting.append(file)

    def accept(self, file: Found) -> None:
        """The file was read."""
        del self._pending[file.path.name]
        self._done[file.path.name] = file.number

    def give_back(self, files: Iterable[Found]) -> None:
        """Files that were read, but whose readings nobody took: their turn comes again at once."""
        for file in files:
            if self._done.pop(file.path.name, None) is not None:
                self._pending[file.path.name] = file

    def refuse(self, file: Found, now: float, cause: str, words: str, *, hopeless: bool = False) -> None:
        """The file could not be read; it is given up at once if hopeless, else when it has stood still long enough."""
        if hopeless or now - file.since >= self._patience_s:
            file.given_up = True
            _LOG.warning("%s; left out", words)
            self._drop(cause)

    def _count(self, number: int) -> None:
        low, high, count = self._numbers or (number, number, 0)
        self._numbers = min(low, number), max(high, number), count + 1

    def _gap(self, number: int) -> bool:
        """Whether projections between the last one and this are still to come."""
        if self._last is None or self._numbers is None or number <= self._last + 1:
            return False
        low, high, count = self._numbers
        return 2 * count > high - low or (count < NEAR and number <= self._last + NEAR)

    def _pass_over(self, file: Found, waiting: Sequence[Found]) -> None:
        """Note that the turn of everything before this file has passed."""
        absent = 0
        if self._last is not None and self._gap(file.number):
            between = {other.number for other in waiting if other.number < file.number}
            absent = file.number - self._last - 1 - len(between)
        if absent > 0 and self._last is not None:
            words = f"{absent} of the projections {self._last + 1} to {file.number - 1} have"
            if absent == 1 and file.number == self._last + 2:
                words = f"projection {file.number - 1} has"
            _LOG.warning("%s: %s not come within %g s; passed over", self.folder, words, self._patience_s)
            self._drop("passed_over", absent)
        for other in waiting:
            _LOG.warning("%s: not whole after %g s; passed over until it is", other.path, self._patience_s)
        self._last = file.number if self._last is None else max(self._last, file.number)

    def _drop(self, cause: str, count: int = 1) -> None:
        self.drops[cause] = self.drops.get(cause, 0) + count
