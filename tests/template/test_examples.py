"""The example templates attach the authorizer as docs/topics/authorizer.md says."""

import copy
import json

import pytest
from samtranslator.internal.managed_policies import get_bundled_managed_policy_map
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from template import Stack, read, stack, values_of

AUTHORIZER = "arn:aws:lambda:eu-central-1:123456789012:function:authorizer"
TABLE = "arn:aws:dynamodb:eu-central-1:123456789012:table/sessions"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/table"


def example(name, **given):
    template = read(f"infra/examples/{name}.yaml")
    values = values_of(template, given)
    if "Transform" in template:
        policies = get_bundled_managed_policy_map("aws")
        template = Translator(policies, Parser()).translate(copy.deepcopy(template), values)
    return Stack(template, values)


@pytest.mark.parametrize("name", ["rest-api", "http-api"])
def test_only_api_may_invoke_authorizer(name):
    made = example(name, SessionAuthorizerArn=AUTHORIZER)
    permissions = [
        it for it in made.of_type("AWS::Lambda::Permission").values() if it["FunctionName"] == AUTHORIZER
    ]
    assert permissions == [
        {
            "Action": "lambda:InvokeFunction",
            "FunctionName": AUTHORIZER,
            "Principal": "apigateway.amazonaws.com",
            "SourceArn": "arn:aws:execute-api:eu-central-1:123456789012:Api/authorizers/*",
        }
    ]


def test_rest_api_caches_no_decision_and_returns_deny_reason():
    made = example("rest-api", SessionAuthorizerArn=AUTHORIZER)
    (scheme,) = made.api()["components"]["securitySchemes"].values()
    authorizer = scheme["x-amazon-apigateway-authorizer"]
    assert (authorizer["type"], authorizer["authorizerResultTtlInSeconds"]) == ("request", 0)
    assert authorizer["identitySource"] == "method.request.header.Authorization"
    assert AUTHORIZER in authorizer["authorizerUri"]
    assert made.api()["paths"]["/hello"]["get"]["security"] == [{"Sessions": []}]
    # The same responses as the stack's own API.
    own = stack().api()["x-amazon-apigateway-gateway-responses"]
    for kind, answer in made.api()["x-amazon-apigateway-gateway-responses"].items():
        assert answer["statusCode"] == "401"
        assert answer["responseTemplates"] == own[kind]["responseTemplates"]
        # The challenge and Cache-Control. Each API chooses its other headers.
        assert answer["responseParameters"].items() <= own[kind]["responseParameters"].items()
        assert "gatewayresponse.header.WWW-Authenticate" in answer["responseParameters"]
    assert {"ACCESS_DENIED", "UNAUTHORIZED"} == set(made.api()["x-amazon-apigateway-gateway-responses"])


def test_http_api_uses_payload_2_and_caches_no_decision():
    made = example("http-api", SessionAuthorizerArn=AUTHORIZER)
    (api,) = made.of_type("AWS::ApiGatewayV2::Api").values()
    (scheme,) = api["Body"]["components"]["securitySchemes"].values()
    authorizer = scheme["x-amazon-apigateway-authorizer"]
    assert authorizer["authorizerPayloadFormatVersion"] == "2.0"
    assert authorizer["enableSimpleResponses"] is True
    assert authorizer["authorizerResultTtlInSeconds"] == 0
    assert authorizer["identitySource"] == ["$request.header.Authorization"]
    assert AUTHORIZER in authorizer["authorizerUri"]
    assert api["Body"]["paths"]["/hello"]["get"]["security"] == [{"Sessions": []}]


@pytest.mark.parametrize("name", ["rest-api", "http-api"])
def test_handler_rejects_request_without_user(name):
    made = example(name, SessionAuthorizerArn=AUTHORIZER)
    code = {}
    exec(made.properties("HelloFunction")["Code"]["ZipFile"], code)

    def answer(authorizer):
        made = code["handler"]({"requestContext": authorizer}, None)
        return json.loads(made["body"]) if "body" in made else made, made.get("statusCode", 200)

    session = {"user_id": "ann", "session_id": "s-1", "scope": ""}
    context = {"lambda": session} if name == "http-api" else session
    assert answer({"authorizer": context}) == ({"user": "ann", "session": "s-1"}, 200)
    for context in [{}, {"lambda": {}}, {"lambda": None}, {"user_id": ""}]:
        for authorizer in [{"authorizer": context}, {}]:
            assert answer(authorizer) == ({"error": "Forbidden"}, 403)


@pytest.mark.parametrize(
    "writer, actions",
    [
        ("Document", [f"dynamodb:{it}" for it in ("PutItem", "GetItem", "UpdateItem", "Query", "DeleteItem", "ConditionCheckItem")]),
        ("Library", ["dynamodb:PutItem", "dynamodb:GetItem", "dynamodb:PartiQLUpdate", "dynamodb:Query"]),
    ],
)
def test_login_service_may_write_only_user_records(writer, actions):
    users = {
        "Effect": "Allow",
        "Action": actions,
        "Resource": TABLE,
        "Condition": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["USER#*"]}},
    }
    key = {
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": KEY,
        "Condition": {"StringEquals": {"kms:ViaService": "dynamodb.eu-central-1.amazonaws.com"}},
    }
    for given, expected in [({}, [users]), ({"TableKmsKeyArn": KEY}, [users, key])]:
        made = example("application-policy", TableArn=TABLE, Writer=writer, **given)
        assert set(made.resources) == {"SessionWriterPolicy"}
        assert made.properties("SessionWriterPolicy")["PolicyDocument"]["Statement"] == expected


def test_own_api_mounts_routes_for_users():
    sessions = AUTHORIZER.replace("authorizer", "sessions")
    made = example("self-service", SessionAuthorizerArn=AUTHORIZER, SessionsFunctionArn=sessions)
    found = {(path, method): it for path, methods in made.api()["paths"].items() for method, it in methods.items()}
    # The end of each path and its parameter are those of the stack's own API.
    own = stack().api()["paths"]
    routes = {(path, method) for path in own if path.startswith("/api/v1/sessions") for method in own[path]}
    assert {(path.replace("/account", "/api/v1"), method) for path, method in found} == routes
    for it in found.values():
        assert it["security"] == [{"Sessions": []}]
        integration = it["x-amazon-apigateway-integration"]
        assert (integration["type"], integration["httpMethod"]) == ("aws_proxy", "POST")
        assert f"functions/{sessions}/invocations" in integration["uri"]
    api = "arn:aws:execute-api:eu-central-1:123456789012:Api"
    assert {(it["FunctionName"], it["SourceArn"]) for it in made.of_type("AWS::Lambda::Permission").values()} == {
        (AUTHORIZER, f"{api}/authorizers/*"),
        (sessions, f"{api}/*/*/account/sessions*"),
    }
