"""The deployed stack: its resources and functions, an update, and its deletion.

The tests share one stack and run in the order of its life: first deployment, use, update, deletion.
"""

import json
import time

import pytest
from cloud import AUDIENCE, ISSUER, REGION, STACK, token, wait_for
from session_cleanup import Outcome, Sessions

HOUR = 3_600
DAY = 24 * HOUR
READ, ADMIN = "sessions:read", "sessions:admin"


def now():
    return int(time.time())


def log_in(stack, user, session="s-1", ends=None):
    """Creates a session that started a day ago."""
    ends = now() + HOUR if ends is None else ends
    assert Sessions(stack.table, now=lambda: now() - DAY).create(user, session, ends) == Outcome.DONE


def log_out(stack, user, session="s-1", ago=0):
    assert Sessions(stack.table, now=lambda: now() - ago).logout(user, session) == Outcome.DONE


def claims(stack, user, scope="", session="s-1", seconds=900):
    sessions = Sessions(stack.table, access_token_seconds=seconds)
    return sessions.access_token_claims(user, session, now() + HOUR, ISSUER, AUDIENCE, scope)


def empty(stack):
    with stack.table.batch_writer() as batch:
        for pk, sk in stack.items():
            batch.delete_item(Key={"pk": pk, "sk": sk})


@pytest.fixture
def stack(created):
    """The stack with an empty table."""
    empty(created)
    return created


@pytest.fixture
def reader(stack):
    log_in(stack, "reader")
    return token(claims(stack, "reader", READ))


@pytest.fixture
def admin(stack):
    log_in(stack, "admin")
    return token(claims(stack, "admin", ADMIN))


def data(answer):
    status, body = answer
    assert status == 200 and body["success"], answer
    return body["data"]


def record(stack, user, session="s-1"):
    return stack.items(f"USER#{user}").get((f"USER#{user}", f"SESSION#{session}"))


def counts(report):
    """The counts of a complete report without problems."""
    assert report["complete"], report
    names = ("sessions_deactivated", "sessions_deleted", "refresh_tokens_deleted", "blacklisted_tokens_deleted", "adopted")
    wrong = ("changed_elsewhere", "reindexed", "malformed", "failed")
    assert [report[it] for it in wrong] == [0] * len(wrong), report
    return tuple(report[it] for it in names)


# The first deployment.


def test_outputs_name_created_resources(created):
    outputs, made = created.outputs, created.resources
    assert created.described()["StackStatus"] == "CREATE_COMPLETE"
    assert set(outputs) == {
        "ApiAddress",
        "PageAddress",
        "TableName",
        "TableArn",
        "CleanupFunctionName",
        "FailedCleanupsUrl",
        "AuthorizerFunctionArn",
        "AuthorizerPermissionCommand",
        "SessionsFunctionArn",
        "DashboardUrl",
    }
    api = f"https://{made['MonitoringApi']}.execute-api.{REGION}.amazonaws.com/prod"
    assert outputs["ApiAddress"] == api
    assert outputs["PageAddress"] == f"{api}/api/v1/monitoring"
    assert outputs["TableName"] == made["SessionsTable"]
    assert outputs["TableArn"].endswith(f":table/{made['SessionsTable']}")
    assert outputs["CleanupFunctionName"] == made["CleanupFunction"]
    assert outputs["AuthorizerFunctionArn"].endswith(f":function:{made['AuthorizerFunction']}")
    assert outputs["SessionsFunctionArn"].endswith(f":function:{made['SessionsFunction']}")
    assert outputs["FailedCleanupsUrl"] == made["FailedCleanups"]


def test_creates_table_with_keys_index_and_protection(created):
    dynamodb = created.cloud.client("dynamodb")
    table = dynamodb.describe_table(TableName=created.table.name)["Table"]
    keys = [("pk", "HASH"), ("sk", "RANGE")]
    assert [(it["AttributeName"], it["KeyType"]) for it in table["KeySchema"]] == keys
    (index,) = table["GlobalSecondaryIndexes"]
    keys = [("due_key", "HASH"), ("due_at", "RANGE")]
    assert [(it["AttributeName"], it["KeyType"]) for it in index["KeySchema"]] == keys
    assert (index["IndexName"], index["Projection"]) == ("due", {"ProjectionType": "KEYS_ONLY"})
    types = {it["AttributeName"]: it["AttributeType"] for it in table["AttributeDefinitions"]}
    assert types == {"pk": "S", "sk": "S", "due_key": "S", "due_at": "N"}
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    with pytest.raises(dynamodb.exceptions.ClientError, match="(?i)deletion protection"):
        dynamodb.delete_table(TableName=created.table.name)


def rule(stack, name):
    """A rule and its only target."""
    events = stack.cloud.client("events")
    rule = events.describe_rule(Name=stack.resources[name])
    assert rule["State"] == "ENABLED"
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    return rule, target


def test_creates_rule_that_runs_cleanup_hourly(created):
    hourly, target = rule(created, "CleanupFunctionHourly")
    assert hourly["ScheduleExpression"] == "rate(1 hour)"
    assert target["Arn"].endswith(f":function:{created.resources['CleanupFunction']}")
    assert target["RetryPolicy"] == {"MaximumRetryAttempts": 5, "MaximumEventAgeInSeconds": HOUR}
    queue = target["DeadLetterConfig"]["Arn"]
    functions = created.cloud.client("lambda")
    # SAM creates it for the unpublished version.
    configured = functions.get_function_event_invoke_config(
        FunctionName=created.resources["CleanupFunction"], Qualifier="$LATEST"
    )
    assert configured["MaximumRetryAttempts"] == 2
    assert configured["DestinationConfig"]["OnFailure"]["Destination"] == queue
    queues = created.cloud.client("sqs")
    attributes = queues.get_queue_attributes(QueueUrl=created.outputs["FailedCleanupsUrl"], AttributeNames=["All"])
    (statement,) = json.loads(attributes["Attributes"]["Policy"])["Statement"]
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": hourly["Arn"]}}
    assert attributes["Attributes"]["QueueArn"] == queue


def test_creates_rule_that_checks_for_late_cleanups(created):
    watch, target = rule(created, "StatsFunctionWatch")
    assert watch["ScheduleExpression"] == "rate(10 minutes)"
    assert target["Arn"].endswith(f":function:{created.resources['StatsFunction']}")


def test_gives_each_function_its_own_role(created):
    functions = created.cloud.client("lambda").list_functions()["Functions"]
    roles = {it["FunctionName"]: it["Role"].rsplit("/", 1)[1] for it in functions}
    expected = {
        created.resources[it]: created.resources[f"{it}Role"]
        for it in ("AuthorizerFunction", "StatsFunction", "ForceCleanupFunction", "SessionsFunction", "CleanupFunction")
    }
    assert roles == expected


ON_TABLE = ["Query", "Scan", "GetItem", "BatchGetItem", "PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"]
ON_TABLE += ["DescribeTable", "DescribeTimeToLive", "PartiQLSelect", "PartiQLInsert", "PartiQLUpdate", "PartiQLDelete"]


CHECK = {"DescribeTable", "DescribeTimeToLive"}


@pytest.mark.parametrize(
    "function, allowed",
    [
        ("AuthorizerFunction", CHECK | {"BatchGetItem", "PartiQLUpdate"}),
        ("StatsFunction", CHECK | {"Query"}),
        ("ForceCleanupFunction", CHECK | {"BatchGetItem", "PutItem", "PartiQLUpdate", "PartiQLDelete"}),
        ("SessionsFunction", CHECK | {"Query", "GetItem", "PartiQLUpdate"}),
        ("CleanupFunction", CHECK | {"BatchGetItem", "PutItem", "GetItem", "Scan", "PartiQLUpdate", "PartiQLDelete"}),
    ],
)
def test_allows_function_only_its_own_actions(created, function, allowed):
    role = created.cloud.client("iam").get_role(RoleName=created.resources[f"{function}Role"])["Role"]["Arn"]
    simulated = created.cloud.client("iam").simulate_principal_policy(
        PolicySourceArn=role,
        ActionNames=[f"dynamodb:{it}" for it in ON_TABLE],
        ResourceArns=[created.outputs["TableArn"]],
    )["EvaluationResults"]
    assert {it["EvalActionName"].split(":")[1] for it in simulated if it["EvalDecision"] == "allowed"} == allowed


def test_creates_alarms_and_dashboard_that_shows_them(created):
    cloudwatch = created.cloud.client("cloudwatch")
    alarms = cloudwatch.describe_alarms()["MetricAlarms"]
    assert {it["AlarmName"] for it in alarms} == created.alarms
    assert len(created.alarms) > 5
    (board,) = cloudwatch.list_dashboards()["DashboardEntries"]
    assert created.outputs["DashboardUrl"].endswith(f"#dashboards/dashboard/{board['DashboardName']}")
    body = json.loads(cloudwatch.get_dashboard(DashboardName=board["DashboardName"])["DashboardBody"])
    (shown,) = [it["properties"]["alarms"] for it in body["widgets"] if it["type"] == "alarm"]
    assert sorted(shown) == sorted(it["AlarmArn"] for it in alarms)


def test_measures_how_late_cleanup_is(stack):
    """Invokes the function as the rule does every ten minutes."""
    event = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    answer = stack.cloud.client("lambda").invoke(FunctionName=stack.resources["StatsFunction"], Payload=json.dumps(event))
    assert answer.get("FunctionError") is None and json.load(answer["Payload"]) is None
    # No run has been due since the table was created.
    (line,) = wait_for(lambda: [it for it in stack.lines("StatsLogs") if "CleanupOverdue" in it], "the metric")
    assert line["CleanupOverdue"] == 0


# The API behind the authorizer.


def test_serves_page_and_description_without_token(stack):
    status, page = stack.call("")
    assert status == 200 and page.startswith("<!doctype html>")
    status, description = stack.call("/openapi.json")
    assert status == 200 and description["openapi"].startswith("3.1")


def test_allows_reader_to_read_but_not_to_clean_up(stack, reader):
    statistics = data(stack.call("/sessions/stats", reader))
    assert (statistics["total_sessions"], statistics["active_sessions"]) == (1, 1)
    # MiniStack returns no item count of an index. The number is unknown, not 0.
    assert statistics["unindexed_items"] is None
    assert data(stack.call("/sessions/cleanups", reader)) == {"reports": [], "next": None}
    # The response of the function itself, which is the same on AWS.
    assert stack.call("/sessions/cleanup", reader, "POST") == (403, {"error": "Forbidden"})
    assert stack.reports() == []


def test_denies_statistics_to_token_without_scope(stack):
    log_in(stack, "ann")
    assert stack.call("/sessions/stats", token(claims(stack, "ann"))) == (403, {"error": "Forbidden"})


def deny_reason(stack, bearer):
    """The reason why the authorizer denied the call, from its log: MiniStack's response does not contain it."""
    before = len(stack.logged("AuthorizerLogs", "denied"))
    status, body = stack.call("/sessions/stats", bearer)
    assert status == 403 and "explicit deny" in body["Message"]
    (line,) = wait_for(lambda: stack.logged("AuthorizerLogs", "denied")[before:], "the reason")
    return line["reason"]


def test_denies_call_without_token(stack):
    assert deny_reason(stack, None) == "Missing bearer token"


def test_denies_token_of_other_secret(stack):
    log_in(stack, "ann")
    assert deny_reason(stack, token(claims(stack, "ann", ADMIN), secret="x" * 32)) == "Invalid token"


def test_denies_expired_token_and_keeps_session(stack):
    log_in(stack, "ann")
    assert deny_reason(stack, token(claims(stack, "ann", ADMIN, seconds=-1))) == "Token expired"
    assert record(stack, "ann")["is_active"]


def test_denies_blacklisted_token(stack):
    log_in(stack, "ann")
    content = claims(stack, "ann", READ)
    assert stack.call("/sessions/stats", token(content))[0] == 200
    assert Sessions(stack.table).blacklist("ann", content["jti"], content["exp"]) == Outcome.DONE
    assert deny_reason(stack, token(content)) == "Token revoked"


def test_denies_missing_session(stack):
    assert deny_reason(stack, token(claims(stack, "ann", ADMIN))) == "Session not found"


def test_denies_inactive_session(stack):
    log_in(stack, "ann")
    log_out(stack, "ann")
    assert deny_reason(stack, token(claims(stack, "ann", ADMIN))) == "Session inactive"


def test_deactivates_expired_session_that_is_used(stack):
    log_in(stack, "ann", ends=now() - 1)
    began = now()
    assert deny_reason(stack, token(claims(stack, "ann", ADMIN))) == "Session expired"
    closed = record(stack, "ann")
    assert (closed["is_active"], closed["deactivation_reason"]) == (False, "expired_on_validation")
    assert began <= closed["deactivated_at"] <= now()
    assert closed["due_at"] == closed["ttl"] == closed["deactivated_at"] + 30 * DAY
    assert closed["due_key"].startswith("delete#")


def test_returns_500_if_record_is_malformed(stack):
    log_in(stack, "ann")
    key = {"pk": "USER#ann", "sk": "SESSION#s-1"}
    stack.table.update_item(Key=key, UpdateExpression="SET expires_at = :text", ExpressionAttributeValues={":text": "soon"})
    assert stack.call("/sessions/stats", token(claims(stack, "ann", ADMIN)))[0] == 500


def write_due_records(stack):
    """Writes two expired sessions, a session and two tokens to delete, and one of each kind that stays."""
    for user in ("ann", "bob"):
        log_in(stack, user, ends=now() - 1)
    log_in(stack, "cid")
    log_out(stack, "cid", ago=40 * DAY)
    log_in(stack, "dee")
    log_out(stack, "dee")
    sessions = Sessions(stack.table, now=lambda: now() - DAY)
    log_in(stack, "eve")
    for refresh_token, ends in (("old", now() - 1), ("new", now() + DAY)):
        assert sessions.add_refresh_token("eve", "s-1", refresh_token, ends) == Outcome.DONE
    for jti, ends in (("old", now() - 1), ("new", now() + DAY)):
        assert sessions.blacklist("eve", jti, ends) == Outcome.DONE


def users(stack):
    """The remaining records of users: user, kind, and whether a session is active."""
    return {(pk.split("#")[1], sk.split("#")[0]): it.get("is_active") for (pk, sk), it in stack.items("USER#").items()}


def test_reports_what_dry_run_would_do(stack, admin):
    write_due_records(stack)
    before = stack.items("USER#")
    report = data(stack.call("/sessions/cleanup?dry_run=true", admin, "POST"))
    assert (report["dry_run"], report["trigger"], report["requested_by"]) == (True, "api", "admin")
    assert counts(report) == (2, 1, 1, 1, 0)
    assert stack.items("USER#") == before


def test_cleans_up_at_once_for_admin(stack, admin):
    write_due_records(stack)
    # An instance caches the count for five seconds.
    wait_for(lambda: data(stack.call("/sessions/stats", admin))["cleanup_needed"], "the count of expired sessions")
    report = data(stack.call("/sessions/cleanup", admin, "POST"))
    assert (report["dry_run"], report["trigger"], report["requested_by"]) == (False, "api", "admin")
    assert counts(report) == (2, 1, 1, 1, 0)
    for user in ("ann", "bob"):
        assert record(stack, user)["deactivation_reason"] == "expired_by_cleanup"
    assert record(stack, "cid") is None
    assert len(stack.items("USER#eve")) == 3
    assert users(stack) == {
        ("ann", "SESSION"): False,
        ("bob", "SESSION"): False,
        ("dee", "SESSION"): False,
        ("eve", "SESSION"): True,
        ("eve", "REFRESH"): None,
        ("eve", "BLACKLIST"): None,
        ("admin", "SESSION"): True,
    }
    # A cleanup discards the cached count.
    expected = {
        "total_sessions": 5,
        "active_sessions": 2,
        "inactive_sessions": 3,
        "expired_sessions": 0,
        "cleanup_needed": False,
        "malformed_records": 0,
        "oldest_expired_age_seconds": None,
        "last_cleanup": report,
    }
    statistics = data(stack.call("/sessions/stats", admin))
    assert {name: statistics[name] for name in expected} == expected
    assert data(stack.call("/sessions/cleanups", admin)) == {"reports": [report], "next": None}


OWN = "/api/v1/sessions"


def of(user):
    return f"/users/{user}/sessions"


def sessions_in(answer):
    return {it["session_id"]: it for it in data(answer)["sessions"]}


def test_user_lists_and_closes_own_sessions(stack):
    for session in ("s-1", "phone", "tv"):
        log_in(stack, "ann", session)
    bearer = token(claims(stack, "ann"))
    listed = sessions_in(stack.call(OWN, bearer))
    assert {name: it["is_current"] for name, it in listed.items()} == {"s-1": True, "phone": False, "tv": False}
    closed = data(stack.call(f"{OWN}/phone", bearer, "DELETE"))
    assert (closed["is_active"], closed["deactivation_reason"]) == (False, "revoked")
    assert deny_reason(stack, token(claims(stack, "ann", session="phone"))) == "Session inactive"
    assert stack.call(f"{OWN}/none", bearer, "DELETE") == (404, {"error": "Session not found"})
    assert data(stack.call(f"{OWN}/revoke", bearer, "POST")) == {"revoked": 1}
    assert set(sessions_in(stack.call(OWN, bearer))) == {"s-1"}
    assert set(sessions_in(stack.call(f"{OWN}?include=inactive", bearer))) == {"s-1", "phone", "tv"}
    assert data(stack.call(f"{OWN}/revoke", bearer, "POST", {"except_current": False})) == {"revoked": 1}
    assert deny_reason(stack, bearer) == "Session inactive"
    assert record(stack, "ann")["deactivation_reason"] == "revoked"


def test_administrator_closes_sessions_of_user(stack, admin, reader):
    for session in ("s-1", "phone", "tv"):
        log_in(stack, "auth0|7", session)
    user = of("auth0%7C7")
    assert set(sessions_in(stack.call(user, reader))) == {"s-1", "phone", "tv"}
    assert stack.call(f"{user}/phone", reader, "DELETE") == (403, {"error": "Forbidden"})
    assert data(stack.call(f"{user}/phone", admin, "DELETE"))["session_id"] == "phone"
    assert data(stack.call(f"{user}/revoke", admin, "POST")) == {"revoked": 2}
    assert sessions_in(stack.call(user, admin)) == {}
    assert set(sessions_in(stack.call(OWN, admin))) == {"s-1"}


# Manual cleanups.


def test_revokes_sessions_of_client_that_began_before(stack):
    log_in(stack, "ann")
    for user, client, began in (("ann", "web", 100), ("bob", "web", 50), ("cid", "app", 100)):
        began = now() - began
        Sessions(stack.table, now=lambda began=began: began).create(user, "s-2", now() + HOUR, {"client_id": client})
    revoke = {"created_before": now() - 75, "client_id": "web", "reason": "stolen signing key"}
    error, predicted = stack.invoke({"revoke": revoke, "dry_run": True})
    assert error is None and predicted["sessions_revoked"] == 1
    error, report = stack.invoke({"revoke": revoke})
    assert error is None and report["complete"] and report["sessions_revoked"] == 1
    assert report["revoke"]["reason"] == "stolen signing key"
    assert record(stack, "ann", "s-2")["deactivation_reason"] == "revoked"
    assert all(record(stack, user, session)["is_active"] for user, session in (("ann", "s-1"), ("bob", "s-2"), ("cid", "s-2")))


def test_manual_cleanup_leaves_deletions_to_ttl(stack):
    write_due_records(stack)
    # Native TTL has two days for the tokens. The session has been due for ten days.
    error, report = stack.invoke({})
    assert error is None and report["trigger"] == "manual"
    assert counts(report) == (2, 1, 0, 0, 0)
    (stored,) = stack.reports()
    assert stored["run_id"] == report["run_id"]


def test_manual_dry_run_writes_only_its_report(stack):
    write_due_records(stack)
    before = stack.items("USER#")
    error, report = stack.invoke({"dry_run": True, "sweep_grace_hours": 0})
    assert error is None and counts(report) == (2, 1, 1, 1, 0)
    assert stack.items("USER#") == before
    assert [it["dry_run"] for it in stack.reports()] == [True]


def test_adopts_records_that_lack_index_attributes(stack):
    write_due_records(stack)
    for pk, sk in stack.items("USER#"):
        stack.table.update_item(
            Key={"pk": pk, "sk": sk},
            UpdateExpression="REMOVE due_key, due_at, #ttl",
            ExpressionAttributeNames={"#ttl": "ttl"},
        )
    _, report = stack.invoke({})
    assert counts(report) == (0, 0, 0, 0, 0)
    error, report = stack.invoke({"adopt": True, "sweep_grace_hours": 0})
    assert error is None and counts(report)[:4] == (2, 1, 1, 1)
    assert report["adopted"] > 0
    assert all(it["due_key"] and it["due_at"] and it["ttl"] for it in stack.items("USER#").values())


def test_moves_malformed_record_off_its_due_list_once(stack):
    log_in(stack, "ann", ends=now() - 1)
    key = {"pk": "USER#ann", "sk": "SESSION#s-1"}
    stack.table.update_item(Key=key, UpdateExpression="REMOVE is_active")
    before = record(stack, "ann")
    _, report = stack.invoke({})
    assert (report["malformed"], report["failed"], report["complete"]) == (1, 0, True)
    moved = before["due_key"].replace("deactivate#", "malformed#")
    assert record(stack, "ann") == before | {"due_key": moved}
    _, report = stack.invoke({})
    assert counts(report) == (0, 0, 0, 0, 0)


def test_rejects_misspelled_option(stack):
    write_due_records(stack)
    before = stack.items()
    error, answer = stack.invoke({"dryrun": True})
    assert error == "Unhandled" and answer["errorType"] == "WrongEvent"
    assert "unknown field `dryrun`" in answer["errorMessage"]
    assert stack.items() == before


# An update.


@pytest.fixture(scope="module")
def updated(created):
    """Updates the stack with two parameters and leaves out the others. The table has records that are due."""
    created.before = (created.parameters(), created.resources)
    empty(created)
    write_due_records(created)
    created.deploy(CleanupSchedule="cron(0/1 * * * ? *)", SweepGraceHours=0)
    return created


def test_update_keeps_parameters_that_it_does_not_name(updated):
    parameters, resources = updated.before
    assert updated.described()["StackStatus"] == "UPDATE_COMPLETE"
    assert updated.parameters() == parameters | {"CleanupSchedule": "cron(0/1 * * * ? *)", "SweepGraceHours": "0"}
    assert parameters["JwtSecretArn"] == updated.secret
    # Each deployment publishes the API again.
    stay = {name: it for name, it in updated.resources.items() if not name.startswith("MonitoringApiDeployment")}
    assert stay == {name: resources[name] for name in stay}


def test_scheduled_cleanup_uses_new_grace_after_update(updated):
    """Only the schedule runs it. With the old grace it would leave the tokens to TTL because they have only just become due."""
    reports = wait_for(updated.reports, "a scheduled run")
    first = min(reports, key=lambda it: it["started_at"])
    assert (first["trigger"], first["requested_by"], first["dry_run"]) == ("schedule", None, False)
    assert counts(first) == (2, 1, 1, 1, 0)
    assert len(updated.items("USER#")) == 6


def test_shows_users_new_schedule_after_update(updated, stack, reader):
    statistics = data(stack.call("/sessions/stats", reader))
    assert (statistics["total_sessions"], statistics["schedule"]) == (1, "cron(0/1 * * * ? *)")


# The deletion.


def test_keeps_table_and_records_after_stack_deletion(stack):
    log_in(stack, "ann")
    _, report = stack.invoke({})
    functions, events, cloudformation = (stack.cloud.client(it) for it in ("lambda", "events", "cloudformation"))
    assert len(functions.list_functions()["Functions"]) == 5
    before = stack.items("USER#")
    stack.delete()
    with pytest.raises(cloudformation.exceptions.ClientError, match="does not exist"):
        cloudformation.describe_stacks(StackName=STACK)
    assert functions.list_functions()["Functions"] == []
    assert events.list_rules()["Rules"] == []
    assert set(before) == {("USER#ann", "SESSION#s-1")}
    assert stack.items("USER#") == before
    # A scheduled run may have stored another report.
    assert report["run_id"] in [it["run_id"] for it in stack.reports()]


# A new stack over the table that the deleted one has left.


@pytest.fixture(scope="module")
def successor(created):
    """Deploys the stack again, with the retained table and without TTL. The table has a session that the first stack served.

    This stack opens sessions, the first one did not.
    """
    created.before = created.items()
    created.deploy(
        JwtAlgorithm="HS256",
        JwtSecretArn=created.secret,
        JwtIssuer=ISSUER,
        JwtAudience=AUDIENCE,
        Architecture="x86_64",
        ExistingTableName=created.table.name,
        OpenSessions="on_first_use",
        SessionMaxHours="12",
    )
    return created


def test_uses_existing_table_and_creates_none(successor):
    assert "SessionsTable" not in successor.resources
    assert successor.outputs["TableName"] == successor.table.name
    tables = successor.cloud.client("dynamodb").list_tables()["TableNames"]
    assert tables == [successor.table.name]
    assert successor.outputs["TableArn"].endswith(f":table/{successor.table.name}")


def test_stops_functions_until_table_is_fit(successor):
    """MiniStack has not turned on the TTL of the table, like a restored backup."""
    status, _ = successor.call("/sessions/stats", token(claims(successor, "ann", READ)))
    assert status == 500
    error, answer = successor.invoke({})
    assert error
    assert successor.items() == successor.before
    name = successor.table.name
    command = f"aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification Enabled=true,AttributeName=ttl"
    message = f"the table {name} is not fit: its TTL is off: `{command}`"
    # MiniStack returns the output of a function that stops. Lambda writes it to the log.
    assert message in answer["errorMessage"]
    successor.cloud.client("dynamodb").update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"}
    )
    error, report = successor.invoke({})
    assert error is None and report["complete"]


def test_session_of_deleted_stack_stays_valid(successor):
    assert set(successor.before) >= {("USER#ann", "SESSION#s-1")}
    statistics = data(successor.call("/sessions/stats", token(claims(successor, "ann", READ))))
    assert (statistics["total_sessions"], statistics["active_sessions"]) == (1, 1)


def test_cleans_up_existing_table(successor):
    log_in(successor, "bob", ends=now() - 1)
    error, report = successor.invoke({})
    assert error is None and counts(report) == (1, 0, 0, 0, 0)
    assert record(successor, "bob")["deactivation_reason"] == "expired_by_cleanup"
    assert record(successor, "ann")["is_active"]


def test_opens_session_of_token_at_first_use(successor):
    """MiniStack enforces the authorizer's policy, which allows PutItem only with this setting."""
    signed_in = now() - 60
    assert deny_reason(successor, token(claims(successor, "cat", READ))) == "Session not found"
    content = claims(successor, "cat", READ) | {"auth_time": signed_in}
    assert data(successor.call("/sessions/stats", token(content)))["active_sessions"] == 2
    opened = record(successor, "cat")
    assert opened["is_active"]
    assert opened["expires_at"] == opened["max_expires_at"] == signed_in + 12 * HOUR
    log_out(successor, "cat")
    assert deny_reason(successor, token(content)) == "Session inactive"


def test_keeps_existing_table_after_stack_deletion(successor):
    before = successor.items("USER#")
    successor.delete()
    assert set(before) == {(f"USER#{user}", "SESSION#s-1") for user in ("ann", "bob", "cat")}
    assert successor.items("USER#") == before
