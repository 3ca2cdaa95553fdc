"""A client of the local stack: its table, its API and manual cleanups."""

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

# Use the documents of another folder to see a test fail: `DOCS=target/broken pytest tests/examples`.
DOCS = Path(os.environ.get("DOCS", ROOT / "docs"))
RETENTION = 30 * 86_400
REGION = "us-east-1"
# Clients require credentials, which the stack does not check. boto3 reads AWS_DEFAULT_REGION, other SDKs AWS_REGION.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
}
PER_CONNECTION = ("host", "connection", "content-length")
DROP = "drop"
# The counts that must be 0 if all records are valid.
WRONG = {"changed_elsewhere": 0, "reindexed": 0, "adopted": 0, "malformed": 0, "failed": 0}


@contextlib.contextmanager
def table_and_api(*options):
    """Runs a stack until the end of the block."""
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
        # The sessions of the two API callers.
        self.callers = self.items()

    def environment(self):
        """The environment variables that lead a client to the table."""
        return CREDENTIALS | {"AWS_ENDPOINT_URL_DYNAMODB": self.endpoint, "TABLE_NAME": self.table.name}

    def items(self):
        """All items of the table by key."""
        pages = [self.table.scan(ConsistentRead=True)]
        while "LastEvaluatedKey" in pages[-1]:
            pages.append(self.table.scan(ConsistentRead=True, ExclusiveStartKey=pages[-1]["LastEvaluatedKey"]))
        return {(it["pk"], it["sk"]): it for page in pages for it in page["Items"]}

    def records(self):
        """All items of the table by key, as plain JSON."""
        return {key: plain(it) for key, it in self.items().items()}

    def written(self):
        """The user records that were written since the start."""
        return {key: it for key, it in self.records().items() if key[0] != "CLEANUP" and key not in self.callers}

    def reset(self):
        """Restores the table's initial content."""
        with self.table.batch_writer(overwrite_by_pkeys=["pk", "sk"]) as batch:
            for pk, sk in self.items():
                batch.delete_item(Key={"pk": pk, "sk": sk})
            for item in self.callers.values():
                batch.put_item(Item=item)

    def clean_up(self, **options):
        """Runs a manual cleanup, and returns its report."""
        status, report = self.call("/2015-03-31/functions/cleanup/invocations", json.dumps(options).encode())
        assert status == 200, report
        return report

    def force_cleanup(self):
        """Runs a cleanup without sweep grace, and returns its report."""
        status, answer = self.call("/api/v1/monitoring/sessions/cleanup", b"", self.admin)
        assert status == 200, answer
        return answer["data"]

    def authorize(self, token):
        """Calls the API with this token. Returns the status and the error sentence, if any."""
        status, answer = self.call("/api/v1/monitoring/sessions/stats", token=token)
        return status, answer.get("error")

    def call(self, path, body=None, token=None):
        request = urllib.request.Request(self.api + path, data=body)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


def plain(item):
    """Converts an item of boto3 to plain JSON."""
    return json.loads(json.dumps(item, default=number))


def number(value):
    assert isinstance(value, decimal.Decimal), value
    return int(value) if value == int(value) else float(value)


def claims(token):
    """The claims of a token."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


@contextlib.contextmanager
def proxy_with_race(stack, operation, act, spent=None, reject=None):
    """Starts a proxy in front of DynamoDB. It calls `act` after the first `operation`, before the client gets the response.

    If `act` returns DROP, the client gets none. Adds the capacity units of each `operation` to the list `spent`. Answers the
    first `operation` with the error `reject`, if it is given, instead of passing it on.
    """
    pending = [act]
    rejections = [reject] if reject else []

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Buffer the response: http.server flushes after each request, so headers and body are sent in one write.
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(body | {"ReturnConsumedCapacity": "TOTAL"}).encode()
            headers = {name: it for name, it in self.headers.items() if name.lower() not in PER_CONNECTION}
            if rejections and self.headers["X-Amz-Target"].endswith(operation):
                self.send_response(400)
                error = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{rejections.pop()}", "message": "rejected"})
                self.answer(error.encode(), {"Content-Type": "application/x-amz-json-1.0"})
                return
            try:
                response = urllib.request.urlopen(urllib.request.Request(stack.endpoint, body, headers), timeout=30)
            except urllib.error.HTTPError as error:
                response = error
            with response:
                content = response.read()
            if self.headers["X-Amz-Target"].endswith(operation):
                if spent is not None:
                    consumed = json.loads(content).get("ConsumedCapacity", [])
                    consumed = consumed if isinstance(consumed, list) else [consumed]
                    spent.append(sum(it["CapacityUnits"] for it in consumed))
                if pending and pending.pop()() == DROP:
                    self.close_connection = True
                    return
            self.send_response(response.status)
            kept = ("Content-Type", "x-amz-crc32")
            self.answer(content, {name: response.headers[name] for name in kept if response.headers[name]})

        def answer(self, content, headers):
            for name, value in headers.items():
                self.send_header(name, value)
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
    assert not pending, f"the client sent no {operation}"
