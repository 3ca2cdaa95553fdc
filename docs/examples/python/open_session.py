"""Opens the session that the token on standard input names, until the token expires. For a first test of an identity provider.

JWT_USER_CLAIM and JWT_SESSION_CLAIM name the claims, as for the stack, if they are not sub and sid.
"""

import os
import sys

import boto3
import jwt
from session_cleanup import Sessions

# The authorizer verifies the token. This script only reads the session from it.
claims = jwt.decode(sys.stdin.read().strip(), options={"verify_signature": False})
sessions = Sessions(boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"]))
user, session = (
    str(claims[os.environ.get(variable, name)]) for variable, name in (("JWT_USER_CLAIM", "sub"), ("JWT_SESSION_CLAIM", "sid"))
)
print(sessions.create(user, session, int(claims["exp"])).value)
