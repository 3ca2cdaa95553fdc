"""The whole stack on this machine, as `cargo local` serves it."""

import contextlib
import os
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
        self.page = self.after("See it: ")
        self.api = self.after("API ").strip()
        self.dynamodb = self.after("DynamoDB, for any AWS client").strip()

    def after(self, start):
        """The rest of the line that begins like this."""
        (line,) = [it.strip() for it in self.introduction if it.strip().startswith(start)]
        return line.removeprefix(start)

    def token(self, title):
        """The token in the `curl` line below a title."""
        at = self.introduction.index(f"# {title}")
        return self.introduction[at + 1].split("Bearer ")[1].split("'")[0]

    @property
    def admin(self):
        return self.token("clean up, as administrator")

    @property
    def reader(self):
        return self.token("statistics, as a reader")


@contextlib.contextmanager
def serve(*options):
    """Starts a stack on free ports, and ends it afterwards."""
    if not PROGRAM.exists():
        pytest.fail(f"{PROGRAM} is missing: cargo build --workspace --bin session-cleanup-local, or set SESSION_CLEANUP_LOCAL")
    command = [PROGRAM, "local", "--port", "0", "--dynamodb-port", "0", *options]
    # Refusals are what many tests are about.
    environment = os.environ | {"LOG_LEVEL": "ERROR"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        introduction = []
        # The last line is about the cleanup by hand.
        while not any("functions/cleanup/" in line for line in introduction):
            line = process.stdout.readline()
            assert line, f"it has ended: {introduction}"
            introduction.append(line.rstrip("\n"))
        yield LocalStack(introduction)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
