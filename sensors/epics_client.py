"""What both protocols of EPICS share: options, where to search, and one update of a process variable."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator

Wire = Literal["ca", "pva"]
WIRES: tuple[Wire, ...] = ("ca", "pva")


class EpicsOptions(BaseModel):
    """Where to search.

    ``protocol`` is that of process variables whose address doesn't begin with ``ca://`` or ``pva://``. ``addresses``
    are hosts or broadcast addresses, each with or without a port; one that begins with ``ca://`` or ``pva://`` is for
    that protocol only. Without any, the environment says (``EPICS_CA_ADDR_LIST``, ``EPICS_PVA_ADDR_LIST`` …).
    ``timeout_s`` is how long the first answers are awaited when it opens.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    protocol: Wire = "ca"
    addresses: tuple[str, ...] = ()
    timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5.0

    @field_validator("addresses")
    @classmethod
    def _one_each(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            scheme, found, host = address.rpartition("://")
            if (found and scheme not in WIRES) or not host or host.split() != [host] or "/" in host or "," in host:
                raise ValueError(
                    f"{address!r} is none; give host, host:port, ca://host:port or pva://host:port, one each"
                )
        return addresses

    def searched(self, wire: Wire) -> str:
        """Addresses for one protocol, as EPICS writes them; empty where the environment says."""
        parts = [address.rpartition("://") for address in self.addresses]
        return " ".join(host for scheme, _, host in parts if scheme in ("", wire))


@dataclass(frozen=True, slots=True)
class Variable:
    """A process variable."""

    wire: Wire
    name: str

    def __str__(self) -> str:
        return f"{self.wire}://{self.name}"


@dataclass(frozen=True, slots=True)
class Update:
    """A new value of a process variable, or why it has none.

    Attributes
    ----------
    arrival : float
        When it was received here [s since 1970].
    stamp : float
        The server's time [s since 1970]; NaN for none.
    severity : int
        Alarm severity: 0 none, 1 minor, 2 major, 3 and more invalid.
    fault : str
        Empty for a value; else the cause in one word: disconnected, text, array, structure, refused.
    words : str
        More about the fault.
    """

    variable: Variable
    arrival: float
    value: float = math.nan
    stamp: float = math.nan
    severity: int = 0
    fault: str = ""
    words: str = ""


Tell = Callable[[Update], None]


class Client(Protocol):
    """Monitors of one protocol, which come back by themselves after a disconnect."""

    def start(self, names: Sequence[str], tell: Tell) -> None:
        """Monitor these; ``tell`` may be called from any thread. Raises SensorError."""

    async def close(self) -> None:
        """End the monitors."""
