"""Projections as a source of readings."""
