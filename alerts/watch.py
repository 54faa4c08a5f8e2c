"""The shipped rule: a condition in the rule language, with its policy."""

from __future__ import annotations

from dataclasses import dataclass, field

from alerts.alert import AlertError
from alerts.expression import Expression
from alerts.rule import Policy, Snapshot, Verdict
from alerts.terms import Comparison


@dataclass(frozen=True, slots=True)
class Watch:
    """A condition that is watched.

    Raises
    ------
    AlertError
        If hysteresis is asked for where there is no single limit to apply it to.

    Examples
    --------
    >>> from alerts.expression import compile_when
    >>> rule = Watch("warm", compile_when("t_tube > 30", {"t_tube"}, set(), set()), Policy(hysteresis=0.5))
    >>> rule.judge(Snapshot(0.0, {"t_tube": 30.25})).margin
    0.25
    """

    name: str
    when: Expression
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        if self.policy.hysteresis > 0 and not isinstance(self.when.tree, Comparison):
            raise AlertError(
                f"{self.name}: hysteresis needs a condition that is one comparison, such as 'x > 1'; "
                "leave hysteresis out, or make several alerts"
            )

    def judge(self, snapshot: Snapshot) -> Verdict:
        """Verdict of the condition; pure."""
        return self.when.judge(snapshot)
