"""A real IOC of EPICS base in a process of its own, on loopback, that serves Channel Access and PV Access.

As a program: ``python epics_ioc.py DATABASE``; says ``ready``, then does each line it is given, such as ``dbpf tube 21``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path


def free_port() -> int:
    """A port that is free for TCP and UDP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                continue
            return int(tcp.getsockname()[1])


class Ioc:
    """An IOC that can be killed and started again at the same ports."""

    def __init__(self, folder: Path, database: str, ca: int, pva: int) -> None:
        self.database = folder / "records.db"
        self.database.write_text(database)
        # records of the group "guarded" may be read while the record "gate" is 1
        guarded = 'ASG(DEFAULT) { RULE(1, WRITE) } ASG(guarded) { INPA("gate") RULE(1, READ) { CALC("A=1") } }'
        self.database.with_name("access").write_text(guarded)
        self.ca, self.pva = ca, pva
        self.addresses = (f"ca://127.0.0.1:{self.ca}", f"pva://127.0.0.1:{self.pva}")
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> Ioc:
        """Start, and wait until it serves."""
        alone = {"INTF_ADDR_LIST": "127.0.0.1", "BEACON_ADDR_LIST": "127.0.0.1", "AUTO_BEACON_ADDR_LIST": "NO"}
        environment = {k: v for k, v in os.environ.items() if not k.startswith("EPICS_")}
        environment |= {f"EPICS_CAS_{k}": v for k, v in alone.items()} | {
            f"EPICS_PVAS_{k}": v for k, v in alone.items()
        }
        environment |= {"EPICS_CAS_SERVER_PORT": str(self.ca), "EPICS_PVAS_BROADCAST_PORT": str(self.pva)}
        environment["EPICS_PVAS_SERVER_PORT"] = "0"  # any; it is told in the answer to a search
        self.process = subprocess.Popen(
            [sys.executable, __file__, self.database], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while line := self.process.stdout.readline():
            if line == "ready\n":
                return self
        raise RuntimeError("the IOC has ended")

    def do(self, *lines: str) -> None:
        """Let it do lines of the IOC's shell."""
        self.process.stdin.write("".join(f"{line}\n" for line in lines))
        self.process.stdin.flush()

    def kill(self) -> None:
        """Kill it as ``kill -9`` does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process.stdin.close()
            self.process.stdout.close()
            self.process = None


def main() -> None:
    """Serve until the input ends."""
    import pvxslibs.path
    from epicscorelibs import ioc

    os.environ["PVXS_QSRV_ENABLE"] = "YES"
    ioc.dbCore.asSetFilename(str(Path(sys.argv[1]).with_name("access")).encode())
    ioc.start_ioc(
        dbs=[(sys.argv[1], "")],
        extra_dbd_load=(("pvxsIoc.dbd", pvxslibs.path.dbd_path),),
        extra_dso_load=("pvxslibs.lib.pvxsIoc",),
    )
    print("ready", flush=True)
    for line in sys.stdin:
        ioc.ioc(line.strip())


if __name__ == "__main__":
    main()
