"""Starts MiniStack and runs a command, which gets MiniStack's address in DYNAMODB_ENDPOINT.

    python tests/deployed/on_ministack.py cargo test --workspace --test integration cleanup::
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cloud import running


def main():
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), LOG_LEVEL="WARNING") as cloud:
        done = subprocess.run(sys.argv[1:], env=os.environ | {"DYNAMODB_ENDPOINT": cloud.endpoint})
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
