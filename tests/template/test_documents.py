"""The documents: the target of each link and path exists, and README and glossary stay short."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A code block contains neither headings nor links.
FENCE = re.compile(r"^( *)```.*?^\1```", re.M | re.S)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
# A path may be a pattern of several.
PATTERN = re.compile(r"[*{<…]")


def documents():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(it for it in listed.stdout.split("\0") if it and (ROOT / it).exists())


def prose(path):
    return FENCE.sub("", path.read_text())


def anchors(path):
    """The anchors that GitHub creates for headings: a repeated heading gets a number."""
    found, seen = set(), {}
    for heading in re.findall(r"^#+ (.*)", prose(path), re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        found.add(f"{anchor}-{count}" if count else anchor)
    return found


@pytest.mark.parametrize("document", documents())
def test_every_link_has_a_target(document):
    path = ROOT / document
    wrong = []
    for link in (it[0] or it[1] for it in LINK.findall(prose(path))):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        place = path.parent / target if target else path
        if not place.exists():
            wrong.append(link)
        elif anchor and place.suffix == ".md" and anchor not in anchors(place):
            wrong.append(link)
    assert wrong == []


def test_finds_links_of_documents():
    assert sum(len(LINK.findall(prose(ROOT / it))) for it in documents()) > 200


def test_every_document_that_a_file_mentions_exists():
    """In sources, templates and scripts, `docs/…` names a document of this repository."""
    named = subprocess.run(
        ["git", "grep", "-hoE", "--untracked", r"\bdocs/[A-Za-z0-9_./*{},-]*[A-Za-z0-9}]", "--", ".", ":!tests/template/test_documents.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    # Ignore folders that tools create.
    named = {it for it in named if "node_modules" not in it and not PATTERN.search(it)}
    assert len(named) > 10
    assert sorted(it for it in named if not (ROOT / it).exists()) == []


def test_every_path_of_code_map_exists():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    section = text.split("\n## Code map\n")[1].split("\n## ")[0]
    rows = [it.split("|")[1] for it in section.splitlines() if it.startswith("| `")]
    paths = [it for row in rows for it in re.findall(r"`([^`]+)`", row)]
    assert len(paths) > 15
    assert [it for it in paths if not (ROOT / it).exists()] == []


def test_every_path_of_contribution_guide_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.split("\n## Where things go\n")[1].split("\n## ")[0]
    paths = [it for it in re.findall(r"`([^`]+)`", section) if "/" in it and not PATTERN.search(it)]
    assert len(paths) > 15
    assert [it for it in paths if not (ROOT / it).exists()] == []


def test_readme_fits_on_two_screens():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    assert [it for it in lines if len(it) > 120] == []


def test_glossary_has_at_most_40_words():
    rows = [it for it in (ROOT / "docs/development/glossary.md").read_text().splitlines() if it.startswith("| ")]
    words = [it.split("|")[1].strip() for it in rows[2:]]
    assert 0 < len(words) <= 40
    assert len(set(words)) == len(words)


def test_table_of_identity_providers_is_that_of_the_tests():
    """The settings that the document shows are those with which the tests accept each provider's token."""
    text = (ROOT / "docs/setup/identity-providers.md").read_text()
    table = text.split("\n| provider | settings |")[1].split("\n\n")[0].splitlines()[2:]
    documented = {}
    for row in table:
        name, settings = [it.strip() for it in row.split("|")[1:3]]
        documented[name] = [it.strip("`") for it in settings.split("<br>")] if settings != "none" else []
    tested = {}
    for provider in json.loads((ROOT / "tests/vectors/identity_providers.json").read_text()):
        settings = {k: v for k, v in provider["settings"].items() if k not in ("JWT_ISSUER", "JWT_AUDIENCE")}
        tested[provider["name"]] = [f"{name}={value}" for name, value in sorted(settings.items())]
    assert documented == tested
    assert list(documented) == list(tested)


def test_providers_with_time_of_authentication_are_those_of_the_tests():
    text = (ROOT / "docs/setup/identity-providers.md").read_text()
    sentence = text.split("these have one: ")[1].split(".")[0]
    providers = json.loads((ROOT / "tests/vectors/identity_providers.json").read_text())
    tested = [it["name"] for it in providers if it.get("auth_time") is not None]
    assert " ".join(sentence.split()) == ", ".join(tested)
