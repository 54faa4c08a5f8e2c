"""``ctwin run``: the continuous service."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path
from typing import Any

from twin.commands.check import load_whole
from twin.recorded import zone_of
from twin.scan import read_scan
from twin.service import Service
from twin.terminal import say


def add(sub: Any) -> None:
    """Declare the command."""
    command = sub.add_parser("run", help="watch a machine until stopped")
    command.add_argument("config", type=Path, metavar="CONFIG")
    command.add_argument(
        "--scan", type=Path, metavar="SCAN", help="scan to watch (times and angles of its projections)"
    )
    command.add_argument("--once", action="store_true", help="stop when every source has ended (files read whole)")
    command.add_argument("--no-page", action="store_true", help="do not serve the status page")
    command.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    config = load_whole(given.config)
    scan = read_scan(given.scan, zone_of(config, given.scan)) if given.scan else None
    service = Service(config, given.config.resolve().parent, scan=scan, page=not given.no_page)
    service.on_ready = lambda url: say(f"{config.system.name}: watching; {url or 'no page'} (Ctrl-C stops)")
    asyncio.run(watch(service, linger=not given.once))
    return 0


async def watch(service: Service, *, linger: bool) -> None:
    """Run a service until its sources end or the process is told to stop."""
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None:
            try:
                loop.add_signal_handler(number, service.stop)
            except NotImplementedError:  # Windows has no signal handlers in its loops
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(service.stop))
    await service.run(linger=linger)
