"""docs/topics/asvs.md has each requirement of OWASP ASVS 5.0 V7, and the tests that it names exist.

test_documents.py checks its links.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = {"rs": ROOT / "tests/tests/integration", "py": ROOT / "tests"}
# Level of each requirement.
REQUIREMENTS = {
    "7.1.1": 2, "7.1.2": 2, "7.1.3": 2,
    "7.2.1": 1, "7.2.2": 1, "7.2.3": 1, "7.2.4": 1,
    "7.3.1": 2, "7.3.2": 2,
    "7.4.1": 1, "7.4.2": 1, "7.4.3": 2, "7.4.4": 2, "7.4.5": 2,
    "7.5.1": 2, "7.5.2": 2, "7.5.3": 3,
    "7.6.1": 2, "7.6.2": 2,
}  # fmt: skip
LINK = re.compile(r"\]\([^)]+\)")
NAMED = re.compile(r"`([\w/]+\.(rs|py))::(\w+)`")
DEFINED = {
    "rs": r"#\[(?:tokio::)?test(?:\([^]]*\))?\]\n(?:\s*#\[.*\n)*\s*(?:async )?fn (\w+)\(",
    "py": r"^def (test_\w+)\(",
}


def rows():
    text = (ROOT / "docs/topics/asvs.md").read_text()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| 7.")]


def named_tests():
    return sorted({(file, kind, name) for row in rows() for file, kind, name in NAMED.findall(" ".join(row))})


def test_document_has_each_requirement_once_with_its_level():
    assert [(row[0], int(row[1])) for row in rows()] == list(REQUIREMENTS.items())


def test_each_row_says_who_does_what():
    for number, _, requirement, status, answer, part in rows():
        assert requirement, number
        assert status in ("met", "partly", "yours"), number
        assert part or status == "met", f"{number}: your part is missing"
        assert NAMED.search(answer) or LINK.search(answer), f"{number}: neither a test nor a document"
        assert NAMED.search(answer) or status != "met", f"{number}: no test shows that it is met"


@pytest.mark.parametrize(("file", "kind", "name"), named_tests())
def test_each_named_test_exists(file, kind, name):
    source = TESTS[kind] / file
    assert source.exists()
    assert name in re.findall(DEFINED[kind], source.read_text(), re.M)


def test_finds_named_tests():
    assert len(named_tests()) > 20
    # Whatever looks like the name of a test is one.
    text = " ".join(cell for row in rows() for cell in row)
    assert len(re.findall(r"\w+::\w+`", text)) - text.count("`SessionId::random`") == len(NAMED.findall(text))
