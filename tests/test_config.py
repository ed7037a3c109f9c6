"""From a settings file to a coordinator: every key, every mistake, and the coordinator of the process."""

from __future__ import annotations

import asyncio
import sys
import threading
from importlib.metadata import EntryPoint, EntryPoints
from inspect import signature
from types import ModuleType
from typing import Any

import pytest
from backends import found

import coord
from coord import config, connecting
from coord.clock import SystemClock
from coord.coordinator import runner_of
from coord.testing.servers import Server


class Recorded(coord.Coordinator):
    """A user's backend; it keeps what it was configured with."""

    config: dict[str, Any]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Recorded:
        made = cls(runner_of(coord.connect("memory://recorded")))
        made.config = config
        return made


class OnlyCalls:
    """A backend that makes calls, and leaves the operations to coord."""

    distributed, remember_ms, publish = False, 0, "PUBLISH"

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return runner_of(coord.connect("memory://only-calls"))


class WithoutFromConfig:
    """A class that cannot be configured."""


class Forgetful:
    """A class whose from_config forgets to return."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> None:
        return None


NOT_A_CLASS = "text"


@pytest.fixture(autouse=True)
def backends_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes above, in a module that can be imported by its path."""
    module = ModuleType("shop_backends")
    for each in (Recorded, OnlyCalls, WithoutFromConfig, Forgetful):
        setattr(module, each.__name__, each)
    module.NOT_A_CLASS = NOT_A_CLASS  # type: ignore[attr-defined]  # it is made up here
    monkeypatch.setitem(sys.modules, "shop_backends", module)
    monkeypatch.delenv("COORD_DSN", raising=False)


def test_without_a_word_it_is_memory() -> None:
    """An empty table is a coordinator in this process."""
    c = coord.from_config({})
    assert c.is_distributed is False
    assert c.prefix == "coord:"
    assert c.ttl_ms == 3_600_000


def test_the_whole_file_will_do() -> None:
    """The table may still stand under its name, as a settings file is read."""
    assert coord.from_config({"coordination": {"backend": "memory"}}).is_distributed is False


def test_redis_takes_dsn_prefix_and_ttl() -> None:
    """Every key of the redis table counts; a TTL of 0 means that nothing expires."""
    with Server(found()["redis-8.2"]) as server:
        redis = {"dsn": server.url, "key_prefix": "shop:", "ttl_sec": 0}
        with coord.from_config({"backend": "redis", "redis": redis}) as c:
            assert c.is_distributed
            assert c.prefix == "shop:"
            assert c.kv.incr("n") == 1
            assert c.ttl_ms == 0


def test_the_environment_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """``$COORD_DSN`` stands in for a dsn that the file does not have."""
    with Server(found()["redis-8.2"]) as server:
        monkeypatch.setenv("COORD_DSN", server.url)
        with coord.from_config({"backend": "redis"}) as c:
            assert c.is_distributed


def test_redis_without_a_place_is_refused() -> None:
    """Neither the file nor the environment says where the server is."""
    with pytest.raises(coord.ConfigError, match=r"set redis\.dsn or \$COORD_DSN"):
        coord.from_config({"backend": "redis"})


def test_a_redis_backend_is_not_memory() -> None:
    """Which of the two is meant is not guessed."""
    with pytest.raises(coord.ConfigError, match="change one of the two"):
        coord.from_config({"backend": "redis", "redis": {"dsn": "memory://jobs"}})


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"backends": "redis"}, "backends"),
        ({"redis": {"dns": "redis://localhost"}}, r"redis\.dns"),
        ({"backend": "memory", "ttl_sec": 5}, "ttl_sec"),
    ],
)
def test_unknown_keys_are_refused_by_name(config: dict[str, Any], key: str) -> None:
    """A misspelt key raises an error that names it."""
    with pytest.raises(coord.ConfigError, match=f"unknown key {key}"):
        coord.from_config(config)


@pytest.mark.parametrize("config", [None, "redis", ["backend"]])
def test_a_configuration_that_is_not_a_table_is_a_type_error(config: Any) -> None:
    """Settings are a mapping."""
    with pytest.raises(TypeError, match="mapping"):
        coord.from_config(config)


@pytest.mark.parametrize("config", [{"backend": 5}, {"redis": "redis://localhost"}])
def test_values_of_the_wrong_type_are_errors(config: dict[str, Any]) -> None:
    """So is a value that cannot be what it should be."""
    with pytest.raises(coord.ConfigError):
        coord.from_config(config)


@pytest.mark.parametrize("path", ["shop_backends.Recorded", "shop_backends:Recorded"])
def test_a_users_backend_gets_its_parameters(path: str) -> None:
    """A dotted path names a class; it is given the table, its custom parameters untouched and also at the top."""
    params = {"region": "eu", "nested": {"n": [1, 2]}}
    c = coord.from_config({"backend": path, "custom_params": params})
    assert isinstance(c, Recorded)
    assert c.config["custom_params"] == params
    assert c.config["region"] == "eu"


def test_what_only_makes_calls_gets_the_operations() -> None:
    """A backend need not be a coordinator: one that makes calls is made into one."""
    c = coord.from_config({"backend": "shop_backends.OnlyCalls"})
    assert c.bump("index") < c.bump("index")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("no_such_module.Backend", "cannot import no_such_module"),
        ("shop_backends.Missing", "shop_backends has no Missing"),
        ("shop_backends.NOT_A_CLASS", "not a class"),
        ("shop_backends.WithoutFromConfig", r"no from_config\(config\)"),
        ("shop_backends.Forgetful", "returned None"),
        ("nothing", "neither memory, redis, an entry point"),
    ],
)
def test_what_is_wrong_with_a_backend_is_said(path: str, sentence: str) -> None:
    """Each mistake has a sentence of its own."""
    with pytest.raises(coord.ConfigError, match=sentence):
        coord.from_config({"backend": path})


def test_packages_offer_backends_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point of the group ``coord.backends`` gives a class a short name."""
    offered = EntryPoints([EntryPoint("shop", "shop_backends:Recorded", "coord.backends")])
    monkeypatch.setattr("coord.config.entry_points", offered.select)
    assert isinstance(coord.from_config({"backend": "shop"}), Recorded)


@pytest.fixture
def nobody_set_one() -> Any:
    coord.set_coordinator(None)
    yield
    coord.set_coordinator(None)


@pytest.mark.usefixtures("nobody_set_one")
def test_the_process_has_a_coordinator() -> None:
    """``get_coordinator`` is on memory:// until one is set, and always the same one."""
    first = coord.get_coordinator()
    assert first.is_distributed is False
    assert coord.get_coordinator() is first
    other = coord.connect("memory://other")
    coord.set_coordinator(other)
    assert coord.get_coordinator() is other


@pytest.mark.usefixtures("nobody_set_one")
def test_threads_that_ask_at_once_get_the_same() -> None:
    """Of many threads that are the first to ask, all are given one coordinator."""
    got: list[coord.Coordinator] = []
    start = threading.Barrier(16)

    def ask() -> None:
        start.wait()
        got.append(coord.get_coordinator())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, got))) == 1


def test_setting_one_is_not_undone_by_who_asks_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first caller makes one on memory; one that is set at that moment stays."""
    asked, connect = threading.Event(), connecting.connect

    def slowly(*args: Any, **kwargs: Any) -> coord.Coordinator:
        asked.set()
        setting.join(0.2)
        return connect(*args, **kwargs)

    def set_it() -> None:
        asked.wait()
        coord.set_coordinator(c)

    monkeypatch.setattr(connecting, "connect", slowly)
    coord.set_coordinator(None)
    with coord.connect("memory://set") as c:
        setting = threading.Thread(target=set_it)
        setting.start()
        coord.get_coordinator()
        setting.join()
        assert coord.get_coordinator() is c
    coord.set_coordinator(None)


@pytest.mark.parametrize("ttl", [-1, False, float("nan"), 10**12])
def test_a_ttl_that_makes_no_sense_is_refused(ttl: Any) -> None:
    """Only the number 0 means that nothing expires."""
    with pytest.raises(ValueError, match="ttl"):
        coord.from_config({"redis": {"ttl_sec": ttl}})


def test_a_ttl_left_empty_is_refused() -> None:
    """A settings file may say null; that is not taken for "never"."""
    with pytest.raises(coord.ConfigError, match=r"redis\.ttl_sec"):
        coord.from_config({"redis": {"ttl_sec": None}})


def test_an_offer_that_cannot_be_imported_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the backend, and what its package offers for it."""
    offered = EntryPoints([EntryPoint("broken", "shop_backends:Absent", "coord.backends")])
    monkeypatch.setattr(config, "entry_points", offered.select)
    with pytest.raises(coord.ConfigError, match="backend broken: cannot import shop_backends:Absent"):
        coord.from_config({"backend": "broken"})


# --- options, on every backend ---------------------------------------------------------------------


OPTIONS: dict[str, Any] = {"timeout": 1, "patience": 2, "remember": 30, "max_connections": 4, "in_flight": 10}


def test_memory_accepts_what_only_concerns_servers() -> None:
    """The URL alone changes between a laptop and production."""
    with coord.connect("memory://options", eviction="refuse", **OPTIONS) as c:
        assert c.once("job")


@pytest.mark.parametrize("option", [{"patience": -1}, {"eviction": "maybe"}, {"in_flight": 0}, {"timeout": True}])
def test_memory_refuses_the_options_that_a_server_refuses(option: dict[str, Any]) -> None:
    with pytest.raises(coord.ConfigError, match=next(iter(option))):
        coord.connect("memory://options", **option)


@pytest.mark.parametrize("url", ["memory://options", "redis://localhost"])
def test_an_unknown_option_is_named(url: str) -> None:
    with pytest.raises(coord.ConfigError, match="unknown option 'pateince': known are timeout, patience"):
        coord.connect(url, pateince=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # the mistake


def test_help_shows_every_option() -> None:
    shown = signature(coord.connect).parameters
    assert list(shown)[:4] == ["url", "client", "prefix", "ttl"]
    assert {"timeout", "patience", "remember", "max_connections", "in_flight", "eviction"} < set(shown)
    assert shown["patience"].default == 10


@pytest.mark.parametrize("kind", ["memory", "shop_backends.OnlyCalls"])
def test_settings_reach_every_backend(kind: str) -> None:
    """Prefix and TTL reach a custom backend too, and what is wrong with an option is said for each."""
    c = coord.from_config({"backend": kind, "redis": {"key_prefix": "shop:", "ttl_sec": 7, **OPTIONS}})
    assert (c.prefix, c.ttl_ms) == ("shop:", 7000)
    with pytest.raises(coord.ConfigError, match="eviction"):
        coord.from_config({"backend": kind, "redis": {"eviction": "maybe"}})


def test_one_keyspace_has_one_clock() -> None:
    first, other = SystemClock(), SystemClock()
    with coord.connect("memory://one-clock", clock=first) as c:
        assert c.once("job")
        coord.connect("memory://one-clock").close()
        coord.connect("memory://one-clock", clock=first).close()
        with pytest.raises(coord.ConfigError, match="memory://one-clock is in use with another clock"):
            coord.connect("memory://one-clock", clock=other)


# --- URLs: clear errors, and no password in any of them ---------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:6379", "no scheme; write redis://host:port"),
        ("redis:6379", "no scheme"),
        ("http://u:hunter2@host", "unknown URL scheme http://"),
        ("redis+sentinel://u:1/hunter2@127.0.0.1:1/svc", "@ after its host"),
        ("redis+sentinel://u:1/hunter2@127.0.0.1:1", "@ after its host"),
        ("redis+cluster://u:1/hunter2@127.0.0.1:1", "@ after its host"),
        ("redis://u:1/hunter2@127.0.0.1:1/0", "@ after its host"),
        ("unix://u:1/hunter2@/run/x", "@ after its host"),
        ("redis://u:42?hunter2@127.0.0.1:1/0", "option without a value"),
        ("hunter2@localhost", "no scheme"),
    ],
)
def test_a_url_that_cannot_be_read_says_why_and_shows_no_password(url: str, said: str) -> None:
    with pytest.raises(coord.ConfigError, match=said) as told:
        coord.connect(url)
    assert "hunter2" not in str(told.value)


PLACES = ("redis://h:1/0", "unix:///run/x", "redis+cluster://h:1", "redis+sentinel://h:1/svc")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "option",
    [
        *("socket_keepalive_options", "maint_notifications_config", "oss_cluster_maint_notifications_handler"),
        *("credential_provider", "redis_connect_func", "retry", "parser_class", "event_dispatcher"),
    ],
)
def test_an_option_that_a_url_cannot_hold_is_named(place: str, option: str) -> None:
    with pytest.raises(coord.ConfigError, match=f"^{option} cannot be set in a URL"):
        coord.connect(f"{place}?{option}=x")

    async def awaited() -> None:
        with pytest.raises(coord.ConfigError, match=f"^{option} cannot be set in a URL"):
            await coord.connect_async(f"{place}?{option}=x")

    asyncio.run(awaited())


@pytest.mark.parametrize("place", PLACES)
def test_an_option_that_redis_py_does_not_know_is_named(place: str) -> None:
    with pytest.raises(coord.ConfigError, match="redis-py does not know: 'pateince'"):
        coord.connect(f"{place}?db=0&pateince=1")


def test_a_password_is_not_shown_as_the_name_of_an_option() -> None:
    with pytest.raises(coord.ConfigError, match=r"does not know$"):
        coord.connect("redis://u:42?hunter2=3@127.0.0.1:1/0")


def test_a_url_given_as_backend_is_not_shown() -> None:
    with pytest.raises(coord.ConfigError, match="backend looks like a URL") as told:
        coord.from_config({"backend": "redis://:hunter2@127.0.0.1:1/0"})
    assert "hunter2" not in str(told.value)
