"""Starts the whole stack on this machine with `cargo local`."""

import contextlib
import os
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PROGRAM = Path(os.environ.get("SESSION_CLEANUP_LOCAL", TARGET / "debug/session-cleanup-local"))


class LocalStack:
    """A running stack: the addresses and tokens that it has printed."""

    def __init__(self, banner):
        self.banner = banner
        # The last line contains only the page's address.
        self.page = banner[-1]
        self.api = self.row("API")
        self.dynamodb = self.row("DynamoDB").split(",")[0]

    def row(self, name):
        """The value in the row with this name."""
        (line,) = [it for it in self.banner if it.startswith(f"  {name} ")]
        return line.strip().removeprefix(name).strip()

    def exported(self, name):
        """The value in the line `export NAME=…`."""
        (line,) = [it for it in self.banner if it.startswith(f"export {name}=")]
        return line.partition("=")[2]

    @property
    def port(self):
        return self.api.rpartition(":")[2]

    @property
    def admin(self):
        return self.exported("ADMIN")

    @property
    def reader(self):
        return self.exported("READER")


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


@contextlib.contextmanager
def serve(*options, folder=None):
    """Starts a stack on free ports, in `folder` if it is given, and stops it afterwards."""
    if not PROGRAM.exists():
        pytest.fail(f"{PROGRAM} is missing: cargo build --workspace --bin session-cleanup-local, or set SESSION_CLEANUP_LOCAL")
    command = [PROGRAM, "local", "--port", "0", "--dynamodb-port", "0", *options]
    # Many tests cause warnings on purpose.
    environment = os.environ | {"LOG_LEVEL": "ERROR"}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        banner = []
        while not (banner and banner[-1].endswith("/api/v1/monitoring")):
            line = process.stdout.readline()
            assert line, f"the stack has ended: {banner}"
            banner.append(line.rstrip("\n"))
        yield LocalStack(banner)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
