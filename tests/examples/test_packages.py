"""Installs each package as its README says, from a repository with the documented address, and uses it in another folder."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from local import DOCS
from writers import GOCODE, cannot_run

ADDRESS = "https://github.com/YOUR_FORK/session-cleanup"
TIMEOUT_SECONDS = 300


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A clone of the repository with the examples, and its commit."""
    folder = tmp_path_factory.mktemp("repository") / "session-cleanup"
    ignored = shutil.ignore_patterns("node_modules", "__pycache__", "build")
    shutil.copytree(DOCS / "examples", folder / "docs/examples", ignore=ignored)
    as_author = ["git", "-c", "user.name=ann", "-c", "user.email=ann@example.com"]
    for command in (["git", "init", "-q"], ["git", "add", "-A"], [*as_author, "commit", "-qm", "Add examples"]):
        subprocess.run(command, cwd=folder, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
    return folder, commit.stdout.strip()


@pytest.fixture
def reader(repository, tmp_path):
    return Reader(*repository, tmp_path)


class Reader:
    def __init__(self, repository, commit, folder):
        self.folder, self.commit, self.repository = folder, commit, repository
        self.environment = os.environ | {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.file://{repository}.insteadOf",
            "GIT_CONFIG_VALUE_0": ADDRESS,
            "GOPRIVATE": "github.com/YOUR_FORK",
        }

    def install(self, language):
        """Runs the command in the README of a language."""
        block = re.search(r"```sh\n(.*?)```", (DOCS / "examples" / language / "README.md").read_text(), re.S)[1]
        return self.run(["bash", "-euo", "pipefail", "-c", block.replace("COMMIT", self.commit)])

    def run(self, command, check=True):
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done


def test_pip_installs_python_package(reader):
    reader.run([sys.executable, "-m", "venv", "venv"])
    reader.environment["PATH"] = f"{reader.folder}/venv/bin:{os.environ['PATH']}"
    reader.install("python")
    printed = reader.run(["python3", "-c", "import session_cleanup; print(session_cleanup.__file__, session_cleanup.Sessions)"])
    assert "/venv/" in printed.stdout
    listed = reader.run(["pip", "show", "--files", "session-cleanup"]).stdout
    # Not the programs of the example.
    assert re.findall(r"^  ([^.]\w*\.py)$", listed, re.M) == ["session_cleanup.py"]
    assert "Requires: boto3" in listed


def test_npm_installs_node_package(reader):
    (reader.folder / "session-cleanup").symlink_to(reader.repository)
    (reader.folder / "package.json").write_text('{"private": true}')
    reader.install("node")
    program = 'import { Outcome, Sessions } from "session-cleanup"; console.log(typeof Sessions, Outcome.DONE)'
    assert reader.run(["node", "--input-type=module", "-e", program]).stdout == "function done\n"
    installed = sorted(it.name for it in (reader.folder / "node_modules/session-cleanup").iterdir())
    assert installed == ["README.md", "package.json", "sessions.d.mts", "sessions.mjs"]


GO_PROGRAM = """package main

import "example.com/sessions"

func main() { println(sessions.New(nil, "t").Table) }
"""


def test_go_program_imports_package(reader):
    if not os.path.isdir(f"{GOCODE}/src/github.com/aws/aws-sdk-go-v2"):
        cannot_run("imports its package: the AWS SDK is not in GOPATH")
    module = reader.folder / "src/example.com/sessions"
    shutil.copytree(reader.repository / "docs/examples/go", module)
    (reader.folder / "main.go").write_text(GO_PROGRAM)
    reader.environment |= {"GO111MODULE": "off", "GOPATH": f"{reader.folder}:{GOCODE}"}
    assert reader.run(["go", "run", "main.go"]).stderr == "t\n"


def test_go_get_installs_module(reader):
    reader.run(["go", "mod", "init", "example.com/reader"])
    (reader.folder / "main.go").write_text(GO_PROGRAM)
    block = re.search(r"```sh\n(.*?)```", (DOCS / "examples/go/README.md").read_text(), re.S)[1]
    edit, get = block.replace("COMMIT", reader.commit).strip().splitlines()
    reader.run(["bash", "-c", edit])
    done = reader.run(["bash", "-c", get], check=False)
    # The module itself comes from the repository in any case.
    assert "docs/examples/go v0.0.0-" in done.stderr
    if done.returncode:
        cannot_run(f"installs its module: {done.stderr.strip().splitlines()[-1]}")
    assert reader.run(["go", "run", "."]).stderr == "t\n"
