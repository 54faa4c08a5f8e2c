"""Kind ``images``: its place in a configuration, so that files written for it are valid; it can't be read live yet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sensors.channel import Channel
from sensors.reading import Reading, SensorError


class ImagesSensor:
    """Marker and flux channels measured in a folder of projections.

    Following a folder is not built yet. A configuration with this kind is valid: its channels can be replayed from files
    (``ctwin replay``, ``ctwin correct --readings``), and a service says at its start that this source gives nothing.
    """

    class Options(BaseModel):
        """Keys of the kind ``images``."""

        model_config = ConfigDict(frozen=True, extra="forbid")
        folder: str

    def __init__(self, options: ImagesSensor.Options, channels: Sequence[Channel], base: Path) -> None:
        self._folder = base / options.folder
        self._channels = tuple(channels)

    @property
    def channels(self) -> Sequence[Channel]:
        """Channels measured in the images."""
        return self._channels

    async def open(self) -> None:
        """Say that this kind can't be read live."""
        raise SensorError(
            f"{self._folder}: this version can't measure markers in images; feed their readings by mqtt or csv instead"
        )

    async def readings(self) -> AsyncIterator[Sequence[Reading]]:
        """Nothing."""
        nothing: Sequence[Sequence[Reading]] = ()
        for batch in nothing:
            yield batch

    async def close(self) -> None:
        """Nothing is held open."""
