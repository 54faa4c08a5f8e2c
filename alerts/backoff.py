"""How long to wait before trying again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after the n-th failure in a row: first·2ⁿ⁻¹, at most ``longest_s``, of which a random half.

    The random part keeps many machines from knocking all at once at a server that has just come back.
    What a server asks for by ``Retry-After`` counts up to ``most_asked_s``: it may not silence alerts for days.

    Examples
    --------
    >>> [Backoff().wait(n, part=1.0) for n in (1, 2, 3, 20)]
    [1.0, 2.0, 4.0, 300.0]
    """

    first_s: float = 1.0
    longest_s: float = 300.0
    most_asked_s: float = 3600.0

    def wait(self, failures: int, *, part: float, asked_s: float | None = None) -> float:
        """Seconds to wait; ``part`` (0 … 1) chooses within the random half."""
        full = min(self.first_s * 2.0 ** min(failures - 1, 60), self.longest_s)
        return max(full * (0.5 + 0.5 * part), min(asked_s or 0.0, self.most_asked_s))
