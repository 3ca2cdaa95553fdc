"""The monitoring API: who is let in, what it answers by itself, and what it writes down."""

import json

import pytest
from template import REQUIRED, Stack, read, stack, translate, values_of

MONITORING = "/api/v1/monitoring"
SESSIONS = f"{MONITORING}/sessions"
ROUTES = {(f"{SESSIONS}/stats", "get"), (f"{SESSIONS}/cleanups", "get"), (f"{SESSIONS}/cleanup", "post")}
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
def test_every_route_but_the_open_ones_asks_the_authorizer_and_no_answer_of_it_is_kept(origin):
    made = stack(CorsOrigin=origin)
    found = {it: definition for it, definition in routes(made).items() if it[1] != "options"}
    assert set(found) == ROUTES | OPEN
    asked = {it: definition["security"] for it, definition in found.items()}
    authorized, nobody = [{"SessionAuthorizer": []}], [{"NONE": []}]
    assert asked == {it: authorized for it in ROUTES} | {it: nobody for it in OPEN}
    (authorizer,) = made.api()["components"]["securitySchemes"].values()
    authorizer = authorizer["x-amazon-apigateway-authorizer"]
    assert authorizer["type"] == "request"
    assert authorizer["identitySource"] == "method.request.header.Authorization"
    assert authorizer["authorizerResultTtlInSeconds"] == 0
    assert "AuthorizerFunction.Arn" in authorizer["authorizerUri"]


def test_refusals_of_the_gateway_are_401_with_a_reason_in_json():
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


def test_browsers_of_other_origins_are_not_answered_by_default():
    assert set(routes(stack())) == ROUTES | OPEN
    assert ORIGIN.lower() not in json.dumps(stack().api()).lower()


@pytest.mark.parametrize("origin", ["https://admin.example", "*"])
def test_browsers_of_the_one_origin_may_ask_without_a_token_and_read_refusals(origin):
    made = stack(CorsOrigin=origin)
    asked = {path: it for (path, method), it in routes(made).items() if method == "options"}
    assert set(asked) == {path for path, _ in ROUTES}
    for path, method in ROUTES:
        options = asked[path]
        assert "security" not in options
        integration = options["x-amazon-apigateway-integration"]
        assert integration["type"] == "mock"
        assert json.loads(integration["requestTemplates"]["application/json"]) == {"statusCode": 204}
        answer = integration["responses"]["default"]
        assert answer["statusCode"] == "204"
        headers = {name.rsplit(".", 1)[1]: it for name, it in answer["responseParameters"].items()}
        assert headers == {
            ORIGIN: f"'{origin}'",
            "Access-Control-Allow-Methods": f"'{method.upper()}'",
            "Access-Control-Allow-Headers": "'Authorization,Content-Type'",
        }
        # API Gateway sends only what the method declares.
        declared = options["responses"]["204"]["headers"]
        assert declared == {name: {"schema": {"type": "string"}} for name in headers}
    answers = made.api()["x-amazon-apigateway-gateway-responses"].values()
    assert all(
        it["responseParameters"] == {f"gatewayresponse.header.{ORIGIN}": f"'{origin}'"} for it in answers
    )


def test_requests_are_limited_and_the_stage_is_named():
    stage = stack(ApiRateLimit=3, ApiBurstLimit=4, StageName="v1").stage()
    assert stage["StageName"] == "v1"
    assert stage["MethodSettings"] == [
        {"HttpMethod": "*", "ResourcePath": "/*", "ThrottlingRateLimit": "3", "ThrottlingBurstLimit": "4"}
    ]


def test_a_new_account_can_make_the_stack_for_nothing_needs_the_accounts_role():
    made = stack()
    assert "AccessLogSetting" not in made.stage()
    assert not made.of_type("AWS::ApiGateway::Account")
    assert "ApiLogs" not in made.resources


def test_access_logs_are_json_that_ends_in_time_and_holds_no_header_query_or_body():
    made = stack(ApiAccessLogs="on", LogRetentionDays=5)
    logs = made.stage()["AccessLogSetting"]
    assert logs["DestinationArn"] == "arn:aws:logs:eu-central-1:123456789012:log-group:ApiLogs"
    assert made.properties("ApiLogs") == {"RetentionInDays": "5"}
    assert json.loads(logs["Format"]) == {
        "requestId": "$context.requestId",
        "ip": "$context.identity.sourceIp",
        "method": "$context.httpMethod",
        "path": "$context.path",
        "status": "$context.status",
        "latency": "$context.responseLatency",
        "authorizerError": "$context.authorizer.error",
        "userId": "$context.authorizer.user_id",
    }
    assert not made.of_type("AWS::ApiGateway::Account")


def test_the_accounts_role_is_set_only_if_asked_for_before_the_stage_and_stays():
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


def test_a_change_of_the_api_by_a_parameter_is_deployed(monkeypatch):
    """SAM's own comparison does not see it where the parameter is still a reference."""

    def deployment(origin, second):
        monkeypatch.setattr("samtranslator.model.apigateway.time.time", lambda: second)
        return Stack(translate(values := values_of(read(), REQUIRED | {"CorsOrigin": origin})), values)

    one = deployment("https://one.example", 1).stage()["DeploymentId"]
    assert one != deployment("https://other.example", 2).stage()["DeploymentId"]
