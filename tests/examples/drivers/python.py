"""Calls an example's functions: reads one call per line of JSON, and writes one result per line."""

import dataclasses
import functools
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from session_cleanup import Sessions

clock = {"at": None}


def now():
    return int(time.time()) if clock["at"] is None else clock["at"]


def connect(**options):
    return Sessions(boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"]), now=now, **options)


@functools.cache
def connect_each(count):
    # A Table of boto3 is for one thread.
    return [connect() for _ in range(count)]


def do(name, *arguments):
    global sessions
    if name == "at":
        (clock["at"],) = arguments
        return "done"
    if name == "grace":
        sessions = connect(grace_seconds=arguments[0])
        return "done"
    if name == "at_once":
        count, name, *arguments = arguments
        with ThreadPoolExecutor(count) as pool:
            return [plain(it) for it in pool.map(lambda it: getattr(it, name)(*arguments), connect_each(count))]
    return plain(getattr(sessions, name)(*arguments))


def plain(result):
    return dataclasses.asdict(result) if dataclasses.is_dataclass(result) else result


sessions = connect()
for line in sys.stdin:
    try:
        answer = {"answer": do(*json.loads(line))}
    except ValueError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
