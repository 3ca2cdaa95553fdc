"""Opens the session that the token on standard input names, until the token expires. For a first test of an identity provider."""

import os
import sys

import boto3
import jwt
from sessions import Sessions

# The authorizer verifies the token. This script only reads the session from it.
claims = jwt.decode(sys.stdin.read().strip(), options={"verify_signature": False})
sessions = Sessions(boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"]))
print(sessions.login(claims["sub"], claims["sid"], int(claims["exp"])).value)
