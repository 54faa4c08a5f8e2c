"""Logs written by the makers of CT systems; one file per maker."""
