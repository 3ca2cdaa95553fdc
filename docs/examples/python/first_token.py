"""Opens a session for an hour, and prints a token for it: python3 first_token.py USER SCOPE"""

import os
import sys
import time

import boto3
import jwt
from session_cleanup import Sessions

user, scope = sys.argv[1:]
issuer, audience, algorithm = (os.environ[f"JWT_{name}"] for name in ("ISSUER", "AUDIENCE", "ALGORITHM"))
secret = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["JWT_SECRET_ARN"])["SecretString"]
sessions = Sessions(boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"]), access_token_seconds=3600)
login = sessions.login(user, int(time.time()) + 3600)
claims = sessions.access_token_claims(user, login.session, login.expires_at, issuer, audience, scope)
print(jwt.encode(claims, secret, algorithm=algorithm))
