"""Lets Flask-Session write its items to the DynamoDB at the first argument, and stores the scan of its table in this folder.

The clock is fixed and the ids are chosen, so that each run writes the same items.
"""

import base64
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

os.environ["TZ"] = "UTC"

import boto3
import flask_login
import flask_session
from flask import Flask, session
from freezegun import freeze_time

NOW = datetime.fromtimestamp(1_800_000_000, UTC)
keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1"}
dynamodb = boto3.resource("dynamodb", endpoint_url=sys.argv[1], **keys)


class User(flask_login.UserMixin):
    def __init__(self, id):
        self.id = id


def application(name, serialization):
    app = Flask(name)
    app.config.update(
        SECRET_KEY="not a secret",
        SESSION_TYPE="dynamodb",
        SESSION_DYNAMODB=dynamodb,
        SESSION_DYNAMODB_TABLE=name,
        SESSION_SERIALIZATION_FORMAT=serialization,
        PERMANENT_SESSION_LIFETIME=timedelta(days=1, microseconds=123_456),
    )
    flask_session.Session(app)
    flask_login.LoginManager(app).user_loader(User)

    @app.get("/login/<user>")
    def login(user):
        flask_login.login_user(User(user))
        session["cart"] = ["book"]
        session["seen_at"] = NOW
        return ""

    @app.get("/")
    def visit():
        session["cart"] = []
        return ""

    return app


def save(name):
    def plain(value):
        return base64.b64encode(value).decode() if isinstance(value, bytes) else value

    items = boto3.client("dynamodb", endpoint_url=sys.argv[1], **keys).scan(TableName=name)["Items"]
    plain_items = [{key: {tag: plain(it) for tag, it in value.items()} for key, value in item.items()} for item in items]
    lines = sorted(json.dumps(item, sort_keys=True) for item in plain_items)
    text = '{"Items": [\n' + ",\n".join(lines) + f'\n], "Count": {len(lines)}, "ScannedCount": {len(lines)}}}\n'
    (Path(__file__).parent / f"{name}.json").write_text(text)


for name, serialization in (("flask-session", "msgpack"), ("flask-session-as-json", "json")):
    app = application(name, serialization)
    for id, path, age in (("f-ann", "/login/ann", 0.5), ("f-bob", "/login/7", 2), ("f-visitor", "/", 0.1)):
        app.session_interface._generate_sid = lambda length, id=id: id
        with freeze_time(NOW - timedelta(days=age)):
            app.test_client().get(path)
    save(name)
