"""docs/setup/first-token.md: runs each of its commands as a reader does, until the API responds with 200."""

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import boto3
import jwt
import pytest
from local import CREDENTIALS, DOCS, REGION
from local_stack import PROGRAM, ROOT, free_port, serve
from moto.server import ThreadedMotoServer

DOCUMENT = (DOCS / "setup/first-token.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", DOCUMENT, re.M | re.S))
# Long enough for a busy machine.
TIMEOUT_SECONDS = 300


def blocks(section, language="sh"):
    return re.findall(rf"```{language}\n(.*?)```", SECTIONS[section], re.S)


class Reader:
    """A reader who follows the document in a separate folder."""

    def __init__(self, folder, stop):
        self.folder, self.stop = folder, stop
        self.environment = os.environ | CREDENTIALS
        self.replacements = {"127.0.0.1:8001": f"127.0.0.1:{free_port()}"}
        self.replacements["http.server 8001"] = "http.server " + self.replacements["127.0.0.1:8001"].rpartition(":")[2]
        self.stack = None
        for program in re.findall(r"```python\n(# (\w+\.py)\n.*?)```", DOCUMENT, re.S):
            (folder / program[1]).write_text(program[0])
        self.programs = folder / "programs"
        self.programs.mkdir()
        # Use pip and python3 of the test environment.
        self.environment["PATH"] = f"{self.programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"

    def start(self, block):
        """Runs a block whose last command is a server, and leaves the server running."""
        *before, last = self.with_values(block).strip().splitlines()
        if before:
            self.run("\n".join(before))
        command = shlex.split(last)
        if command[:2] == ["cargo", "local"]:
            self.serve(*command[2:])
            return
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL)
        self.stop.callback(process.wait)
        self.stop.callback(process.terminate)
        end = time.monotonic() + TIMEOUT_SECONDS
        host, port = self.replacements["127.0.0.1:8001"].split(":")
        while True:
            try:
                socket.create_connection((host, int(port))).close()
                return
            except ConnectionRefusedError:
                assert process.poll() is None and time.monotonic() < end, command
                time.sleep(0.05)

    def serve(self, *options):
        """Starts a stack."""
        stack = self.stop.enter_context(serve(*options, folder=self.folder))
        self.stack = stack
        # Replaces the cargo alias, and adds the port because it is not the default.
        shim = self.programs / "cargo"
        shim.write_text(f'#!/bin/sh\nexec "{PROGRAM}" "$@" --port {stack.port}\n')
        shim.chmod(0o755)
        self.replacements |= {"http://127.0.0.1:8080": stack.api, "YOUR_API_ADDRESS": stack.api}
        self.environment |= {"AWS_ENDPOINT_URL_DYNAMODB": stack.dynamodb}

    def with_values(self, block):
        """The block with the reader's values for its placeholders, and with free ports."""
        for placeholder, value in self.replacements.items():
            block = block.replace(placeholder, value)
        return block

    def run(self, block):
        """Runs a block in a shell, and returns its output."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.with_values(block)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def get(self, token):
        """The response to a request with this token."""
        return self.run(f'curl -i -H "Authorization: Bearer {token}" {self.stack.api}/api/v1/monitoring/sessions/stats')


@pytest.fixture
def reader(tmp_path):
    with contextlib.ExitStack() as stop:
        yield Reader(tmp_path, stop)


def is_allowed(printed):
    return "HTTP/1.1 200 OK" in printed and '"success":true' in printed


LOCAL = [name for name in SECTIONS if name.startswith("The local stack")]


@pytest.mark.parametrize("section", LOCAL)
def test_local_stack_allows_first_token(reader, section):
    *servers, first = blocks(section)
    for block in servers:
        reader.start(block)
    assert is_allowed(reader.run(first))


def test_denials_match_documented_table(reader):
    section = SECTIONS[LOCAL[0]]
    rows = re.findall(r"^\| `(--\S+(?: [\w:]+)?)`.*?\| (\d+) `(.+?)`", section, re.M)
    assert len(rows) == 3
    reader.serve()
    expired = next(it for it in reader.stack.banner if "--session" in it)
    for option, status, sentence in rows:
        command = f"cargo local token --user ann --scope sessions:read {option}"
        if option.startswith("--scope"):
            command = f"cargo local token --user ann {option}"
        elif option.startswith("--session"):
            command = re.sub(r"--port \d+ ", "", expired)
        answer = reader.get(reader.run(command).strip())
        assert answer.startswith(f"HTTP/1.1 {status} ") and f'"{sentence}"' in answer, answer


def test_documented_options_match_program():
    documented = set(re.findall(r"--jw[\w-]+", DOCUMENT))
    printed = subprocess.run([PROGRAM, "local", "--help"], capture_output=True, text=True).stdout
    assert documented == set(re.findall(r"^ +(--jw[\w-]+)", printed, re.M))


def copy_examples(reader):
    shutil.copytree(DOCS / "examples/python", reader.folder / "docs/examples/python")


def test_first_token_script_signs_with_the_stored_secret(reader):
    secret = uuid.uuid4().hex
    (reader.folder / "secret").write_text(secret)
    reader.serve("--empty", "--jwt-secret", "secret", "--jwt-issuer", "https://id.example", "--jwt-audience", "my-api")
    copy_examples(reader)
    aws = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    aws.start()
    reader.stop.callback(aws.stop)
    endpoint = "http://{}:{}".format(*aws.get_host_and_port())
    stored = boto3.client(
        "secretsmanager", endpoint_url=endpoint, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x"
    ).create_secret(Name="jwt", SecretString=secret)
    reader.environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = endpoint
    reader.replacements |= {
        "YOUR_TABLE": "sessions",
        "YOUR_SECRET_ARN": stored["ARN"],
        "YOUR_ISSUER": "https://id.example",
        "YOUR_AUDIENCE": "my-api",
    }
    (block,) = blocks("A deployed stack with a secret")
    assert is_allowed(reader.run(block))
    assert len((DOCS / "examples/python/first_token.py").read_text().splitlines()) <= 20


def test_script_creates_session_named_in_token(reader):
    keys = ROOT / "tests/keys"
    reader.serve(
        *("--empty", "--jwt-public-key", str(keys / "p256.pub.pem"), "--jwt-algorithm", "ES256"),
        *("--jwt-issuer", "https://id.example", "--jwt-audience", "my-api"),
    )
    copy_examples(reader)
    # Signs as an identity provider does. The claims are those of the document's table.
    documented = re.findall(r"^\| (`.*?`) \|", SECTIONS["A deployed stack with an identity provider"], re.M)
    claims = {
        "iss": "https://id.example",
        "aud": ["my-api", "other"],
        "sub": "ann",
        "sid": str(uuid.uuid4()),
        "jti": str(uuid.uuid4()),
        "exp": int(time.time()) + 3_600,
        "scope": "sessions:read",
    }
    assert set(re.findall(r"`(\w+)`", " ".join(documented))) == set(claims)
    token = jwt.encode(claims, (keys / "p256.pem").read_text(), algorithm="ES256")
    assert '"Session not found"' in reader.get(token)
    reader.environment["TOKEN"] = token
    reader.replacements["YOUR_TABLE"] = "sessions"
    (block,) = blocks("A deployed stack with an identity provider")
    printed = reader.run(block)
    assert "\ndone\n" in f"\n{printed}"
    assert is_allowed(printed)
