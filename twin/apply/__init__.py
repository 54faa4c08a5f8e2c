"""Corrections applied to the projections themselves, for programs that take images only."""

from twin.apply.planning import Plan, plan
from twin.apply.run import Applied, apply

__all__ = ["Applied", "Plan", "apply", "plan"]
