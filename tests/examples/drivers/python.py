"""Calls an example's functions: reads one call per line of JSON, and writes one result per line."""

import json
import os
import sys
import time

import boto3
from sessions import Sessions

clock = {"at": None}
table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])
sessions = Sessions(table, now=lambda: int(time.time()) if clock["at"] is None else clock["at"])
for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        if name == "at":
            (clock["at"],) = arguments
            answer = {"answer": "done"}
        else:
            answer = {"answer": getattr(sessions, name)(*arguments)}
    except ValueError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
