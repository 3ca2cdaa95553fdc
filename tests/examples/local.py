"""The local stack: its table, its API, and the cleanup by hand."""

import base64
import contextlib
import decimal
import json
import os
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
from local_stack import ROOT, serve

# Another folder's documents, to see a test fail: `DOCS=target/broken pytest tests/examples`.
DOCS = Path(os.environ.get("DOCS", ROOT / "docs"))
RETENTION = 30 * 86_400
REGION = "us-east-1"
# No credentials are checked, but clients want some. boto3 reads the one name of the region, the others the other.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
}
# What must be 0 in each report of records that are written right.
WRONG = {"changed_elsewhere": 0, "reindexed": 0, "adopted": 0, "malformed": 0, "failed": 0}


@contextlib.contextmanager
def table_and_api(*options):
    """A stack that runs until the end of the block, and what is in its table."""
    with serve(*options) as stack:
        yield Local(stack)


class Local:
    def __init__(self, stack):
        self.api, self.endpoint = stack.api, stack.dynamodb
        self.reader, self.admin = stack.reader, stack.admin
        self.table = boto3.resource(
            "dynamodb",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        ).Table("sessions")
        # The sessions of the two.
        self.callers = self.items()

    def environment(self):
        """What a client needs to find the table."""
        return CREDENTIALS | {"AWS_ENDPOINT_URL_DYNAMODB": self.endpoint, "TABLE_NAME": self.table.name}

    def items(self):
        """All of the table, by the keys."""
        pages = [self.table.scan(ConsistentRead=True)]
        while "LastEvaluatedKey" in pages[-1]:
            pages.append(self.table.scan(ConsistentRead=True, ExclusiveStartKey=pages[-1]["LastEvaluatedKey"]))
        return {(it["pk"], it["sk"]): it for page in pages for it in page["Items"]}

    def records(self):
        """All of the table as plain JSON, by the keys."""
        return {key: plain(it) for key, it in self.items().items()}

    def written(self):
        """The records of users that were not there at the start."""
        return {key: it for key, it in self.records().items() if key[0] != "CLEANUP" and key not in self.callers}

    def begin_again(self):
        """Makes the table what it was at the start."""
        with self.table.batch_writer(overwrite_by_pkeys=["pk", "sk"]) as batch:
            for pk, sk in self.items():
                batch.delete_item(Key={"pk": pk, "sk": sk})
            for item in self.callers.values():
                batch.put_item(Item=item)

    def clean_up(self, **options):
        """The report of a run by hand."""
        status, report = self.call("/2015-03-31/functions/cleanup/invocations", json.dumps(options).encode())
        assert status == 200, report
        return report

    def force_cleanup(self):
        """The report of a run that leaves nothing to native TTL."""
        status, answer = self.call("/api/v1/monitoring/sessions/cleanup", b"", self.admin)
        assert status == 200, answer
        return answer["data"]

    def let_in(self, token):
        """What the API says to this token: the status, and the refusal's sentence."""
        status, answer = self.call("/api/v1/monitoring/sessions/stats", token=token)
        return status, answer.get("error")

    def call(self, path, body=None, token=None):
        request = urllib.request.Request(self.api + path, data=body)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, json.load(refusal)


def plain(item):
    """What boto3 returns as plain JSON."""
    return json.loads(json.dumps(item, default=number))


def number(value):
    assert isinstance(value, decimal.Decimal), value
    return int(value) if value == int(value) else float(value)


def claims(token):
    """What a token says."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


@contextlib.contextmanager
def in_between(stack, operation, act):
    """The endpoint of a DynamoDB where `act` comes behind the answer to the first `operation`, before the client has it."""
    waiting = [act]

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name: it for name, it in self.headers.items() if name.lower() not in ("host", "connection")}
            try:
                answer = urllib.request.urlopen(urllib.request.Request(stack.endpoint, body, headers), timeout=30)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                content = answer.read()
            if self.headers["X-Amz-Target"].endswith(operation) and waiting:
                waiting.pop()()
            self.send_response(answer.status)
            for name in ("Content-Type", "x-amz-crc32"):
                if answer.headers[name]:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
    assert not waiting, f"no {operation} came"
