"""Checks the running API against its OpenAPI description, with different callers and generated inputs."""

import copy
import json
import os
import re
import subprocess
import sys
import urllib.request

import pytest
from local_stack import ROOT, serve

DESCRIPTION = ROOT / "functions/stats/openapi.json"


# More than the default page size, so that there is a second page.
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


def without_other_members(description):
    """The description, changed so that no object may have undocumented members."""

    def close(value):
        if isinstance(value, dict):
            if value.get("type") == "object" and "properties" in value:
                value["additionalProperties"] = False
            value = value.values()
        if not isinstance(value, (str, int, type(None))):
            for it in value:
                close(it)

    # The response with the description itself is the exception.
    description = copy.deepcopy(description)
    own = description["paths"]["/monitoring/openapi.json"]
    description["paths"]["/monitoring/openapi.json"] = {}
    close(description)
    description["paths"]["/monitoring/openapi.json"] = own
    return description


def run_schemathesis(stack, folder, token, *options):
    """Runs all checks of schemathesis with a fixed seed, and returns its output."""
    description = folder / "openapi.json"
    description.write_text(json.dumps(without_other_members(json.loads(DESCRIPTION.read_text()))))
    command = [sys.executable, "-m", "schemathesis.cli", "run", description, "--url", stack.page.removesuffix("/monitoring")]
    command += ["--checks", "all", "--seed", "1", "--max-examples", "30", *options]
    if token:
        command += ["--header", f"Authorization: Bearer {token}"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(ROOT / "tests/api"), "TOKEN": token or ""}
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("caller", ["admin", "reader", "nobody"])
def test_every_response_matches_openapi_description(stack, tmp_path, caller):
    token = {"admin": stack.admin, "reader": stack.reader, "nobody": None}[caller]
    printed = run_schemathesis(stack, tmp_path, token)
    assert "Tested: 11" in printed
    # The links from one page to the next, of reports and of sessions.
    covered = int(re.search(r"API Links: +([0-9]+) covered", printed)[1])
    assert (covered >= 2) == (caller != "nobody"), printed
