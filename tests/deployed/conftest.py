import sys

import pytest
from cloud import AUDIENCE, ISSUER, ROOT, Deployed, running

# The documented example for login services writes the sessions of these tests.
sys.path.insert(0, str(ROOT / "docs/examples/python"))

# Properties that MiniStack cannot show. docs/development/first-deployment.md has checks for an AWS account.
NOT_SHOWN = [
    "gateway responses: it reads none from an API's definition, so a denied request gets its own 403 without a reason",
    # https://docs.aws.amazon.com/apigateway/latest/api/API_CreateAuthorizer.html: "it returns a 401 Unauthorized response
    # without calling the Lambda function"
    "the identity source: a request without the header reaches the authorizer, which denies it",
    "alarms with metric math, which it cannot create",
    "metrics that the functions write into their logs (embedded metric format): it ignores them",
    "IAM conditions on dynamodb:LeadingKeys, and PartiQL actions: it checks an action that AWS does not have",
    "the table's TTL and point-in-time recovery, which it does not create from a template",
    "the number of items without index attributes: its description of an index has no item count",
    "what an update that replaces the table keeps: it gives the new table the old name",
    "`sam delete`, which expects the templates of the nested stacks at an address of AWS",
    "limits of the API's rate, throttling and timeouts",
]


@pytest.fixture(scope="session")
def cloud(tmp_path_factory):
    # AUTH makes MiniStack check signatures and policies.
    with running(tmp_path_factory.mktemp("ministack"), AUTH="true") as cloud:
        yield cloud


@pytest.fixture(scope="session")
def created(cloud, tmp_path_factory):
    """Deploys the stack for the first time, with the secret in Secrets Manager. All tests share it."""
    stack = Deployed(cloud, tmp_path_factory.mktemp("stack"))
    stack.deploy(
        JwtAlgorithm="HS256",
        JwtSecretArn=stack.secret,
        JwtIssuer=ISSUER,
        JwtAudience=AUDIENCE,
        Architecture="x86_64",
    )
    stack.correct_table()
    return stack


def pytest_terminal_summary(terminalreporter):
    for line in NOT_SHOWN:
        terminalreporter.write_line(f"Not shown by MiniStack: {line}.")
