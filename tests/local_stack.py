"""The whole stack on this machine, as `cargo local` serves it."""

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
    """What a stack that stays up has printed."""

    def __init__(self, introduction):
        self.introduction = introduction
        # The last line, whole and alone.
        self.page = introduction[-1]
        self.api = self.row("API")
        self.dynamodb = self.row("DynamoDB").split(",")[0]

    def row(self, name):
        """What stands in the row of this name."""
        (line,) = [it for it in self.introduction if it.startswith(f"  {name} ")]
        return line.strip().removeprefix(name).strip()

    def exported(self, name):
        """What the line `export NAME=…` says."""
        (line,) = [it for it in self.introduction if it.startswith(f"export {name}=")]
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
    """Starts a stack on free ports, in a folder if one is named, and ends it afterwards."""
    if not PROGRAM.exists():
        pytest.fail(f"{PROGRAM} is missing: cargo build --workspace --bin session-cleanup-local, or set SESSION_CLEANUP_LOCAL")
    command = [PROGRAM, "local", "--port", "0", "--dynamodb-port", "0", *options]
    # Refusals are what many tests are about.
    environment = os.environ | {"LOG_LEVEL": "ERROR"}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        introduction = []
        while not (introduction and introduction[-1].endswith("/api/v1/monitoring")):
            line = process.stdout.readline()
            assert line, f"it has ended: {introduction}"
            introduction.append(line.rstrip("\n"))
        yield LocalStack(introduction)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
