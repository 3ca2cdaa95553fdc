"""The parameters: valid values, descriptions, and their documentation in docs/reference/configuration.md."""

import json
import re
import subprocess
import tomllib

import pytest
from samcli.cli.types import CfnParameterOverridesType
from samcli.yamlhelper import yaml_parse
from template import REQUIRED, ROOT, TEMPLATES, Resolver, read, translate, values_of
from test_functions import VARIABLES

TEMPLATE_FILES = ["template.yaml", "infra/alarms.yaml", "infra/dashboard.yaml"]
FREE_TEXT = {"JwtIssuer"}
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
# Parameter: valid values, invalid values.
EXAMPLES = {
    "JwtAlgorithm": (["HS256", "EdDSA"], ["none", "ES512", "hs256"]),
    "JwtSecret": (["", "s" * 32], ["s" * 31]),
    "JwtSecretArn": (
        ["", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:jwt-AbCdEf"],
        ["jwt", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:jwt-AbCdEf:key::", KEY],
    ),
    "JwtSecretField": (["", "key"], ["key:AWSPREVIOUS"]),
    "JwtSecretKmsKeyArn": (["", KEY], ["alias/mine", "1234abcd"]),
    "JwtPublicKey": (
        ["", "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----"],
        ["MCow", "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----"],
    ),
    "JwksUrl": (["", "https://id.example/jwks.json"], ["http://id.example", "https://me:secret@id.example"]),
    "JwtAudience": (["", "api", "api,https://api.example", "a b, c"], [" api", "api,", ",api", "a,,b"]),
    "JwtLeewaySeconds": ([0, 120], [-1, 121]),
    "JwtUserClaim": (["sub", "https://example.com/id", "/user/id"], ["", " sub", "sub "]),
    "JwtSessionClaim": (["sid"], ["", " sid"]),
    "JwtTokenIdClaim": (["jti", "none"], [""]),
    "JwtScopeClaim": (["scp"], [""]),
    "JwtAudienceClaim": (["aud", "azp", "none"], [""]),
    "JwtAuthTimeClaim": (["/amr/0/timestamp"], [""]),
    "JwtClientClaim": (["azp"], [""]),
    "JwtType": (["", "at+jwt", "at+jwt, JWT"], ["a b", "at+jwt,", ",JWT"]),
    "JwtRequiredClaims": (
        ["", "token_use=access", "typ=Bearer,azp=web", "https://example.com/kind=a=b"],
        ["token_use", "=access", "token_use=", "a=b,", "a=b,c"],
    ),
    "OpenSessions": (["never", "on_first_use"], ["always", ""]),
    "SessionMaxHours": (["", "1", "720", "87600"], ["0", "01", "-1", "1.5", "876000", "a day"]),
    "SessionIdleMinutes": ([0, 43200], [-1, 43201]),
    "SessionRetentionDays": ([1, 3650], [0, 3651]),
    "CleanupSchedule": (
        ["rate(1 minute)", "rate(15 minutes)", "rate(7 days)", "cron(0 3 * * ? *)", "cron(0/5 8-17 ? * MON-FRI *)"],
        ["", "1 hour", "rate(1 hours)", "rate(2 hour)", "rate(0 hours)", "cron(0 3 * * *)", "cron(0 3 * * ? * *)"],
    ),
    "ReportRetentionDays": ([1, 3650], [0, 3651]),
    "SweepGraceHours": ([0, 720], [-1, 721]),
    "MaxWritesPerSecond": ([0, 1_000_000], [-1, 1_000_001]),
    "DueShards": ([1, 100], [0, 101]),
    "ExistingTableName": (
        ["", "abc", "my-table_1.0", "x" * 255],
        ["ab", "x" * 256, "a b", "arn:aws:dynamodb:eu-central-1:123456789012:table/logins"],
    ),
    "TableDeletionProtection": (["true", "false"], ["yes", ""]),
    "TableKmsKeyArn": (["", KEY], ["alias/mine", "1234abcd"]),
    "AlarmEmail": (["", "ops@example.com"], ["ops", "a b@example.com", "a@b@c"]),
    "AlarmTopicArn": (
        ["", "arn:aws:sns:eu-central-1:123456789012:alarms", "arn:aws-cn:sns:cn-north-1:123456789012:a_b-c"],
        ["alarms", "arn:aws:sns:eu-central-1:123456789012:alarms.fifo", KEY],
    ),
    "LiveSessionsThreshold": ([0, 5000], [-1]),
    "MetricsNamespace": (["", "Mine", "Mine/of-prod:1"], ["AWS/Mine", ":x", "a b", "x" * 257]),
    "CountSessions": (["true", "false"], ["yes", ""]),
    "LogLevel": (["TRACE", "WARN"], ["info", "NONE"]),
    "StageName": (["prod", "v1_2-b"], ["", "a/b"]),
    "Architecture": (["arm64", "x86_64"], ["riscv"]),
    "LogRetentionDays": ([1, 30], [0, 2]),
    "Tracing": (["Active", "Disabled"], ["true"]),
    "ApiRateLimit": ([1], [0]),
    "ApiBurstLimit": ([1], [0]),
    "StatsRateLimit": ([1], [0]),
    "SelfServiceRateLimit": ([1, 100], [0]),
    "ApiAccessLogs": (["off", "on", "on-with-account-role"], ["true", ""]),
    "CorsOrigin": (
        ["", "*", "https://admin.example.com", "http://localhost:5173", "http://[::1]:80"],
        ["admin.example.com", "https://a.example/", "https://a.example'", "https://*"],
    ),
    "MonitoringReadScope": (["sessions:read", "https://api.example/read"], ["", "a b", 'a"b', "a\\b"]),
    "MonitoringAdminScope": (["api/sessions:admin"], ["", "a b"]),
    "CleanupConcurrency": ([0, 5], [-1]),
    "StatsConcurrency": ([0, 5], [-1]),
    "ForceCleanupConcurrency": ([0, 5], [-1]),
    "SessionsConcurrency": ([0, 5], [-1]),
}


def is_valid(parameter, value):
    text = str(value)
    if parameter["Type"] == "Number":
        least, most = parameter.get("MinValue", value), parameter.get("MaxValue", value)
        listed = parameter.get("AllowedValues", [value])
        return least <= value <= most and value in listed
    if "AllowedValues" in parameter:
        return text in parameter["AllowedValues"]
    if "AllowedPattern" in parameter:
        return re.fullmatch(parameter["AllowedPattern"], text) is not None
    return len(text) >= parameter.get("MinLength", 0)


def test_every_parameter_except_free_text_has_examples():
    assert set(EXAMPLES) == set(read()["Parameters"]) - FREE_TEXT
    assert all(read()["Parameters"][name]["MinLength"] == 1 for name in FREE_TEXT)


@pytest.mark.parametrize("name", EXAMPLES)
def test_parameter_accepts_valid_values_and_its_default(name):
    parameter = read()["Parameters"][name]
    valid, invalid = EXAMPLES[name]
    for value in valid:
        assert is_valid(parameter, value), value
    for value in invalid:
        assert not is_valid(parameter, value), value
    if "Default" in parameter:
        assert is_valid(parameter, parameter["Default"])
    if "AllowedPattern" in parameter:
        assert parameter["ConstraintDescription"].startswith("must ")


@pytest.mark.parametrize("path", TEMPLATE_FILES)
def test_every_parameter_is_described_in_one_labelled_group(path):
    template = read(path)
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert sorted(grouped) == sorted(template["Parameters"])
    assert all(group["Label"]["default"] for group in groups)
    for name, parameter in template["Parameters"].items():
        assert parameter["Description"].endswith("."), name


@pytest.mark.parametrize("path", TEMPLATE_FILES)
def test_every_output_is_described(path):
    assert all(it["Description"].endswith(".") for it in read(path)["Outputs"].values())


def test_only_secret_parameter_is_hidden():
    assert [name for name, it in read()["Parameters"].items() if it.get("NoEcho")] == ["JwtSecret"]


def test_processed_template_does_not_contain_the_secret():
    """GetTemplate returns the processed template. A transform that inserts parameters would reveal the NoEcho secret."""
    secret = REQUIRED["JwtSecret"]
    processed = json.dumps(translate(values_of(read(), REQUIRED)))
    assert secret not in processed
    assert '{"Ref": "JwtSecret"}' in processed
    assert read()["Transform"] == "AWS::Serverless-2016-10-31"


SECRET = {"JwtSecret": "s" * 32}
ARN = {"JwtSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:jwt-AbCdEf"}
PEM = {"JwtPublicKey": "-----BEGIN PUBLIC KEY-----"}
JWKS = {"JwksUrl": "https://id.example"}


@pytest.mark.parametrize(
    "given, fits",
    [
        ({"JwtAlgorithm": "HS256"} | SECRET, True),
        ({"JwtAlgorithm": "HS384"} | ARN, True),
        ({"JwtAlgorithm": "ES256"} | PEM, True),
        ({"JwtAlgorithm": "RS256"} | JWKS, True),
        ({"JwtAlgorithm": "HS256"}, False),
        ({"JwtAlgorithm": "HS256"} | SECRET | ARN, False),
        ({"JwtAlgorithm": "HS256"} | PEM, False),
        ({"JwtAlgorithm": "HS256"} | SECRET | JWKS, False),
        ({"JwtAlgorithm": "RS256"}, False),
        ({"JwtAlgorithm": "RS256"} | PEM | JWKS, False),
        ({"JwtAlgorithm": "RS256"} | SECRET, False),
        ({"JwtAlgorithm": "RS256"} | JWKS | ARN, False),
        ({"JwtAlgorithm": "HS256", "JwtAudience": ""} | SECRET, False),
        ({"JwtAlgorithm": "HS256", "JwtAudience": "", "JwtAudienceClaim": "none"} | SECRET, False),
        ({"JwtAlgorithm": "HS256", "JwtAudience": "", "JwtAudienceClaim": "none", "JwtRequiredClaims": "a=b"} | SECRET, True),
        ({"JwtAlgorithm": "HS256", "OpenSessions": "on_first_use"} | SECRET, False),
        ({"JwtAlgorithm": "HS256", "OpenSessions": "on_first_use", "SessionMaxHours": "12"} | SECRET, True),
        ({"JwtAlgorithm": "HS256", "LiveSessionsThreshold": 1} | SECRET, True),
        ({"JwtAlgorithm": "HS256", "LiveSessionsThreshold": 1, "CountSessions": "false"} | SECRET, False),
        ({"JwtAlgorithm": "HS256", "CountSessions": "false"} | SECRET, True),
        ({"JwtAlgorithm": "HS256", "ExistingTableName": "logins"} | SECRET, True),
        ({"JwtAlgorithm": "HS256", "TableDeletionProtection": "false"} | SECRET, True),
        ({"JwtAlgorithm": "HS256", "ExistingTableName": "logins", "TableDeletionProtection": "false"} | SECRET, False),
        ({"JwtAlgorithm": "HS256", "AlarmEmail": "a@b.example"} | SECRET, True),
        ({"JwtAlgorithm": "HS256", "AlarmTopicArn": "arn"} | SECRET, True),
        ({"JwtAlgorithm": "HS256", "AlarmTopicArn": "arn", "AlarmEmail": "a@b.example"} | SECRET, False),
    ],
)
def test_rules_reject_conflicting_parameters(given, fits):
    template = read()
    resolver = Resolver(template, values_of(template, {"JwtIssuer": "i", "JwtAudience": "a"} | given))
    kept = [
        resolver.truth(assertion["Assert"])
        for rule in template["Rules"].values()
        if resolver.truth(rule["RuleCondition"])
        for assertion in rule["Assertions"]
    ]
    assert all(kept) == fits


def cells(line):
    return [it.strip() for it in re.split(r"(?<!\\)\|", line)[1:-1]]


def documented():
    """The table of docs/reference/configuration.md: parameters, variables, default and meaning of each row."""
    text = (ROOT / "docs/reference/configuration.md").read_text()
    start = text.index("| parameter | variable | default |")
    rows = text[start:].split("\n\n")[0].splitlines()[2:]
    found = []
    for row in rows:
        parameters, variables, default, meaning = cells(row)
        found.append((re.findall(r"`(\w+)`", parameters), re.findall(r"`(\w+)`", variables), default, meaning))
    return found


def test_documentation_lists_every_parameter_and_variable():
    parameters = [it for row in documented() for it in row[0] + re.findall(r"`(Jwt\w+)`", row[3])]
    assert sorted(parameters) == sorted(read()["Parameters"])
    assert {it for row in documented() for it in row[1]} == set(VARIABLES)


def test_documentation_has_correct_defaults_and_variables():
    parameters = read()["Parameters"]
    for names, variables, default, _ in documented():
        if names:
            expected = [str(parameters[name].get("Default", "required")) for name in names]
            given = [it.strip().strip("`") for it in default.split(",")]
            # An empty default has an empty cell.
            assert given == ([""] if not any(expected) else expected if len(set(expected)) > 1 else expected[:1]), names
        if names and variables:
            assert len(names) == len(variables)
            for name, variable in zip(names, variables, strict=True):
                assert name in VARIABLES[variable][1], (name, variable)


def test_template_has_every_variable_that_functions_read():
    """The template sets each variable that the functions read."""
    source = "".join(it.read_text() for it in (ROOT / "shared/functions/src/config").glob("*.rs"))
    read_by_functions = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', source))
    assert len(read_by_functions) > 10
    assert read_by_functions <= set(VARIABLES)


def test_one_file_pins_deployment_tools():
    pins = (TEMPLATES / "infra/requirements.txt").read_text()
    assert re.findall(r"^([\w-]+)==", pins, re.M) == ["aws-sam-cli", "cargo-lambda"]
    for path in ("README.md", "CONTRIBUTING.md", ".ci/requirements.txt"):
        text = (ROOT / path).read_text()
        assert not re.search(r"(aws-sam-cli|cargo-lambda)==", text), path
    assert "pip install -r infra/requirements.txt" in (ROOT / "README.md").read_text()


EXAMPLE = "infra/parameters.example.yaml"


def answers(path=EXAMPLE, *, commented):
    """The parameters of the example file: the ones to fill in, or (commented) the ones with a default."""
    lines = (TEMPLATES / path).read_text().splitlines()
    found = [re.fullmatch(r"(# )?([A-Z]\w+): (.*)", line) for line in lines]
    return {it[2]: yaml_parse(it[3]) for it in found if it and bool(it[1]) == commented}


def test_first_deployment_needs_four_parameters():
    answered = answers(commented=False)
    assert len(answered) == 4
    assert {name for name, it in read()["Parameters"].items() if "Default" not in it} < set(answered)
    # The placeholder is not a valid value.
    assert not is_valid(read()["Parameters"]["JwtSecretArn"], answered["JwtSecretArn"])
    given = answered | {"JwtSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:jwt-AbCdEf"}
    template = read()
    resolver = Resolver(template, values_of(template, given))
    for rule in template["Rules"].values():
        if resolver.truth(rule["RuleCondition"]):
            assert all(resolver.truth(it["Assert"]) for it in rule["Assertions"])


def test_parameter_example_has_all_others_with_defaults():
    parameters = read()["Parameters"]
    answered, others = answers(commented=False), answers(commented=True)
    assert set(answered) | set(others) == set(parameters)
    assert {name: str(it) for name, it in others.items()} == {
        name: str(it["Default"]) for name, it in parameters.items() if name in others
    }


def test_sam_reads_copied_example_that_git_ignores():
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert config["default"]["deploy"]["parameters"]["parameter_overrides"] == "file://parameters.yaml"
    given = CfnParameterOverridesType().convert(f"file://{ROOT / EXAMPLE}", None, None)
    assert given == {name: str(it) for name, it in answers(commented=False).items()}
    ignored = subprocess.run(["git", "check-ignore", "-q", "parameters.yaml"], cwd=ROOT)
    assert ignored.returncode == 0


def test_groups_of_required_parameters_come_first():
    groups = read()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    to_answer = [it for it in groups if it["Label"]["default"].startswith("Required: ")]
    assert {name for it in to_answer for name in it["Parameters"]} >= set(answers(commented=False))
    assert groups[: len(to_answer)] == to_answer
