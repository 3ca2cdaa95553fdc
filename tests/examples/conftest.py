import functools

import pytest
from local import table_and_api
from writers import EXAMPLES, LANGUAGES, NOT_RUN


@pytest.fixture(scope="session")
def writers(tmp_path_factory):
    """Prepares a library so that it can run, once for all tests."""
    return functools.cache(lambda language: LANGUAGES[language](tmp_path_factory.mktemp(language)))


@pytest.fixture(scope="session", params=EXAMPLES)
def writer(request, writers):
    return writers(request.param)


@pytest.fixture(scope="session")
def shared_stack():
    with table_and_api("--empty") as stack:
        yield stack


@pytest.fixture
def stack(shared_stack):
    """The local stack. Its table contains only the sessions of its two API callers."""
    shared_stack.reset()
    return shared_stack


@pytest.fixture(scope="session")
def driver(writer, shared_stack):
    with writer.calls(shared_stack) as call:
        yield call


@pytest.fixture
def call(driver, stack):
    """Calls the example's functions with the table of `stack`."""
    driver("at", None)
    return driver


def pytest_terminal_summary(terminalreporter):
    for line in NOT_RUN:
        terminalreporter.write_line(line)
