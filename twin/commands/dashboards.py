"""``ctwin dashboards``: Grafana dashboards and provisioning as files, or pushed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dashboards.build import files
from twin.atomic import make_folder, write_atomic
from twin.commands.arguments import address
from twin.terminal import say


def add(sub: Any) -> None:
    """Declare the commands."""
    command = sub.add_parser("dashboards", help="Grafana dashboards").add_subparsers(
        dest="what", metavar="WHAT", required=True
    )
    out = command.add_parser("export", help="write dashboards and provisioning files")
    out.add_argument("--out", type=Path, required=True, metavar="DIR")
    out.add_argument("--influx-url", type=address, default="http://127.0.0.1:8086", metavar="URL")
    out.add_argument("--database", default="ct", metavar="NAME")
    out.set_defaults(run=_export)
    push = command.add_parser("push", help="push dashboards to a running Grafana")
    push.add_argument("--url", type=address, required=True, metavar="URL")
    push.add_argument("--token-file", type=Path, required=True, metavar="FILE")
    push.add_argument("--influx-url", type=address, metavar="URL", help="make a datasource for this server, too")
    push.add_argument("--database", default="ct", metavar="NAME")
    push.add_argument("--editable", action="store_true", help="push an editable copy beside the provisioned one")
    push.set_defaults(run=_push)


def _export(given: argparse.Namespace) -> int:
    folder = make_folder(given.out)
    for name, text in files(given.influx_url, given.database, path=str((folder / "grafana").resolve())).items():
        make_folder((folder / name).parent)
        write_atomic(folder / name, text)
        say(f"  {folder / name}")
    return 0


def _push(given: argparse.Namespace) -> int:
    from twin.publish.grafana import Grafana, push

    for pushed in push(
        Grafana(given.url, given.token_file), given.influx_url, database=given.database, editable=given.editable
    ):
        say(f"  {pushed}")
    return 0
