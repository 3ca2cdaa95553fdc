import pytest
from local import table_and_api
from writers import LANGUAGES, NOT_RUN


@pytest.fixture(scope="session", params=LANGUAGES)
def writer(request, tmp_path_factory):
    """An example, ready to run."""
    return LANGUAGES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def one_stack():
    with table_and_api("--empty") as stack:
        yield stack


@pytest.fixture
def stack(one_stack):
    """The local stack, with no records but the sessions of those who may call its API."""
    one_stack.begin_again()
    return one_stack


@pytest.fixture(scope="session")
def driver(writer, one_stack):
    with writer.calls(one_stack) as call:
        yield call


@pytest.fixture
def call(driver, stack):
    """Calls the example's functions, on the table of `stack`."""
    driver("at", None)
    return driver


def pytest_terminal_summary(terminalreporter):
    for line in NOT_RUN:
        terminalreporter.write_line(line)
