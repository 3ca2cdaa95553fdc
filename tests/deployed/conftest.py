import sys

import pytest
from cloud import AUDIENCE, ISSUER, ROOT, Deployed, running

# The example that the documents give to login services writes the sessions here as well.
sys.path.insert(0, str(ROOT / "docs/examples/python"))

# What holds on AWS and cannot be seen here. docs/development/first-deployment.md has the checks for an account.
NOT_SHOWN = [
    "gateway responses: it reads none from an API's definition, so a refusal is its own 403 without a reason",
    # https://docs.aws.amazon.com/apigateway/latest/api/API_CreateAuthorizer.html: "it returns a 401 Unauthorized response
    # without calling the Lambda function"
    "the identity source: a request without the header reaches the authorizer, which refuses it",
    "alarms with metric math, which it cannot make",
    "metrics that the functions write into their logs (embedded metric format): it makes none of them",
    "the conditions of IAM policies on dynamodb:LeadingKeys, and the actions of PartiQL: it checks one of its own",
    "the table's TTL and recovery to a point in time, which it does not make of a template",
    "how many items are not in the index, whose description has no count of its items there",
    "what an update that replaces the table keeps: it gives the new one the old name",
    "`sam delete`, which looks for the inner stacks' templates at an address of AWS's",
    "limits of the API's rate, throttling and timeouts",
]


@pytest.fixture(scope="session")
def cloud(tmp_path_factory):
    # AUTH: it checks signatures and policies.
    with running(tmp_path_factory.mktemp("ministack"), AUTH="true") as cloud:
        yield cloud


@pytest.fixture(scope="session")
def created(cloud, tmp_path_factory):
    """The stack after its first deployment, with the secret in Secrets Manager. All tests share it."""
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
