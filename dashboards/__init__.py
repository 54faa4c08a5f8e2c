"""Dashboards as code, the JSON they make, and the files of the status page."""
