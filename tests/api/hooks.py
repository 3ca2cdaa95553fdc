"""Filters failures of schemathesis that are not failures of the API, and keeps the token of the run valid."""

import base64
import json
import os

import schemathesis
from schemathesis.core.failures import Failure

# These conditions depend on another response or parameter, which a schema cannot express.
BEYOND_A_SCHEMA = ["from must be before to", "cursor must be the next of an earlier answer"]


@schemathesis.hook
def filter_failure(context, failure: Failure, case, response) -> bool:
    """Returns whether the failure is a real one."""
    kind = type(failure).__name__
    if kind == "UnsupportedMethodResponse":
        # API Gateway handles an unknown method itself: it responds as for an unknown path.
        return (response.status_code, response.json()) != (404, {"error": "Not found"})
    if kind == "RejectedPositiveData":
        return response.status_code != 400 or response.json()["error"] not in BEYOND_A_SCHEMA
    return True


# The user and the session of the run's token, if it has one.
TOKEN = os.environ.get("TOKEN", "")
CLAIMS = json.loads(base64.urlsafe_b64decode(TOKEN.split(".")[1] + "==")) if TOKEN else {}
OWN = {"user_id": CLAIMS.get("sub"), "session_id": CLAIMS.get("sid")}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Changes a request that would close the session of the run's own token, after which every request is denied."""
    if case.method in ("DELETE", "POST"):
        for name, value in case.path_parameters.items():
            if value == OWN.get(name):
                case.path_parameters[name] = "another"
        if case.body == {"except_current": False}:
            case.body = {"except_current": True}
