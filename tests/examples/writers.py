"""The library in each language: runs the examples as a reader does, and calls the functions."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest
from local import DOCS
from local_stack import PROGRAM, ROOT

HERE = ROOT / "tests/examples"
# The folder of Debian's packages of Go libraries.
GOCODE = os.environ.get("GOCODE", "/usr/share/gocode")


class Rejected(Exception):
    """The library rejected an argument."""


class Writer:
    """A library. The command `story` runs its example; the command `driver` calls its functions."""

    def __init__(self, folder, story, driver, environment=None, update="UpdateItem"):
        self.folder, self.story, self.driver = folder, story, driver
        # DynamoDB's operation that changes a session.
        self.update = update
        self.environment = environment or {}
        # The reason why the story cannot run here.
        self.no_story = None

    def run_story(self, stack):
        """Runs the example's program, and returns its output."""
        done = subprocess.run(
            self.story,
            cwd=self.folder,
            env=os.environ | self.environment | stack.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextlib.contextmanager
    def calls(self, stack, endpoint=None):
        """Starts the driver. Returns a function that calls a function of the example by its Python name."""
        environment = os.environ | self.environment | stack.environment()
        if endpoint:
            environment["AWS_ENDPOINT_URL_DYNAMODB"] = endpoint
        with subprocess.Popen(
            self.driver,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        ) as process:

            def call(name, *arguments):
                process.stdin.write(json.dumps([name, *arguments]) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
                assert line, f"{name}: the example ended with {process.wait(20)}"
                answer = json.loads(line)
                if "error" in answer:
                    raise Rejected(answer["error"])
                return answer["answer"]

            try:
                yield call
            finally:
                process.stdin.close()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


def copy_example(language, folder):
    """Copies the example to the folder, in which its driver will be, too."""
    shutil.copytree(
        DOCS / "examples" / language, folder, ignore=shutil.ignore_patterns("node_modules", "__pycache__"), dirs_exist_ok=True
    )
    return folder


def python(folder):
    copy_example("python", folder)
    shutil.copy(HERE / "drivers/python.py", folder / "driver.py")
    return Writer(folder, [sys.executable, "login_and_logout.py"], [sys.executable, "driver.py"])


def node(folder):
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.fail("the example for Node needs node and npm")
    copy_example("node", folder)
    shutil.copy(HERE / "drivers/node.mjs", folder / "driver.mjs")
    # Installed once for each lock file.
    lock = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()[:12]
    installed = ROOT / "target/examples" / f"node-{lock}"
    if not (installed / "complete").exists():
        installed.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, installed)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=installed, check=True, timeout=300)
        (installed / "complete").touch()
    (folder / "node_modules").symlink_to(installed / "node_modules")
    return Writer(folder, ["node", "login_and_logout.mjs"], ["node", "driver.mjs"])


def go(folder):
    if not shutil.which("go"):
        cannot_run("go is not installed")
    # The path that a module of this name has in GOPATH. It works for modules, too.
    module = copy_example("go", folder / "src/example.com/sessions")
    shutil.copytree(HERE / "drivers/go", module / "driver")
    sdk = f"{GOCODE}/src/github.com/aws/aws-sdk-go-v2"
    reads_endpoint = True
    if os.path.isdir(sdk):
        environment = {"GO111MODULE": "off", "GOPATH": f"{folder}:{GOCODE}"}
        with open(f"{sdk}/config/env_config.go", encoding="utf-8") as file:
            reads_endpoint = "AWS_ENDPOINT_URL" in file.read()
    else:
        environment = {"GOFLAGS": "-mod=mod"}
        run = subprocess.run(["go", "mod", "tidy"], cwd=module, capture_output=True, text=True, timeout=300)
        if run.returncode:
            cannot_run(f"cannot download its modules: {run.stderr.strip().splitlines()[-1]}")
    for program in ("login_and_logout", "driver"):
        command = ["go", "build", "-o", str(folder / program), f"./{program}"]
        subprocess.run(command, cwd=module, env=os.environ | environment, check=True, timeout=600)
    writer = Writer(module, [str(folder / "login_and_logout")], [str(folder / "driver")], environment)
    if not reads_endpoint:
        writer.no_story = "this SDK does not read AWS_ENDPOINT_URL_DYNAMODB"
    return writer


def rust(folder):
    driver = PROGRAM.with_name("sessions-driver")
    if not driver.exists():
        pytest.fail(f"{driver} is missing: cargo build -p session-cleanup-tests --bin sessions-driver")
    # Its program is tested by `cargo test`.
    return Writer(folder, None, [driver], update="ExecuteStatement")


EXAMPLES = {"python": python, "node": node, "go": go}
LANGUAGES = EXAMPLES | {"rust": rust}
# Printed at the end of the tests.
NOT_RUN = []


def cannot_run(why):
    line = f"SKIPPED Go example: {why}"
    if line not in NOT_RUN:
        NOT_RUN.append(line)
    pytest.skip(line)
