"""The pytest plugin and the contract suite, as the tests of a service use them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

import coord
from coord.testing.contract import BackendContract

pytest_plugins = ("pytester",)

NUMBERS = count(1)
CONFTEST = 'pytest_plugins = ["coord.testing.plugin"]'
TESTS = """
import asyncio

import coord
import pytest

@pytest.mark.parametrize("n", [1, 2])
def test_tests_are_apart(coord_any, n):
    assert coord_any.once("mail")

def test_kinds(coord_memory, coord_server):
    assert not coord_memory.is_distributed
    assert coord_server.is_distributed
    assert coord_server.once("mail")

def test_awaited(coord_url):
    async def use():
        async with coord.connect_async(coord_url) as ac:
            assert await ac.once("mail")
    asyncio.run(use())
"""


class TestMemory(BackendContract):
    """coord's own backend keeps the contract that it asks of others."""

    @pytest.fixture
    def c(self) -> Iterator[coord.Coordinator]:
        with coord.connect(f"memory://contract-{next(NUMBERS)}") as c:
            yield c


def _run(pytester: pytest.Pytester, tests: str, *args: str) -> pytest.RunResult:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(tests)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q", *args)


@pytest.mark.slow
def test_each_test_has_an_empty_backend(pytester: pytest.Pytester) -> None:
    ran = _run(pytester, TESTS, "--coord-engines=memory,redis-8.2")
    ran.assert_outcomes(passed=7)


@pytest.mark.slow
def test_a_cluster(pytester: pytest.Pytester) -> None:
    test = "def test_it(coord_cluster):\n    assert all(coord_cluster.once(name) for name in 'abcdef')"
    _run(pytester, test, "--coord-engines=redis-8.2").assert_outcomes(passed=1)


@pytest.mark.slow
def test_an_engine_that_is_missing_is_named(pytester: pytest.Pytester) -> None:
    ran = _run(pytester, TESTS, "--coord-engines=redis-1.0")
    assert ran.ret != 0
    ran.stdout.fnmatch_lines(["*redis-1.0 is not installed; there are memory,*"])


@pytest.mark.slow
def test_without_servers_a_test_fails_and_says_why(pytester: pytest.Pytester) -> None:
    ran = _run(pytester, "def test_it(coord_server):\n    pass", "--coord-engines=memory")
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(["*no server program was found: install coord[[]servers[]]*"])


@pytest.mark.slow
def test_a_contract_without_a_backend_says_what_it_needs(pytester: pytest.Pytester) -> None:
    test = "from coord.testing.contract import BackendContract\nclass TestMine(BackendContract):\n    pass"
    ran = _run(pytester, test)
    ran.stdout.fnmatch_lines(["*TestMine needs a fixture c*"])
