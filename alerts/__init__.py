"""Judgement (rules, episodes) and delivery (sinks)."""
