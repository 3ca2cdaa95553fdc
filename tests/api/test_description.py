"""The running API does what its description says, for whoever calls, and whatever they send."""

import copy
import json
import os
import subprocess
import sys
import urllib.request

import pytest
from local_stack import ROOT, serve

DESCRIPTION = ROOT / "functions/stats/openapi.json"


# More than a page of reports has by default: so one leads to the next.
REPORTS = 25


@pytest.fixture(scope="module")
def stack():
    with serve() as stack:
        for _ in range(REPORTS):
            headers = {"Authorization": f"Bearer {stack.admin}"}
            request = urllib.request.Request(
                f"{stack.page}/sessions/cleanup?dry_run=true", method="POST", headers=headers
            )
            urllib.request.urlopen(request).close()
        yield stack


def closed(description):
    """The description, where no object has a member that it does not name."""

    def close(value):
        if isinstance(value, dict):
            if value.get("type") == "object" and "properties" in value:
                value["additionalProperties"] = False
            value = value.values()
        if not isinstance(value, (str, int, type(None))):
            for it in value:
                close(it)

    # Its own answer is the exception.
    description = copy.deepcopy(description)
    own = description["paths"]["/monitoring/openapi.json"]
    description["paths"]["/monitoring/openapi.json"] = {}
    close(description)
    description["paths"]["/monitoring/openapi.json"] = own
    return description


def examine(stack, folder, token, *options):
    """Runs all checks of schemathesis, the same inputs each time; what it prints."""
    description = folder / "openapi.json"
    description.write_text(json.dumps(closed(json.loads(DESCRIPTION.read_text()))))
    command = [sys.executable, "-m", "schemathesis.cli", "run", description, "--url", stack.page.removesuffix("/monitoring")]
    command += ["--checks", "all", "--seed", "1", "--max-examples", "30", *options]
    if token:
        command += ["--header", f"Authorization: Bearer {token}"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(ROOT / "tests/api")}
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("caller", ["admin", "reader", "nobody"])
def test_every_response_matches_openapi_description(stack, tmp_path, caller):
    token = {"admin": stack.admin, "reader": stack.reader, "nobody": None}[caller]
    printed = examine(stack, tmp_path, token)
    assert "Tested: 5" in printed
    # The next page is that of the page before it.
    assert ("API Links:    1 covered" in printed) == (caller != "nobody"), printed
