"""The checks for the first deployment in an account: their commands are valid and use names that exist in the stack."""

import ast
import re
import subprocess

import pytest
from template import ROOT, stack

DOCUMENT = (ROOT / "docs/development/first-deployment.md").read_text()


def blocks(language):
    found = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.M | re.S)
    assert found
    return found


@pytest.mark.parametrize("block", blocks("sh"))
def test_each_command_is_valid_shell(block):
    subprocess.run(["bash", "-n"], input=block, text=True, check=True)


def test_signing_program_is_valid_python():
    for block in blocks("python"):
        ast.parse(block)


def test_commands_use_existing_outputs_and_resources():
    made = stack()
    outputs, resources = (set(re.findall(rf"\({it} (\w+)\)", DOCUMENT)) for it in ("output", "resource"))
    assert outputs and outputs <= set(made.outputs)
    assert resources and resources <= set(made.resources)
    names = {it["AlarmName"] for it in made.nested("Alarms").of_type("AWS::CloudWatch::Alarm").values()}
    alarms = set(re.findall(r"\$STACK(-[\w-]+)", DOCUMENT))
    assert alarms and alarms <= {name.removeprefix("session-cleanup") for name in names}


def test_expected_responses_match_template():
    made = stack()
    for kind in ("ACCESS_DENIED", "UNAUTHORIZED"):
        answer = made.api()["x-amazon-apigateway-gateway-responses"][kind]
        challenge = answer["responseParameters"]["gatewayresponse.header.WWW-Authenticate"]
        assert f"`{challenge.strip(chr(39))}`" in DOCUMENT
    for it in made.stage()["MethodSettings"]:
        assert f"`[{it['ThrottlingRateLimit']},{it['ThrottlingBurstLimit']}]`" in DOCUMENT
