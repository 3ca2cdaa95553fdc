"""The alarms and the dashboard: the metrics that they use, and who is notified."""

import json
import re

import pytest
from template import FUNCTIONS, ROOT, stack

EMAIL = {"AlarmEmail": "ops@example.com"}
# All optional features at once.
EVERYTHING = EMAIL | {"LiveSessionsThreshold": 5000, "MetricsNamespace": "Mine"}
# Metrics of AWS: namespace, name, dimensions. From the documentation of each service's metrics.
OF_AWS = {
    ("AWS/Lambda", "Errors", ("FunctionName",)),
    ("AWS/Lambda", "Throttles", ("FunctionName",)),
    ("AWS/Lambda", "Duration", ("FunctionName",)),
    ("AWS/Lambda", "Invocations", ("FunctionName",)),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", ("QueueName",)),
    ("AWS/ApiGateway", "5XXError", ("ApiName", "Stage")),
}
for name in ("ReadThrottleEvents", "WriteThrottleEvents", "ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"):
    OF_AWS.add(("AWS/DynamoDB", name, ("TableName",)))
    OF_AWS.add(("AWS/DynamoDB", name, ("GlobalSecondaryIndexName", "TableName")))
# The possible values of each dimension.
OUTCOMES = {
    *("Allowed", "MissingBearerToken", "InvalidToken", "TokenExpired", "TokenRevoked", "SessionNotFound"),
    *("SessionInactive", "SessionExpired", "Error"),
}
VALUES = {
    "Outcome": OUTCOMES,
    "Trigger": {"schedule", "manual", "api"},
    "InitiatingEntity": {"user", "admin"},
    "Function": {"authorizer", "stats", "force-cleanup", "sessions", "cleanup"},
    "FunctionName": set(FUNCTIONS),
    "TableName": {"SessionsTable"},
    "GlobalSecondaryIndexName": {"due"},
    "QueueName": {"FailedCleanups.QueueName"},
    "ApiName": {"session-cleanup"},
    "Stage": {"prod"},
}


def alarms(**given):
    return stack(**given).nested("Alarms").of_type("AWS::CloudWatch::Alarm")


def dashboard(**given):
    made = stack(**given)
    # The output of the alarms' stack that the dashboard's stack gets.
    arns = made.nested("Alarms").outputs["AlarmArns"]["Value"]
    (board,) = made.nested("Dashboard").of_type("AWS::CloudWatch::Dashboard").values()
    return json.loads(board["DashboardBody"].replace("Alarms.Outputs.AlarmArns", arns))


def of_alarms(**given):
    """Each metric of the alarms: namespace, name, and dimension values by name."""
    for alarm in alarms(**given).values():
        metrics = [it["MetricStat"]["Metric"] for it in alarm.get("Metrics", []) if "MetricStat" in it]
        for metric in metrics or [alarm]:
            dimensions = {it["Name"]: it["Value"] for it in metric.get("Dimensions", [])}
            yield metric["Namespace"], metric["MetricName"], dimensions


def of_dashboard(**given):
    for widget in dashboard(**given)["widgets"]:
        for metric in widget["properties"].get("metrics", []):
            namespace, *rest = [it for it in metric if isinstance(it, str)] or [None]
            if namespace:
                name, *dimensions = rest
                yield namespace, name, dict(zip(dimensions[::2], dimensions[1::2], strict=True))


def documented():
    """The table of docs/reference/metrics.md: the dimension of each metric, or an empty text."""
    rows = re.findall(r"^\| `(\w+)` \| \w+ \| (?:`(\w+)`)? ?\|", (ROOT / "docs/reference/metrics.md").read_text(), re.M)
    assert len(rows) > 15
    return dict(rows)


@pytest.mark.parametrize("metrics", [of_alarms, of_dashboard])
def test_every_watched_metric_is_written(metrics):
    ours = documented()
    found = list(metrics(**EVERYTHING))
    assert found
    for namespace, name, dimensions in found:
        if namespace == "Mine":
            assert name in ours, f"docs/reference/metrics.md has no {name}"
            assert set(dimensions) == ({ours[name]} if ours[name] else set()), name
        else:
            assert (namespace, name, tuple(sorted(dimensions))) in OF_AWS
        for dimension, value in dimensions.items():
            assert value in VALUES[dimension], (name, dimension, value)


def test_dashboard_shows_every_written_metric_except_adopted():
    shown = {name for namespace, name, _ in of_dashboard(**EVERYTHING) if namespace == "Mine"}
    # An adoption runs once, by hand. Its report is in the table of the last runs.
    assert set(documented()) - shown == {"Adopted"}


def test_alarms_and_dashboard_use_namespace_of_functions():
    for given in ({}, {"MetricsNamespace": "Mine"}):
        written = stack(**given).variables("CleanupFunction")["METRICS_NAMESPACE"]
        for metrics in (of_alarms, of_dashboard):
            watched = {namespace for namespace, _, _ in metrics(**given) if not namespace.startswith("AWS/")}
            assert watched == {written}


def test_dashboard_outcomes_match_document():
    line = next(it for it in (ROOT / "docs/reference/metrics.md").read_text().splitlines() if "`Validations`" in it)
    assert set(re.findall(r"`(\w+)`", line.split("Outcomes:")[1])) == OUTCOMES
    shown = {it["Outcome"] for _, name, it in of_dashboard() if name == "Validations"}
    assert shown == OUTCOMES


# Alarm: metric, statistic, period, datapoints to alarm, comparison, threshold, treatment of missing data.
EXPECTED = {
    "CleanupFailed": ("Errors", "Sum", 300, (1, 1), ">", 0, "notBreaching"),
    "CleanupMissing": ("CleanupOverdue", "Maximum", 1800, (1, 1), ">", 0, "missing"),
    "CleanupIncomplete": ("IncompleteRuns", "Maximum", 1800, (1, 1), ">=", 3, "ignore"),
    "CleanupGivenUp": ("ApproximateNumberOfMessagesVisible", "Maximum", 300, (1, 1), ">", 0, "ignore"),
    "AuthorizerErrors": (None, "Sum", 300, (2, 3), ">", 0, "notBreaching"),
    "AuthorizerRefusals": (None, "Sum", 300, (3, 3), ">", 25, "notBreaching"),
    "AuthorizerSlow": ("Duration", "p99", 300, (3, 3), ">", 1000, "notBreaching"),
    "TableThrottled": (None, "Sum", 300, (3, 3), ">", 0, "notBreaching"),
    "TooManySessions": (None, "Maximum", 3600, (1, 1), ">", "5000", "ignore"),
    "MalformedRecords": (None, "Maximum", 3600, (1, 1), ">", 0, "ignore"),
    "RecordsNotWritten": ("RunsWithFailures", "Maximum", 1800, (1, 1), ">=", 3, "ignore"),
    "ApiErrors": ("5XXError", "Sum", 300, (2, 3), ">", 0, "notBreaching"),
}
COMPARISONS = {">": "GreaterThanThreshold", ">=": "GreaterThanOrEqualToThreshold"}


def test_each_alarm_has_expected_metric_and_threshold():
    found = alarms(**EVERYTHING)
    assert set(found) == set(EXPECTED)
    for name, (metric, statistic, period, (needed, of), comparison, threshold, missing) in EXPECTED.items():
        alarm = found[name]
        parts = [it["MetricStat"] for it in alarm.get("Metrics", []) if "MetricStat" in it]
        assert alarm.get("MetricName") == metric, name
        if parts:
            assert {(it["Stat"], it["Period"]) for it in parts} == {(statistic, period)}, name
        else:
            assert alarm.get("Statistic", alarm.get("ExtendedStatistic")) == statistic, name
            assert alarm["Period"] == period, name
        assert alarm["EvaluationPeriods"] == of, name
        assert alarm.get("DatapointsToAlarm", of) == needed, name
        assert alarm["ComparisonOperator"] == COMPARISONS[comparison], name
        assert alarm["Threshold"] == threshold, name
        assert alarm["TreatMissingData"] == missing, name
        assert len(alarm["AlarmDescription"]) > 80, f"the description of {name} does not say what to do"
        assert alarm["AlarmName"].startswith("session-cleanup-")
    # Each metric belongs to the right function.
    for name, function in {
        "CleanupFailed": "CleanupFunction",
        "AuthorizerSlow": "AuthorizerFunction",
    }.items():
        assert found[name]["Dimensions"] == [{"Name": "FunctionName", "Value": function}]


def test_metric_math_uses_every_metric_and_returns_one_value():
    expected = {
        "AuthorizerErrors": "FILL(errors, 0) + FILL(throttles, 0)",
        "AuthorizerRefusals": "IF(requests >= 20, 100 * (FILL(invalid, 0) + FILL(undecided, 0)) / requests, 0)",
        "TableThrottled": "FILL(tableReads, 0) + FILL(tableWrites, 0) + FILL(indexReads, 0) + FILL(indexWrites, 0)"
        " + 0 * MINUTE(runs)",
        "TooManySessions": "active - expired",
        "MalformedRecords": "MAX([stored, bySchedule, byHand, byApi])",
    }
    found = {name: it["Metrics"] for name, it in alarms(**EVERYTHING).items() if "Metrics" in it}
    assert set(found) == set(expected)
    for name, metrics in found.items():
        returned = [it for it in metrics if it.get("ReturnData", True)]
        assert [it["Expression"] for it in returned] == [expected[name]]
        used = set(re.findall(r"[a-z]\w*", expected[name]))
        assert used == {it["Id"] for it in metrics if "MetricStat" in it}

    def parts(name):
        return [it["MetricStat"]["Metric"] for it in found[name] if "MetricStat" in it]

    of_the_authorizer = [{"Name": "FunctionName", "Value": "AuthorizerFunction"}]
    assert [(it["MetricName"], it["Dimensions"]) for it in parts("AuthorizerErrors")] == [
        ("Errors", of_the_authorizer),
        ("Throttles", of_the_authorizer),
    ]
    stored, *met = parts("MalformedRecords")
    assert (stored["MetricName"], stored.get("Dimensions")) == ("MalformedRecords", None)
    assert {it["MetricName"] for it in met} == {"Malformed"}
    assert {it["Dimensions"][0]["Value"] for it in met} == VALUES["Trigger"]
    *throttles, runs = parts("TableThrottled")
    throttled = {(it["MetricName"], len(it["Dimensions"])) for it in throttles}
    assert throttled == {(f"{kind}ThrottleEvents", count) for kind in ("Read", "Write") for count in (1, 2)}
    assert (runs["MetricName"], runs["Dimensions"][0]["Value"]) == ("Invocations", "StatsFunction")


class Series(dict):
    """A time series: values by the number of their period. In arithmetic, a missing value is 0 if the other series has one."""

    def __add__(self, other):
        return Series({at: self.get(at, 0) + other.get(at, 0) for at in self.keys() | other.keys()})

    def __sub__(self, other):
        return Series({at: self.get(at, 0) - other.get(at, 0) for at in self.keys() | other.keys()})

    def __rmul__(self, factor):
        return Series({at: factor * it for at, it in self.items()})

    def __truediv__(self, other):
        return Series({at: self[at] / other[at] for at in self.keys() & other.keys() if other[at]})

    def __ge__(self, least):
        return Series({at: it >= least for at, it in self.items()})


def functions(periods, as_documented):
    """The metric math functions over `periods` periods: as AWS documents them, or with the gaps that the documents allow."""

    def fill(series, value):
        filled = range(periods) if as_documented or series else ()
        return Series({at: series.get(at, value) for at in filled})

    def minute(series):
        return Series.fromkeys(range(periods) if as_documented else series, 0)

    def choose(condition, series, otherwise):
        return Series({at: series.get(at, otherwise) if holds else otherwise for at, holds in condition.items()})

    def largest(all_series):
        return Series({at: max(it[at] for it in all_series if at in it) for at in set().union(*all_series)})

    return {"FILL": fill, "MINUTE": minute, "IF": choose, "MAX": largest}


def evaluate(alarm, metrics, periods, as_documented):
    """The alarm's series over `periods` periods, computed from the metrics that have data."""
    if "Metrics" not in alarm:
        return metrics[alarm["MetricName"]]
    named = {
        it["Id"]: metrics[it["MetricStat"]["Metric"]["MetricName"]] for it in alarm["Metrics"] if "MetricStat" in it
    }
    (expression,) = [it["Expression"] for it in alarm["Metrics"] if "Expression" in it]
    return eval(expression, functions(periods, as_documented) | named)


def next_state(alarm, series, state, periods):
    """The alarm's next state, as in AWS's page "How alarm state is evaluated when data is missing", for five periods."""
    metrics = [it["MetricStat"]["Metric"] for it in alarm.get("Metrics", []) if "MetricStat" in it] or [alarm]
    of_dynamodb = any(it["Namespace"] == "AWS/DynamoDB" for it in metrics)
    missing = "ignore" if of_dynamodb else alarm["TreatMissingData"]
    count = alarm["EvaluationPeriods"]
    found = [series[at] for at in range(periods) if at in series][-count:]
    threshold = float(alarm["Threshold"])
    equal_too = alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    breaching = [it > threshold or (equal_too and it == threshold) for it in found]
    if missing == "ignore" and len(found) < count and all(breaching):
        return state
    if missing == "missing" and not found:
        return "INSUFFICIENT_DATA"
    filled = sum(breaching) + (count - len(found)) * (missing == "breaching")
    return "ALARM" if filled >= alarm.get("DatapointsToAlarm", count) else "OK"


# Alarms that stay in ALARM without data, on purpose: the comment at their TreatMissingData says why.
STAY_ON = {"CleanupGivenUp", "CleanupIncomplete", "MalformedRecords", "RecordsNotWritten", "TooManySessions"}
# Alarms for which missing data is a fault: they report INSUFFICIENT_DATA.
REPORTS_MISSING_DATA = {"CleanupMissing"}


@pytest.mark.parametrize("as_documented", [True, False])
@pytest.mark.parametrize("name", EXPECTED)
def test_alarm_reaches_expected_state_without_new_data(name, as_documented):
    """Only the check of the schedule still runs, once in the twelve periods of an hour."""
    alarm = alarms(**EVERYTHING)[name]
    names = {it["MetricStat"]["Metric"]["MetricName"] for it in alarm.get("Metrics", []) if "MetricStat" in it}
    state, periods = "ALARM", 5
    for now in range(12):
        # The evaluation range moves over an hour in which only the last period has an invocation.
        invoked = Series({11 - now: 1}) if 0 <= 11 - now < periods else Series()
        metrics = {it: invoked if it == "Invocations" else Series() for it in names or {alarm["MetricName"]}}
        state = next_state(alarm, evaluate(alarm, metrics, periods, as_documented), state, periods)
    expected = "INSUFFICIENT_DATA" if name in REPORTS_MISSING_DATA else "ALARM" if name in STAY_ON else "OK"
    assert state == expected


def test_wrong_key_raises_alarm_and_few_invalid_tokens_do_not():
    alarm = alarms(**EVERYTHING)["AuthorizerRefusals"]

    def state(requests, invalid):
        """The state after 25 minutes with these requests and invalid tokens in each five minutes."""
        metrics = {"Invocations": Series.fromkeys(range(5), requests)}
        named = {"invalid": Series.fromkeys(range(5), invalid) if invalid else Series(), "undecided": Series()}
        named |= {"requests": metrics["Invocations"]}
        (expression,) = [it["Expression"] for it in alarm["Metrics"] if "Expression" in it]
        return next_state(alarm, eval(expression, functions(5, True) | named), "OK", 5)

    assert state(requests=1000, invalid=1000) == "ALARM"
    assert state(requests=1000, invalid=251) == "ALARM"
    assert state(requests=1000, invalid=250) == "OK"
    assert state(requests=20, invalid=20) == "ALARM"
    assert state(requests=19, invalid=19) == "OK"
    assert state(requests=1000, invalid=0) == "OK"


def test_missing_watch_data_notifies_receiver_of_alarm():
    for name, alarm in alarms(**EVERYTHING).items():
        expected = alarm["AlarmActions"] if name in REPORTS_MISSING_DATA else None
        assert alarm.get("InsufficientDataActions") == expected, name


def test_every_alarm_notifies_address_at_start_and_end():
    made = stack(**EVERYTHING).nested("Alarms")
    assert made.of_type("AWS::SNS::Topic") == {"Topic": {}}
    assert made.of_type("AWS::SNS::Subscription") == {
        "Email": {"TopicArn": "Topic", "Protocol": "email", "Endpoint": "ops@example.com"}
    }
    for name, alarm in alarms(**EVERYTHING).items():
        assert alarm["AlarmActions"] == ["Topic"], name
        assert alarm["OKActions"] == ["Topic"], name
    assert made.outputs["TopicArn"]["Value"] == "Topic"


def test_given_topic_replaces_topic_of_stack():
    own = "arn:aws:sns:eu-central-1:123456789012:alarms"
    made = stack(AlarmTopicArn=own)
    nested = made.nested("Alarms")
    assert not nested.of_type("AWS::SNS::Topic") and not nested.of_type("AWS::SNS::Subscription")
    for name, alarm in alarms(AlarmTopicArn=own).items():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [own], name
    assert nested.outputs["TopicArn"]["Value"] == own
    assert made.outputs["AlarmTopicArn"]["Value"] == "Alarms.Outputs.TopicArn"


def test_alarms_without_address_have_no_actions():
    made = stack().nested("Alarms")
    assert set(made.of_type("AWS::CloudWatch::Alarm")) == set(EXPECTED) - {"TooManySessions"}
    assert not made.of_type("AWS::SNS::Topic") and not made.of_type("AWS::SNS::Subscription")
    assert not any("AlarmActions" in it or "OKActions" in it for it in alarms().values())
    assert "TopicArn" not in made.outputs
    assert "AlarmTopicArn" not in stack().outputs


def test_dashboard_shows_every_alarm():
    for given in ({}, EVERYTHING):
        (widget,) = [it for it in dashboard(**given)["widgets"] if it["type"] == "alarm"]
        shown = widget["properties"]["alarms"]
        assert sorted(shown) == sorted(f"{name}.Arn" for name in alarms(**given))


def test_dashboard_lists_last_reports_by_logged_fields():
    (widget,) = [it for it in dashboard()["widgets"] if it["type"] == "log"]
    query = widget["properties"]["query"]
    assert query.startswith("SOURCE 'CleanupLogs' | SOURCE 'ForceCleanupLogs' | fields ")
    assert "filter message = 'cleanup ended'" in query
    source = "".join(it.read_text() for it in (ROOT / "shared/functions/src/clean_up").glob("*.rs"))
    before, _ = source.split('"cleanup ended"')
    logged = before[before.rindex("fn log(") :]
    # The line contains all counts, which are listed in one place.
    assert "with_counts!" in source
    counts = (ROOT / "shared/domain/src/report.rs").read_text().split("macro_rules! with_counts")[1].split("\n}\n")[0]
    logged += " ".join(re.findall(r"(\w+) => \w+(?: by \w+)?,", counts))
    for field in re.search(r"fields ([^|]+) \|", query)[1].split(", "):
        assert re.search(rf"\b{field}\b", logged), field


def test_dashboard_widgets_have_titles_and_do_not_overlap():
    taken = set()
    for widget in dashboard()["widgets"]:
        assert widget["properties"]["title"]
        assert widget["x"] + widget["width"] <= 24
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not taken & cells, widget["properties"]["title"]
        taken |= cells


def test_dashboard_expressions_use_existing_metrics():
    for widget in dashboard()["widgets"]:
        options = [it[-1] for it in widget["properties"].get("metrics", [])]
        ids = {it["id"] for it in options if "id" in it}
        for expression in (it["expression"] for it in options if "expression" in it):
            used = set(re.findall(r"\b[a-z]\w*", expression))
            assert used and used <= ids, expression


def test_cost_uses_list_price_of_table_and_index_units():
    (widget,) = [it for it in dashboard()["widgets"] if "cost?" in it["properties"]["title"]]
    assert "list price" in widget["properties"]["title"]
    expressions = [it[0]["expression"] for it in widget["properties"]["metrics"] if "expression" in it[0]]
    assert expressions == [
        "(FILL(tableWrites, 0) + FILL(indexWrites, 0)) * 0.625 / 1000000",
        "(FILL(tableReads, 0) + FILL(indexReads, 0)) * 0.125 / 1000000",
    ]
