"""Deploys the stack with `sam deploy` to MiniStack, an emulator of AWS that runs the functions' binaries."""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).resolve().parents[2]
# Use the template.yaml and infra/ of another folder to see a test fail: `TEMPLATES=target/broken pytest tests/deployed`.
TEMPLATES = Path(os.environ.get("TEMPLATES", ROOT))
BUILD = Path(os.environ.get("SAM_BUILD", ROOT / ".aws-sam/local"))
# Where MiniStack is installed.
MINISTACK = Path(os.environ.get("MINISTACK", ROOT / "target/ministack"))

STACK = "session-cleanup"
REGION = "eu-central-1"
# Credentials of MiniStack. Never use credentials of a real account here.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
SECRET = "the secret of the deployed stack, 32 bytes or more"
ISSUER, AUDIENCE = "https://id.example", "my-api"
PREFIX = "/api/v1/monitoring"


def inherited():
    """The environment variables that child processes get. MiniStack's functions inherit them, so they contain no variable of a function."""
    return {name: it for name, it in os.environ.items() if name in ("PATH", "HOME", "LANG")}


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


class Cloud:
    """A running MiniStack."""

    def __init__(self, endpoint, log):
        self.endpoint, self.log = endpoint, log

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            # A retry would start another manual cleanup.
            config=Config(retries={"max_attempts": 0}, connect_timeout=10, read_timeout=300),
        )

    def table(self, name):
        return boto3.resource(
            "dynamodb",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        ).Table(name)

    def environment(self):
        """The environment of a command that uses this MiniStack and no real account."""
        return inherited() | CREDENTIALS | {"AWS_ENDPOINT_URL": self.endpoint, "SAM_CLI_TELEMETRY": "0"}


@contextlib.contextmanager
def running(folder, **variables):
    """Starts MiniStack on a free port, with more environment variables if given. It writes only below `folder`."""
    if not (MINISTACK / "bin/ministack").exists():
        pytest.fail(
            f"MiniStack is not installed in {MINISTACK}: python3 -m venv target/ministack && "
            "target/ministack/bin/pip install -r tests/deployed/requirements.txt, or set MINISTACK to another environment"
        )
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    for name in ("tmp", "state", "s3"):
        (folder / name).mkdir()
    environment = inherited() | CREDENTIALS | {
        # The endpoint at which the functions find other services.
        "AWS_ENDPOINT_URL": endpoint,
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "TMPDIR": str(folder / "tmp"),
        "STATE_DIR": str(folder / "state"),
        "S3_DATA_DIR": str(folder / "s3"),
        # Run the binaries without images and containers, even if Docker is installed.
        "LAMBDA_EXECUTOR": "local",
        "DOCKER_HOST": f"unix://{folder}/no-docker",
        **variables,
    }
    log = folder / "log"
    with log.open("wb") as output:
        # A new process group: the functions are its children, and are stopped with it.
        process = subprocess.Popen(
            [MINISTACK / "bin/python", Path(__file__).with_name("ministack_corrected.py")],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(lambda: is_ready(f"{endpoint}/_ministack/ready"), "MiniStack", lambda: check_running(process, log))
        yield Cloud(endpoint, log)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def is_ready(address):
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def check_running(process, log):
    assert process.poll() is None, log.read_text()


def wait_for(poll, what, check=lambda: None, seconds=180):
    """Calls `poll` until it returns a true value, and returns that value."""
    end = time.monotonic() + seconds
    while True:
        if result := poll():
            return result
        check()
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.2)


def copy_templates(folder):
    """Copies the templates as `sam build` leaves them, with the built functions. Differences of MiniStack require two changes:

    - MiniStack does not support metric math (`Metrics` of a CloudWatch alarm). Alarms that use it are left out. The other
      alarms, their stack and its outputs stay.
    - MiniStack requires an action `dynamodb:BatchExecuteStatement`, which AWS does not have: AWS checks the PartiQL action of
      each statement of a batch (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html). A function
      with one of these actions gets this action too, for any table, because MiniStack does not see the table of a batch.

    Returns the names of the alarms that stay.
    """
    template = yaml_parse((TEMPLATES / "template.yaml").read_text())
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            use_build(name, resource)
            for policy in resource["Properties"]["Policies"]:
                allow_batches(policy)
    alarms = yaml_parse((TEMPLATES / "infra/alarms.yaml").read_text())
    all_of_them = {name: it for name, it in alarms["Resources"].items() if it["Type"] == "AWS::CloudWatch::Alarm"}
    left_out = {name for name, it in all_of_them.items() if "Metrics" in it["Properties"]}
    for name in left_out:
        del alarms["Resources"][name]
    joined = alarms["Outputs"]["AlarmArns"]["Value"]["Fn::Join"]
    joined[1] = [it for it in joined[1] if not any(name in json.dumps(it) for name in left_out)]
    (folder / "infra").mkdir()
    (folder / "template.yaml").write_text(json.dumps(template))
    (folder / "infra/alarms.yaml").write_text(json.dumps(alarms))
    shutil.copy(TEMPLATES / "infra/dashboard.yaml", folder / "infra")
    # Alarms with a condition need a parameter without a default.
    stay = [it["Properties"] for name, it in all_of_them.items() if name not in left_out and "Condition" not in it]
    return {it["AlarmName"]["Fn::Sub"].replace("${Prefix}", STACK) for it in stay}


def use_build(name, function):
    code = BUILD.resolve() / name
    if not (code / "bootstrap").exists():
        pytest.fail(
            f"{code}/bootstrap is missing: sam build --build-dir .aws-sam/local --parameter-overrides Architecture=x86_64, "
            "or set SAM_BUILD to the folder of another build"
        )
    function["Properties"]["CodeUri"] = str(code)
    # The build instructions are no longer needed.
    del function["Metadata"]


def allow_batches(policy):
    actions = [action for statement in policy["Statement"] for action in statement.get("Action", [])]
    if any(it.startswith("dynamodb:PartiQL") for it in actions):
        policy["Statement"].append({"Effect": "Allow", "Action": "dynamodb:BatchExecuteStatement", "Resource": "*"})


def sam(cloud, folder, *arguments):
    """Runs the SAM CLI with this repository's settings, and returns its output."""
    command = ["sam", *arguments, "--config-file", str(ROOT / "samconfig.toml"), "--region", REGION]
    done = subprocess.run(
        command,
        cwd=folder,
        env=cloud.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout}\n{cloud.log.read_text()[-4000:]}"
    return done.stdout


class Deployed:
    """The deployed stack, in its current state."""

    def __init__(self, cloud, folder):
        self.cloud, self.folder = cloud, folder
        self.alarms = copy_templates(folder)
        self.secret = cloud.client("secretsmanager").create_secret(Name="jwt", SecretString=SECRET)["ARN"]

    def deploy(self, **parameters):
        """Deploys as documented: the parameters are in the file that the settings name."""
        # JSON is YAML.
        (self.folder / "parameters.yaml").write_text(json.dumps(parameters))
        printed = sam(self.cloud, self.folder, "deploy", "--template-file", "template.yaml", "--no-progressbar")
        self.outputs = {it["OutputKey"]: it["OutputValue"] for it in self.described()["Outputs"]}
        self.resources = self.made_by(STACK)
        host, _, stage = self.outputs["ApiAddress"].removeprefix("https://").partition("/")
        # The host names of API Gateway resolve to AWS. This is the address of the same API on MiniStack.
        self.api = f"{self.cloud.endpoint}/restapis/{host.split('.')[0]}/{stage}/_user_request_"
        self.table = self.cloud.table(self.outputs["TableName"])
        return printed

    def delete(self):
        """Deletes the stack without the SAM CLI, which first deletes the templates of the nested stacks and expects their bucket
        at an address of AWS.
        """
        cloudformation = self.cloud.client("cloudformation")
        name = self.described()["StackId"]
        cloudformation.delete_stack(StackName=name)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 180})

    def described(self):
        (stack,) = self.cloud.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        return stack

    def parameters(self):
        return {it["ParameterKey"]: it["ParameterValue"] for it in self.described()["Parameters"]}

    def made_by(self, stack):
        """The physical names of a stack's resources, by their logical names."""
        found = self.cloud.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
        return {it["LogicalResourceId"]: it["PhysicalResourceId"] for it in found}

    def correct_table(self):
        """MiniStack stores the text of a parameter in place of a boolean, and clients cannot parse its response. Corrects it."""
        on = self.parameters()["TableDeletionProtection"] == "true"
        self.cloud.client("dynamodb").update_table(TableName=self.table.name, DeletionProtectionEnabled=on)

    def call(self, path, token=None, method="GET", body=None):
        """Calls the API, below the prefix of the monitoring API unless the path begins with /api. Returns the status and the
        body, parsed if it is JSON."""
        path = path if path.startswith("/api/") else PREFIX + path
        request = urllib.request.Request(self.api + path, method=method, data=body and json.dumps(body).encode())
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            body = answer.read().decode()
            is_json = answer.headers["Content-Type"].startswith("application/json")
            return answer.status, json.loads(body) if is_json else body

    def invoke(self, payload):
        """Runs a manual cleanup. Returns the error, if any, and the report."""
        function = self.outputs["CleanupFunctionName"]
        answer = self.cloud.client("lambda").invoke(FunctionName=function, Payload=json.dumps(payload))
        return answer.get("FunctionError"), json.load(answer["Payload"])

    def logged(self, logs, message):
        """A function's log lines with this message."""
        return [it for it in self.lines(logs) if it.get("message") == message]

    def lines(self, logs):
        """A function's log lines as JSON, without those of Lambda itself."""
        group = self.resources[logs]
        events = self.cloud.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        lines = [it["message"] for page in events for it in page["events"]]
        return [json.loads(it) for it in lines if it.startswith("{")]

    def items(self, partition=""):
        """The items whose partition key begins with `partition`, by key."""
        pages = [self.table.scan(ConsistentRead=True)]
        while "LastEvaluatedKey" in pages[-1]:
            pages.append(self.table.scan(ConsistentRead=True, ExclusiveStartKey=pages[-1]["LastEvaluatedKey"]))
        return {(it["pk"], it["sk"]): it for page in pages for it in page["Items"] if it["pk"].startswith(partition)}

    def reports(self):
        return list(self.items("CLEANUP").values())


def token(claims, secret=SECRET):
    """A JWT signed with HS256 (RFC 7515 §3)."""

    def encoded(content):
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    signed = ".".join(encoded(json.dumps(it).encode()) for it in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{signed}.{encoded(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"
