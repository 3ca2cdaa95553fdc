"""The monitoring API: authorization, gateway responses, limits and access logs."""

import json
import re

import pytest
from template import REQUIRED, ROOT, Stack, read, stack, translate, values_of

MONITORING = "/api/v1/monitoring"
SESSIONS = f"{MONITORING}/sessions"
USER, OWN = f"{MONITORING}/users/{{user_id}}/sessions", "/api/v1/sessions"
# The routes of the function `sessions`: for administrators, and for users.
OF_USERS = {(USER, "get"), (f"{USER}/{{session_id}}", "delete"), (f"{USER}/revoke", "post")}
OF_CALLER = {(OWN, "get"), (f"{OWN}/{{session_id}}", "delete"), (f"{OWN}/revoke", "post")}
ROUTES = {(f"{SESSIONS}/stats", "get"), (f"{SESSIONS}/cleanups", "get"), (f"{SESSIONS}/cleanup", "post")}
ROUTES |= OF_USERS | OF_CALLER
# The page and the description.
OPEN = {(MONITORING, "get"), (f"{MONITORING}/openapi.json", "get")}
ORIGIN = "Access-Control-Allow-Origin"


def routes(made):
    return {
        (path, method): definition
        for path, methods in made.api()["paths"].items()
        for method, definition in methods.items()
    }


@pytest.mark.parametrize("origin", ["", "https://admin.example"])
def test_every_route_except_open_ones_uses_uncached_authorizer(origin):
    made = stack(CorsOrigin=origin)
    found = {it: definition for it, definition in routes(made).items() if it[1] != "options"}
    assert set(found) == ROUTES | OPEN
    security = {it: definition["security"] for it, definition in found.items()}
    authorized, unauthorized = [{"SessionAuthorizer": []}], [{"NONE": []}]
    assert security == {it: authorized for it in ROUTES} | {it: unauthorized for it in OPEN}
    (authorizer,) = made.api()["components"]["securitySchemes"].values()
    authorizer = authorizer["x-amazon-apigateway-authorizer"]
    assert authorizer["type"] == "request"
    assert authorizer["identitySource"] == "method.request.header.Authorization"
    assert authorizer["authorizerResultTtlInSeconds"] == 0
    assert "AuthorizerFunction.Arn" in authorizer["authorizerUri"]


def test_gateway_errors_have_status_and_reason_in_json():
    answers = {
        kind: (it.get("statusCode"), it["responseTemplates"])
        for kind, it in stack().api()["x-amazon-apigateway-gateway-responses"].items()
    }

    def body(text):
        return {"application/json": '{"error":' + text + "}"}

    assert answers == {
        "ACCESS_DENIED": ("401", body('"$context.authorizer.error"')),
        "UNAUTHORIZED": ("401", body('"Missing bearer token"')),
        "MISSING_AUTHENTICATION_TOKEN": ("404", body('"Not found"')),
        "AUTHORIZER_FAILURE": ("500", body('"Internal server error"')),
        "AUTHORIZER_CONFIGURATION_ERROR": ("500", body('"Internal server error"')),
        "DEFAULT_4XX": (None, body("$context.error.messageString")),
        "DEFAULT_5XX": (None, body("$context.error.messageString")),
    }


def headers(answer):
    """The headers of a gateway response. A static value is in single quotes."""
    found = {}
    for name, value in answer["responseParameters"].items():
        assert name.startswith("gatewayresponse.header.") and value[0] == value[-1] == "'" and "'" not in value[1:-1]
        found[name.removeprefix("gatewayresponse.header.")] = value[1:-1]
    return found


def test_each_401_has_challenge_and_all_have_security_headers():
    challenges = {
        "ACCESS_DENIED": {"WWW-Authenticate": 'Bearer realm="sessions", error="invalid_token"'},
        # RFC 6750 §3.1: no error code if the request has no credentials.
        "UNAUTHORIZED": {"WWW-Authenticate": 'Bearer realm="sessions"'},
    }
    answers = stack().api()["x-amazon-apigateway-gateway-responses"]
    assert {kind for kind, it in answers.items() if it.get("statusCode") == "401"} == set(challenges)
    for kind, answer in answers.items():
        assert headers(answer) == challenges.get(kind, {}) | {
            "Cache-Control": "no-store",
            "Strict-Transport-Security": "max-age=31536000",
            "X-Content-Type-Options": "nosniff",
        }


def test_api_has_no_cors_by_default():
    assert set(routes(stack())) == ROUTES | OPEN
    assert ORIGIN.lower() not in json.dumps(stack().api()).lower()


@pytest.mark.parametrize("origin", ["https://admin.example", "*"])
def test_cors_allows_preflight_and_reading_errors_for_origin(origin):
    made = stack(CorsOrigin=origin)
    preflights = {path: it for (path, method), it in routes(made).items() if method == "options"}
    assert set(preflights) == {path for path, _ in ROUTES}
    for path, method in ROUTES:
        options = preflights[path]
        assert "security" not in options
        integration = options["x-amazon-apigateway-integration"]
        assert integration["type"] == "mock"
        assert json.loads(integration["requestTemplates"]["application/json"]) == {"statusCode": 204}
        answer = integration["responses"]["default"]
        assert answer["statusCode"] == "204"
        sent = {name.rsplit(".", 1)[1]: it for name, it in answer["responseParameters"].items()}
        assert sent == {
            ORIGIN: f"'{origin}'",
            "Access-Control-Allow-Methods": f"'{method.upper()}'",
            "Access-Control-Allow-Headers": "'Authorization,Content-Type'",
        }
        # API Gateway sends only what the method declares.
        declared = options["responses"]["204"]["headers"]
        assert declared == {name: {"schema": {"type": "string"}} for name in sent}
    answers = made.api()["x-amazon-apigateway-gateway-responses"].values()
    assert all(headers(it)[ORIGIN] == origin for it in answers)


def limits(made):
    """The rate and burst of each route, as API Gateway applies them: those of the method, or else those of the stage."""
    found = {}
    for it in made.stage()["MethodSettings"]:
        # Each slash except the first is escaped, as in a JSON Pointer.
        path = it["ResourcePath"].removeprefix("/").replace("~1", "/")
        limit = float(it["ThrottlingRateLimit"]), int(it["ThrottlingBurstLimit"])
        found[path, it["HttpMethod"].lower()] = limit
    everywhere = found.pop(("*", "*"))
    assert set(found) <= ROUTES, "API Gateway ignores the settings of a route that does not exist"
    return {route: found.get(route, everywhere) for route in ROUTES | OPEN}


def test_each_route_has_own_limits_and_stage_has_given_name():
    made = stack(ApiRateLimit=3, ApiBurstLimit=4, StatsRateLimit=5, SelfServiceRateLimit=6, StageName="v1")
    assert made.stage()["StageName"] == "v1"
    assert limits(made) == {it: (3, 4) for it in ROUTES | OPEN} | {
        (f"{SESSIONS}/stats", "get"): (5, 10),
        (f"{SESSIONS}/cleanup", "post"): (1, 2),
        **{it: (6, 20) for it in OF_CALLER},
    }


def busy(made):
    """The maximum number of concurrent invocations of each route with a token, if each runs until its timeout."""
    slow = {made.properties(it)["Timeout"] for it in ("StatsFunction", "ForceCleanupFunction")}
    assert (slow, made.properties("SessionsFunction")["Timeout"]) == ({29}, 10)
    seconds = {route: 10 if route in OF_USERS | OF_CALLER else 29 for route in ROUTES}
    return {route: limit[1] + limit[0] * seconds[route] for route, limit in limits(made).items() if route in ROUTES}


def test_default_limits_leave_concurrency_for_authorizer():
    # An account has 1,000 unless AWS has set another number.
    assert sum(busy(stack()).values()) <= 500


# Read units of one request (docs/reference/measurements.md).
STATS_UNITS = {10_000: 166.5, 100_000: 1_484, 1_000_000: 14_644}
# A call reads at most 200 reports. Calculated for a filter that matches none of them.
REPORTS_UNITS = 32.4


def concurrent(routes, rate, burst, seconds):
    """The arithmetic of the concurrent invocations of several routes with the same limits."""
    one = f"{burst} + {rate:.0f} × {seconds}"
    each = one if routes == 1 else f"{routes} × ({one})"
    return f"{each} = {routes * (burst + rate * seconds):.0f}"


def test_document_has_calculated_figures_of_limits():
    made = stack()
    rates = {path.rsplit("/", 1)[1]: limit for (path, _), limit in limits(made).items() if path.startswith(SESSIONS)}

    def dollars(units):
        return f"{units * 86_400 * 0.125 / 1_000_000:,.2f}"

    rows = [
        f"| `GET …/stats`, {sessions:,} sessions | {dollars(20 * units)} | {dollars(rates['stats'][0] * units)} |"
        for sessions, units in STATS_UNITS.items()
    ]
    # A partition serves at most 3,000 read units a second.
    before, after = min(3_000, 20 * REPORTS_UNITS), rates["cleanups"][0] * REPORTS_UNITS
    rows.append(f"| `GET …/cleanups` for a filter that finds nothing | {dollars(before)} | {dollars(after)} |")
    for group, name, seconds in [
        ({(f"{SESSIONS}/stats", "get")}, "`GET …/stats`", 29),
        ({(f"{SESSIONS}/cleanups", "get")}, "`GET …/cleanups`", 29),
        ({(f"{SESSIONS}/cleanup", "post")}, "`POST …/cleanup`", 29),
        (OF_USERS, "three routes for the sessions of a user", 10),
        (OF_CALLER, "three routes for the caller's own sessions", 10),
    ]:
        ((rate, burst),) = {limits(made)[it] for it in group}
        cells = [concurrent(len(group), *limit, seconds) for limit in [(20, 40), (rate, burst)]]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    rows.append(f"| together | 3,300 | {sum(busy(made).values()):.0f} |")
    document = (ROOT / "docs/topics/operations.md").read_text()
    assert [row for row in rows if row not in document] == []


def test_default_stack_needs_no_account_role():
    made = stack()
    assert "AccessLogSetting" not in made.stage()
    assert not made.of_type("AWS::ApiGateway::Account")
    assert "ApiLogs" not in made.resources


def test_access_logs_are_json_with_retention_and_safe_fields():
    made = stack(ApiAccessLogs="on", LogRetentionDays=5)
    logs = made.stage()["AccessLogSetting"]
    assert logs["DestinationArn"] == "arn:aws:logs:eu-central-1:123456789012:log-group:ApiLogs"
    assert made.properties("ApiLogs") == {"RetentionInDays": "5"}
    assert json.loads(logs["Format"]) == {
        "requestId": "$context.requestId",
        "ip": "$context.identity.sourceIp",
        "method": "$context.httpMethod",
        "resourcePath": "$context.resourcePath",
        "status": "$context.status",
        "latency": "$context.responseLatency",
        "responseType": "$context.error.responseType",
    }
    assert not made.of_type("AWS::ApiGateway::Account")


# Values of API Gateway itself, into which callers cannot put a quote. Not allowed: path, authorizer context, headers.
NOT_CHOSEN = {
    *("requestId", "identity.sourceIp", "httpMethod", "resourcePath", "status", "responseLatency", "error.responseType"),
}


def test_access_log_has_no_values_chosen_by_caller():
    format = stack(ApiAccessLogs="on").stage()["AccessLogSetting"]["Format"]
    assert set(re.findall(r"\$context\.([\w.]+)", format)) <= NOT_CHOSEN


def test_account_role_is_opt_in_set_before_stage_and_retained():
    made = stack(ApiAccessLogs="on-with-account-role")
    (account,) = made.of_type("AWS::ApiGateway::Account").values()
    assert account == {"CloudWatchRoleArn": "ApiAccountRole.Arn"}
    for name in ("ApiAccount", "ApiAccountRole"):
        assert made.resources[name]["DeletionPolicy"] == "Retain"
    # The stage depends on the logs, and these on the account.
    assert made.properties("ApiLogs")["Tags"] == [{"Key": "WrittenBy", "Value": "ApiAccount"}]
    assert made.properties("ApiAccountRole")["ManagedPolicyArns"] == [
        "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
    ]


def test_parameter_that_changes_api_creates_deployment(monkeypatch):
    """SAM alone does not detect the change because it compares the template with unresolved parameters."""

    def deployment(origin, second):
        monkeypatch.setattr("samtranslator.model.apigateway.time.time", lambda: second)
        return Stack(translate(values := values_of(read(), REQUIRED | {"CorsOrigin": origin})), values)

    one = deployment("https://one.example", 1).stage()["DeploymentId"]
    assert one != deployment("https://other.example", 2).stage()["DeploymentId"]
