"""`sam build` compiles only the deployed functions, with only the features that they need."""

import json
import subprocess

from template import FUNCTIONS, ROOT, read

# Features that a Lambda function does not need. The tests and the local stack enable them in the same crates.
NOT_DEPLOYED = {
    "hyper": {"server"},
    "tokio": {"full", "io-std", "parking_lot", "process", "signal", "test-util"},
    "tower": {"log", "make"},
    "uuid": {"sha1", "v5", "v7"},
}


def cargo(*arguments):
    command = ["cargo", *arguments, "--locked"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_default_workspace_members_are_the_functions():
    metadata = json.loads(cargo("metadata", "--no-deps", "--format-version", "1"))
    names = {it["id"]: it["name"] for it in metadata["packages"]}
    binaries = {read()["Resources"][it]["Metadata"]["BuildProperties"]["Binary"] for it in FUNCTIONS}
    assert {names[it] for it in metadata["workspace_default_members"]} == binaries


def test_functions_build_from_root_without_package_selection():
    """The SAM CLI passes `--bin` to cargo, but no option that selects a package."""
    template = read()
    assert template["Globals"]["Function"]["CodeUri"] == "."
    for function in FUNCTIONS:
        metadata = template["Resources"][function]["Metadata"]
        assert metadata["BuildMethod"] == "rust-cargolambda"
        assert set(metadata["BuildProperties"]) == {"Binary"}


def test_functions_have_no_features_of_tests_or_local_stack():
    tree = cargo("tree", "--edges", "normal", "--prefix", "none", "--format", "{p}|{f}")
    features = {}
    for line in filter(None, tree.splitlines()):
        package, enabled = line.removesuffix(" (*)").split("|")
        features.setdefault(package.split(" ")[0], set()).update(enabled.split(","))
    for crate, unwanted in NOT_DEPLOYED.items():
        assert not features[crate] & unwanted, crate
    assert {"dynoxide-rs", "session-cleanup-tests", "session-cleanup-local"}.isdisjoint(features)
