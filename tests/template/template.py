"""Evaluates the templates as CloudFormation does: applies transforms and inserts parameters."""

import copy
import functools
import os
import re
from pathlib import Path

from samcli.yamlhelper import yaml_parse
from samtranslator.internal.managed_policies import get_bundled_managed_policy_map
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

ROOT = Path(__file__).resolve().parents[2]
# Use the template.yaml and infra/ of another folder to see a test fail: `TEMPLATES=target/broken pytest tests/template`.
TEMPLATES = Path(os.environ.get("TEMPLATES", ROOT))
CODE = "s3://code/function.zip"
FUNCTIONS = ["AuthorizerFunction", "StatsFunction", "ForceCleanupFunction", "SessionsFunction", "CleanupFunction"]
# The parameters without a default.
REQUIRED = {"JwtAlgorithm": "HS256", "JwtSecret": "s" * 32, "JwtIssuer": "issuer", "JwtAudience": "api"}
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackName": "session-cleanup",
    "AWS::URLSuffix": "amazonaws.com",
}
NOTHING = {"Ref": "AWS::NoValue"}

# The translator needs a region, and no credentials.
os.environ.setdefault("AWS_DEFAULT_REGION", PSEUDO["AWS::Region"])


def read(path="template.yaml"):
    """A template as written, with intrinsic functions in their long form."""
    return yaml_parse((TEMPLATES / path).read_text())


def values_of(template, given):
    """The values of all parameters as text: the given ones and the defaults."""
    parameters = template["Parameters"]
    unknown = set(given) - set(parameters)
    assert not unknown, f"there are no parameters {unknown}"
    values = {name: str(it["Default"]) for name, it in parameters.items() if "Default" in it}
    return values | {name: str(value) for name, value in given.items()}


def translate(values):
    """The processed template of the stack: template.yaml after SAM's transform."""
    template = read()
    template["Globals"]["Function"]["CodeUri"] = CODE
    policies = get_bundled_managed_policy_map("aws")
    return Translator(policies, Parser()).translate(copy.deepcopy(template), values)


class Resolver:
    """Resolves parameters and conditions. Values that only AWS knows become text, such as `SessionsTable.Arn`."""

    def __init__(self, template, values):
        self.conditions = template.get("Conditions", {})
        self.values = values | PSEUDO

    def holds(self, name):
        return self.truth(self.conditions[name])

    def truth(self, condition):
        if isinstance(condition, (bool, str)):
            return str(condition).lower() == "true"
        ((function, argument),) = condition.items()
        match function:
            case "Condition":
                return self.holds(argument)
            case "Fn::Equals":
                # The value of a parameter is text, even for a number: 0 is not '0'.
                one, other = (self.resolve(it) for it in argument)
                return one == other
            case "Fn::Not":
                return not self.truth(argument[0])
            case "Fn::And":
                return all(self.truth(it) for it in argument)
            case "Fn::Or":
                return any(self.truth(it) for it in argument)
            case "Fn::Contains":
                return self.resolve(argument[1]) in argument[0]
        raise NotImplementedError(function)

    def name(self, name):
        return self.values.get(name, name)

    def resolve(self, value):
        if isinstance(value, list):
            items = [self.resolve(it) for it in value]
            return [it for it in items if it != NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            match function:
                case "Ref":
                    return NOTHING if argument == "AWS::NoValue" else self.name(argument)
                case "Fn::GetAtt":
                    return self.name(argument if isinstance(argument, str) else ".".join(argument))
                case "Fn::If":
                    name, then, otherwise = argument
                    return self.resolve(then if self.holds(name) else otherwise)
                case "Fn::Sub":
                    text, extra = (argument, {}) if isinstance(argument, str) else argument
                    extra = {name: self.resolve(it) for name, it in extra.items()}
                    return re.sub(r"\$\{([^!}]+)\}", lambda it: str(extra.get(it[1], self.name(it[1]))), text)
                case "Fn::Join":
                    separator, parts = argument
                    return separator.join(str(it) for it in self.resolve(parts))
        fields = {name: self.resolve(it) for name, it in value.items()}
        return {name: it for name, it in fields.items() if it != NOTHING}


class Stack:
    """The resources and outputs of a template with given parameters."""

    def __init__(self, template, values):
        resolver = Resolver(template, values)

        def made(section):
            return {
                name: resolver.resolve({key: it for key, it in entry.items() if key != "Condition"})
                for name, entry in template.get(section, {}).items()
                if "Condition" not in entry or resolver.holds(entry["Condition"])
            }

        self.resources = made("Resources")
        self.outputs = made("Outputs")

    def of_type(self, kind):
        """The properties of all resources of a type, by name."""
        return {
            name: it.get("Properties", {}) for name, it in self.resources.items() if it["Type"] == kind
        }

    def properties(self, name):
        return self.resources[name].get("Properties", {})

    def variables(self, function):
        return self.properties(function)["Environment"]["Variables"]

    def api(self):
        """The API's OpenAPI definition."""
        (api,) = self.of_type("AWS::ApiGateway::RestApi").values()
        return api["Body"]

    def stage(self):
        (stage,) = self.of_type("AWS::ApiGateway::Stage").values()
        return stage

    def nested(self, name):
        """A nested stack, with the parameters that this stack passes to it."""
        properties = self.properties(name)
        template = read(properties["TemplateURL"])
        values = values_of(template, properties["Parameters"])
        missing = set(template["Parameters"]) - set(values)
        assert not missing, f"{name} does not get the parameters {missing}"
        return Stack(template, values)


@functools.cache
def made_of(given):
    values = values_of(read(), REQUIRED | dict(given))
    return Stack(translate(values), values)


def stack(**given):
    """The stack with these parameters and defaults for all others. It is cached: do not modify it."""
    return made_of(tuple(sorted(given.items())))
