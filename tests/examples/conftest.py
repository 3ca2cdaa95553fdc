import contextlib
import functools

import pytest
from library import START
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


@pytest.fixture(scope="module", params=LANGUAGES)
def library(request, writers):
    return writers(request.param)


@pytest.fixture(scope="module")
def library_driver(library, shared_stack):
    with library.calls(shared_stack) as call:
        yield call


@pytest.fixture
def library_call(library_driver, stack):
    """Calls the library's functions with the table of `stack`, at START."""
    library_driver("grace", 30)
    library_driver("at", START)
    return library_driver


@pytest.fixture
def calls(writers, shared_stack, stack):
    """Calls the functions of each language, with the same table, at START."""
    with contextlib.ExitStack() as stop:
        calls = {}
        for language in LANGUAGES:
            with contextlib.suppress(pytest.skip.Exception):
                calls[language] = stop.enter_context(writers(language).calls(shared_stack))
        for call in calls.values():
            call("at", START)
        yield calls


def pytest_terminal_summary(terminalreporter):
    for line in NOT_RUN:
        terminalreporter.write_line(line)
