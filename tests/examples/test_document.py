"""docs/setup/login-service.md: its program, its claims, its links and its policy."""

import json
import os
import re
import subprocess
import sys

import pytest
from local import DOCS, claims
from local_stack import ROOT

DOCUMENT = (DOCS / "setup/login-service.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.S)


def check_records(stack, folder):
    """Runs the document's program in a folder with the schema, as a reader does, and returns its output."""
    (program,) = (it for it in blocks("python") if "records.schema.json" in it)
    (folder / "records.schema.json").write_text((DOCS / "reference/records.schema.json").read_text())
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=os.environ | stack.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_record_checker_reports_invalid_records(stack, tmp_path):
    stack.clean_up(dry_run=True)
    assert check_records(stack, tmp_path) == ""
    (pk, sk), item = next(iter(stack.callers.items()))
    stack.table.put_item(Item=item | {"expires_at": item["expires_at"] * 1000})
    assert re.fullmatch(rf"{pk} {re.escape(sk)} \$\.expires_at .* maximum of .*\n", check_records(stack, tmp_path))


def test_documented_claims_match_tokens_of_stack(stack):
    (text,) = blocks("json")
    # The stack's own tokens have no `iat`.
    documented, actual = json.loads(text), claims(stack.reader) | {"iat": 0}
    assert {name: type(it) for name, it in documented.items()} == {name: type(it) for name, it in actual.items()}


def test_documented_commands_are_those_of_packages():
    install = next(it for it in blocks("sh") if "pip install" in it)
    for language in ("python", "node", "go"):
        readme = (DOCS / "examples" / language / "README.md").read_text()
        for command in re.search(r"```sh\n(.*?)```", readme, re.S)[1].strip().splitlines():
            assert command in install


@pytest.mark.parametrize(
    "document",
    ["setup/login-service.md", "setup/first-token.md", *(f"examples/{it}/README.md" for it in ("python", "node", "go"))],
)
def test_every_link_has_a_target(document):
    links = re.findall(r"\]\(([^)\s]+)\)", (DOCS / document).read_text())
    assert len(links) >= 3
    for link in links:
        path, _, anchor = link.partition("#")
        if link.startswith("https://"):
            continue
        target = (DOCS / document).parent / path if path else DOCS / document
        if not target.resolve().is_relative_to(DOCS.resolve()):
            # DOCS may be a copy.
            target = (ROOT / "docs" / document).parent / path
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)", target.read_text(), re.M)
            assert anchor in [re.sub(r"[^\w -]", "", it).lower().replace(" ", "-") for it in headings], link


def test_documented_actions_match_policy():
    policy = (ROOT / "infra/examples/application-policy.yaml").read_text()
    assert set(re.findall(r"dynamodb:\w+", DOCUMENT)) == set(re.findall(r"dynamodb:(?!LeadingKeys)\w+", policy))


def test_lock_file_names_no_registry():
    lock = (DOCS / "examples/node/package-lock.json").read_text()
    assert "://" not in lock
    assert '"resolved"' not in lock
    assert set(json.loads((DOCS / "examples/node/package.json").read_text())["devDependencies"].values()) == {
        json.loads(lock)["packages"][f"node_modules/@aws-sdk/{name}"]["version"] for name in ("client-dynamodb", "lib-dynamodb")
    }
