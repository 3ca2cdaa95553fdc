"""Opens a session for an hour, and prints a token for it: python3 first_token.py USER SCOPE"""

import os
import sys
import time
import uuid

import boto3
import jwt
from sessions import Sessions

user, scope = sys.argv[1:]
issuer, audience, algorithm = (os.environ[f"JWT_{name}"] for name in ("ISSUER", "AUDIENCE", "ALGORITHM"))
secret = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["JWT_SECRET_ARN"])["SecretString"]
sessions = Sessions(boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"]))
session, end = str(uuid.uuid4()), int(time.time()) + 3600
sessions.login(user, session, end)
claims = sessions.access_token_claims(user, session, end, issuer, audience, scope, seconds=3600)
print(jwt.encode(claims, secret, algorithm=algorithm))
