"""The functions: permissions, environment variables, and callers."""

import pytest
from template import FUNCTIONS, read, stack

TABLE = "SessionsTable.Arn"
INDEX = "SessionsTable.Arn/index/due"
USERS = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["USER#*"]}}
REPORTS = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["CLEANUP"]}}
KEY = "arn:aws:kms:eu-central-1:123456789012:key/table"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:jwt-AbCdEf"
SECRET_KEY = "arn:aws:kms:eu-central-1:123456789012:key/secret"


def allowed(actions, resource, condition=None):
    return {(action, resource, repr(condition)) for action in actions}


CHECK = allowed(["dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive"], TABLE)
MAY = {
    "AuthorizerFunction": CHECK | allowed(["dynamodb:BatchGetItem", "dynamodb:PartiQLUpdate"], TABLE, USERS),
    "StatsFunction": CHECK | allowed(["dynamodb:Query"], INDEX) | allowed(["dynamodb:Query"], TABLE, REPORTS),
    "ForceCleanupFunction": CHECK
    | allowed(["dynamodb:Query"], INDEX)
    | allowed(["dynamodb:BatchGetItem", "dynamodb:PartiQLUpdate", "dynamodb:PartiQLDelete"], TABLE, USERS)
    | allowed(["dynamodb:PutItem"], TABLE, REPORTS),
    "SessionsFunction": CHECK | allowed(["dynamodb:Query", "dynamodb:GetItem", "dynamodb:PartiQLUpdate"], TABLE, USERS),
    "CleanupFunction": CHECK
    | allowed(["dynamodb:Query"], INDEX)
    | allowed(["dynamodb:BatchGetItem", "dynamodb:PartiQLUpdate", "dynamodb:PartiQLDelete"], TABLE, USERS)
    | allowed(["dynamodb:Scan"], TABLE)
    | allowed(["dynamodb:PutItem", "dynamodb:GetItem"], TABLE, REPORTS)
    | allowed(["sqs:SendMessage"], "FailedCleanups.Arn"),
}
LOGS = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
XRAY = "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess"


def listed(value):
    return value if isinstance(value, list) else [value]


def permissions(made, function):
    found = set()
    role = made.properties(made.properties(function)["Role"].removesuffix(".Arn"))
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert set(statement) <= {"Effect", "Action", "Resource", "Condition"}, statement
            assert statement["Effect"] == "Allow"
            for resource in listed(statement["Resource"]):
                found |= allowed(listed(statement["Action"]), resource, statement.get("Condition"))
    return found


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_has_exactly_the_permissions_it_needs(function):
    assert permissions(stack(), function) == MAY[function]


def test_authorizer_may_create_sessions_only_if_it_opens_them():
    made = stack(OpenSessions="on_first_use", SessionMaxHours="12")
    assert permissions(made, "AuthorizerFunction") == MAY["AuthorizerFunction"] | allowed(["dynamodb:PutItem"], TABLE, USERS)


# The service authorization reference does not list the condition key dynamodb:LeadingKeys for these.
WITHOUT_LEADING_KEYS = {"dynamodb:Scan", "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_permissions_are_limited_to_existing_table(function):
    arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/logins"
    expected = {(action, resource.replace(TABLE, arn), condition) for action, resource, condition in MAY[function]}
    assert permissions(stack(ExistingTableName="logins"), function) == expected


@pytest.mark.parametrize("function", FUNCTIONS)
def test_item_actions_are_limited_to_partitions(function):
    for action, resource, condition in permissions(stack(), function):
        if resource == TABLE and action not in WITHOUT_LEADING_KEYS:
            assert condition in (repr(USERS), repr(REPORTS)), action


def test_example_policy_has_same_condition_as_functions():
    example = read("infra/examples/application-policy.yaml")["Resources"]["SessionWriterPolicy"]
    (statement, _) = example["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Condition"] == USERS


@pytest.mark.parametrize("function", FUNCTIONS)
def test_table_key_may_be_used_only_through_dynamodb(function):
    through = {"StringEquals": {"kms:ViaService": "dynamodb.eu-central-1.amazonaws.com"}}
    more = allowed(["kms:Decrypt"], KEY, through)
    for given in ({}, {"ExistingTableName": "logins"}):
        without = permissions(stack(**given), function)
        assert permissions(stack(TableKmsKeyArn=KEY, **given), function) == without | more


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_authorizer_may_read_secret_and_no_other_one(function):
    made = stack(JwtSecret="", JwtSecretArn=SECRET, JwtSecretKmsKeyArn=SECRET_KEY)
    more = allowed(["secretsmanager:GetSecretValue"], SECRET) | allowed(["kms:Decrypt"], SECRET_KEY)
    expected = MAY[function] | (more if function == "AuthorizerFunction" else set())
    assert permissions(made, function) == expected


def test_stack_creates_no_other_role():
    roles = stack().of_type("AWS::IAM::Role")
    assert set(roles) == {f"{function}Role" for function in FUNCTIONS}
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::User"):
        assert not stack().of_type(kind)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_write_to_xray_only_if_tracing_is_on(function):
    for tracing, policies, mode in [("Disabled", [LOGS], None), ("Active", [LOGS, XRAY], {"Mode": "Active"})]:
        made = stack(Tracing=tracing)
        assert made.properties(f"{function}Role")["ManagedPolicyArns"] == policies
        assert made.properties(function).get("TracingConfig") == mode
        assert made.stage()["TracingEnabled"] is (tracing == "Active")


def test_functions_have_expected_memory_timeout_and_platform():
    times = {"AuthorizerFunction": 5, "StatsFunction": 29, "ForceCleanupFunction": 29, "SessionsFunction": 10}
    times |= {"CleanupFunction": 900}
    for function, seconds in times.items():
        properties = stack(Architecture="x86_64").properties(function)
        assert properties["Timeout"] == seconds
        assert properties["MemorySize"] == 256
        assert properties["Runtime"] == "provided.al2023"
        assert properties["Handler"] == "bootstrap"
        assert properties["Architectures"] == ["x86_64"]


CLEANUPS = ["CleanupFunction", "ForceCleanupFunction"]
API = ["StatsFunction", "ForceCleanupFunction", "SessionsFunction"]
# Variable: the functions that get it, the parameters that set it, and the resulting value.
VARIABLES = {
    "TABLE_NAME": (FUNCTIONS, {}, "SessionsTable"),
    "STRICT_TABLE_CHECK": (FUNCTIONS, {"ExistingTableName": "logins"}, "true"),
    "DUE_SHARDS": (FUNCTIONS, {"DueShards": 33}, "33"),
    "LOG_LEVEL": (FUNCTIONS, {"LogLevel": "WARN"}, "WARN"),
    "METRICS_NAMESPACE": (FUNCTIONS, {"MetricsNamespace": "Mine"}, "Mine"),
    "SESSION_RETENTION_DAYS": (["AuthorizerFunction", "SessionsFunction", *CLEANUPS], {"SessionRetentionDays": 7}, "7"),
    "REPORT_RETENTION_DAYS": ([*CLEANUPS, "StatsFunction"], {"ReportRetentionDays": 8}, "8"),
    "MAX_WRITES_PER_SECOND": (CLEANUPS, {"MaxWritesPerSecond": 9}, "9"),
    "SWEEP_GRACE_HOURS": (["CleanupFunction"], {"SweepGraceHours": 10}, "10"),
    "COUNT_SESSIONS": (["CleanupFunction"], {"CountSessions": "false"}, "false"),
    "STACK_NAME": (["StatsFunction"], {}, "session-cleanup"),
    "CLEANUP_SCHEDULE": (["StatsFunction"], {"CleanupSchedule": "rate(2 days)"}, "rate(2 days)"),
    "CORS_ORIGIN": (API, {"CorsOrigin": "*"}, "*"),
    "JWT_ALGORITHM": (["AuthorizerFunction"], {"JwtAlgorithm": "HS512"}, "HS512"),
    "JWT_SECRET": (["AuthorizerFunction"], {"JwtSecret": "t" * 64}, "t" * 64),
    "JWT_SECRET_ARN": (["AuthorizerFunction"], {"JwtSecret": "", "JwtSecretArn": SECRET}, SECRET),
    "JWT_PUBLIC_KEY": (["AuthorizerFunction"], {"JwtSecret": "", "JwtPublicKey": "PEM"}, "PEM"),
    "JWKS_URL": (["AuthorizerFunction"], {"JwtSecret": "", "JwksUrl": "https://id.example"}, "https://id.example"),
    "JWT_ISSUER": (["AuthorizerFunction"], {"JwtIssuer": "https://me.example"}, "https://me.example"),
    "JWT_AUDIENCE": (["AuthorizerFunction"], {"JwtAudience": "me"}, "me"),
    "JWT_USER_CLAIM": (["AuthorizerFunction"], {"JwtUserClaim": "oid"}, "oid"),
    "JWT_SESSION_CLAIM": (["AuthorizerFunction"], {"JwtSessionClaim": "origin_jti"}, "origin_jti"),
    "JWT_TOKEN_ID_CLAIM": (["AuthorizerFunction"], {"JwtTokenIdClaim": "none"}, "none"),
    "JWT_SCOPE_CLAIM": (["AuthorizerFunction"], {"JwtScopeClaim": "scp"}, "scp"),
    "JWT_AUDIENCE_CLAIM": (["AuthorizerFunction"], {"JwtAudienceClaim": "azp"}, "azp"),
    "JWT_AUTH_TIME_CLAIM": (["AuthorizerFunction"], {"JwtAuthTimeClaim": "/amr/0/timestamp"}, "/amr/0/timestamp"),
    "JWT_CLIENT_CLAIM": (["AuthorizerFunction"], {"JwtClientClaim": "azp"}, "azp"),
    "JWT_TYPE": (["AuthorizerFunction"], {"JwtType": "at+jwt"}, "at+jwt"),
    "JWT_REQUIRED_CLAIMS": (["AuthorizerFunction"], {"JwtRequiredClaims": "token_use=access"}, "token_use=access"),
    "OPEN_SESSIONS": (["AuthorizerFunction"], {"OpenSessions": "on_first_use"}, "on_first_use"),
    "SESSION_MAX_HOURS": (["AuthorizerFunction"], {"SessionMaxHours": "12"}, "12"),
    "SESSION_IDLE_MINUTES": (["AuthorizerFunction"], {"SessionIdleMinutes": 30}, "30"),
    "MONITORING_READ_SCOPE": (API, {"MonitoringReadScope": "r"}, "r"),
    "MONITORING_ADMIN_SCOPE": (API, {"MonitoringAdminScope": "a"}, "a"),
    "JWT_LEEWAY_SECONDS": (["AuthorizerFunction"], {"JwtLeewaySeconds": 11}, "11"),
}


@pytest.mark.parametrize("variable", VARIABLES)
def test_variable_is_set_from_parameter_only_where_needed(variable):
    functions, given, value = VARIABLES[variable]
    made = stack(**given)
    found = {function: made.variables(function).get(variable) for function in FUNCTIONS}
    assert found == {function: value if function in functions else None for function in FUNCTIONS}


def test_functions_have_only_listed_variables():
    for given in ({}, {"CorsOrigin": "*"}, {"JwtSecret": "", "JwksUrl": "https://id.example"}):
        for function in FUNCTIONS:
            for variable in stack(**given).variables(function):
                assert function in VARIABLES[variable][0], (function, variable)


def test_secret_field_is_appended_to_its_arn():
    made = stack(JwtSecret="", JwtSecretArn=SECRET, JwtSecretField="key")
    assert made.variables("AuthorizerFunction")["JWT_SECRET_ARN"] == f"{SECRET}:key::"


def test_default_namespace_contains_stack_name():
    assert stack().variables("CleanupFunction")["METRICS_NAMESPACE"] == "SessionCleanup/session-cleanup"


def test_functions_log_every_level_to_own_group_with_retention():
    made = stack(LogRetentionDays=7, LogLevel="ERROR")
    groups = made.of_type("AWS::Logs::LogGroup")
    used = set()
    for function in FUNCTIONS:
        config = made.properties(function)["LoggingConfig"]
        # A metrics line has no level. Lambda would drop it at WARN and above.
        assert (config["LogFormat"], config["ApplicationLogLevel"]) == ("JSON", "TRACE")
        used.add(config["LogGroup"])
    assert used == set(groups)
    assert len(used) == len(FUNCTIONS)
    assert all(group == {"RetentionInDays": "7"} for group in groups.values())


@pytest.mark.parametrize("schedule", ["rate(1 hour)", "rate(5 minutes)", "cron(0 3 * * ? *)"])
def test_scheduled_event_is_retried_then_kept_in_queue(schedule):
    made = stack(CleanupSchedule=schedule)
    rule = made.properties("CleanupFunctionHourly")
    assert (rule["ScheduleExpression"], rule["State"]) == (schedule, "ENABLED")
    (target,) = rule["Targets"]
    assert target["Arn"] == "CleanupFunction.Arn"
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 5}
    assert target["DeadLetterConfig"] == {"Arn": "FailedCleanups.Arn"}
    assert made.properties("CleanupFunctionEventInvokeConfig") == {
        "FunctionName": "CleanupFunction",
        "Qualifier": "$LATEST",
        "MaximumEventAgeInSeconds": 3600,
        "MaximumRetryAttempts": 2,
        "DestinationConfig": {"OnFailure": {"Destination": "FailedCleanups.Arn"}},
    }
    (queue,) = made.of_type("AWS::SQS::Queue").values()
    assert queue == {"MessageRetentionPeriod": 14 * 86400, "SqsManagedSseEnabled": True}


def test_watch_runs_every_ten_minutes_with_short_retry():
    """The alarm's period is half an hour, so two of three checks may fail."""
    made = stack()
    rule = made.properties("StatsFunctionWatch")
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(10 minutes)", "ENABLED")
    (target,) = rule["Targets"]
    assert target["Arn"] == "StatsFunction.Arn"
    late = {"MaximumEventAgeInSeconds": 300, "MaximumRetryAttempts": 1}
    assert target["RetryPolicy"] == late
    config = made.properties("StatsFunctionEventInvokeConfig")
    assert config == {"FunctionName": "StatsFunction", "Qualifier": "$LATEST", "DestinationConfig": {}} | late


def test_only_cleanup_rule_may_send_to_queue():
    (policy,) = stack().of_type("AWS::SQS::QueuePolicy").values()
    assert policy["Queues"] == ["FailedCleanups"]
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": "FailedCleanups.Arn",
            "Condition": {"ArnEquals": {"aws:SourceArn": "CleanupFunctionHourly.Arn"}},
        }
    ]


def test_only_own_rules_and_api_may_invoke_functions():
    made = stack()
    callers = {
        (it["FunctionName"], it["Principal"], it["SourceArn"])
        for it in made.of_type("AWS::Lambda::Permission").values()
    }
    api = "arn:aws:execute-api:eu-central-1:123456789012:MonitoringApi"
    path = "api/v1/monitoring"
    stats = ["", "/openapi.json", "/sessions/stats", "/sessions/cleanups"]
    user = f"{path}/users/*/sessions"
    sessions = [f"GET/{user}", f"DELETE/{user}/*", f"POST/{user}/revoke"]
    sessions += ["GET/api/v1/sessions", "DELETE/api/v1/sessions/*", "POST/api/v1/sessions/revoke"]
    assert callers == {
        ("AuthorizerFunction.Arn", "apigateway.amazonaws.com", f"{api}/authorizers/*"),
        *(("StatsFunction", "apigateway.amazonaws.com", f"{api}/*/GET/{path}{it}") for it in stats),
        ("ForceCleanupFunction", "apigateway.amazonaws.com", f"{api}/*/POST/{path}/sessions/cleanup"),
        *(("SessionsFunction", "apigateway.amazonaws.com", f"{api}/*/{it}") for it in sessions),
        ("CleanupFunction", "events.amazonaws.com", "CleanupFunctionHourly.Arn"),
        ("StatsFunction", "events.amazonaws.com", "StatsFunctionWatch.Arn"),
    }


RESERVED = {
    "CleanupFunction": "CleanupConcurrency",
    "StatsFunction": "StatsConcurrency",
    "ForceCleanupFunction": "ForceCleanupConcurrency",
    "SessionsFunction": "SessionsConcurrency",
}


@pytest.mark.parametrize("function", RESERVED)
def test_concurrency_is_reserved_only_if_number_is_given(function):
    # The concurrency of a new account is too low for any reservation. A function with 0 reserved would never run.
    for other in FUNCTIONS:
        assert "ReservedConcurrentExecutions" not in stack().properties(other)
    made = stack(**{RESERVED[function]: 2})
    found = {other: made.properties(other).get("ReservedConcurrentExecutions") for other in FUNCTIONS}
    assert found == {other: "2" if other == function else None for other in FUNCTIONS}
