"""``coord ls``, ``show`` and ``watch`` read limiters and quotas: the limits are those that the keys themselves name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from live import Live

import coord
from coord import Limit
from coord.cli import main

pytest_plugins = ("live_fixtures",)


@pytest.fixture
def c(live_server: Live) -> Iterator[coord.Coordinator]:
    with live_server.connect() as c:
        yield c


@pytest.fixture
def line(live_server: Live, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return what ``watch`` shows."""

    def ask() -> str:
        assert main(["watch", live_server.url, "--times", "1"]) == 0
        return capsys.readouterr().out

    return ask


def test_a_limiter_shows_how_much_of_each_limit_is_used(c: coord.Coordinator, ls: Any, line: Any) -> None:
    limiter = c.limiter("api", Limit(100, per=3600), Limit(5_000, per=86_400))
    limiter.hit(30)
    (told,) = ls()
    assert (told["kind"], told["name"]) == ("limiter", "api")
    few, many = sorted(told["limits"], key=lambda each: int(each["amount"]))
    assert (few["amount"], few["per"], few["used"]) == (100, 3600.0, 30)
    assert (many["amount"], many["per"], many["used"]) == (5_000, 86_400.0, 30)
    assert 1000 < few["full_in"] <= 1080
    assert "penalty" not in told
    shown = line()
    assert "30 of 100 per 60 min" in shown
    assert "30 of 5,000 per 24 h" in shown


def test_a_limiter_of_another_burst_is_read_alike(c: coord.Coordinator, ls: Any) -> None:
    """The key does not hold the burst: what is used is the same, whatever it is."""
    c.limiter("wide", Limit(10, per=36_000, burst=50)).hit(40)
    c.limiter("paced", Limit(10, per=36_000, burst=1)).hit()
    paced, wide = ls()
    assert (wide["limits"][0]["used"], paced["limits"][0]["used"]) == (40, 1)


def test_a_penalty_is_shown_with_its_end(c: coord.Coordinator, ls: Any, line: Any) -> None:
    c.limiter("api", Limit(100, per=3600)).penalize(600)
    (told,) = ls()
    assert told["limits"] == []
    assert 500 < told["penalty"] <= 600
    assert "refuses everything for " in line()


def test_a_quota_shows_what_is_spent_and_held_in_each_window(c: coord.Coordinator, ls: Any, line: Any) -> None:
    quota = c.quota("team", Limit(1_000, per=290_000_000), Limit(9_000, per=280_000_000))
    quota.spend(300)
    assert quota.reserve(200, ttl=600) is not None
    (told,) = ls()
    assert (told["kind"], told["name"]) == ("quota", "team")
    windows = {each["per"]: each for each in told["windows"]}
    assert set(windows) == {290_000_000.0, 280_000_000.0}
    for window in windows.values():
        assert (window["spent"], window["held"]) == (300, 200)
        assert 0 < window["resets_in"] <= window["per"]
    assert "300 spent, 200 held per" in line()


def test_what_lapsed_is_not_shown_as_held(c: coord.Coordinator, ls: Any, live_server: Live) -> None:
    quota = c.quota("team", Limit(1_000, per=290_000_000))
    quota.spend(1)
    quota.reserve(200, ttl=600)
    ((member, _),) = live_server.client.zrange("coord:quota:{team}:held", 0, 0, withscores=True)
    live_server.client.zadd("coord:quota:{team}:held", {member: 1})
    (told,) = ls()
    assert [(each["spent"], each["held"]) for each in told["windows"]] == [(1, 0)]


def test_what_is_full_again_or_unused_is_not_shown(c: coord.Coordinator, ls: Any) -> None:
    limiter = c.limiter("api", Limit(100, per=3600))
    limiter.hit(2)
    limiter.refund(2)
    reservation = c.quota("team", Limit(10, per=290_000_000)).reserve(2)
    assert reservation is not None
    reservation.cancel()
    assert ls() == []


def test_impossible_values_are_reported_and_harm_no_other(c: coord.Coordinator, ls: Any, live_server: Live) -> None:
    live_server.client.set("coord:limiter:{a}", "x")
    live_server.client.set("coord:quota:{a}", "x")
    live_server.client.hset("coord:limiter:{b}", "100/60000000", "x")
    live_server.client.hset("coord:quota:{b}", "60000", "x")
    # No limit of coord's has such fields.
    live_server.client.hset("coord:limiter:{c}", mapping={"0/1000": "1|0", "5/1": "1|0", "x/y": "1"})
    live_server.client.hset("coord:quota:{c}", mapping={"0": "1|1|1", "x": "1"})
    c.limiter("good", Limit(100, per=3600)).hit()
    told = {(each["kind"], each["name"]): each for each in ls()}
    assert told.pop(("limiter", "good"))["limits"][0]["used"] == 1
    assert len(told) == 4
    assert all("error" in each for each in told.values())


def test_a_look_at_them_changes_nothing(c: coord.Coordinator, ls: Any, live_server: Live) -> None:
    """Of all families that ``test_ls.py`` does not look at."""
    c.limiter("x", Limit(100, per=3600)).hit()
    c.quota("x", Limit(100, per=290_000_000)).reserve(1, ttl=600)
    c.semaphore("x", limit=2).claim(ttl=600)
    c.execution("x").begin(ttl=600)
    with c.group("x", ttl=600).join("anna"):
        for key in live_server.client.keys("*"):
            live_server.client.expire(key, 1000)
        before = kept(live_server)
        assert {each["kind"] for each in ls()} == {"limiter", "quota", "semaphore", "execution", "group"}
        assert kept(live_server) == before
        assert all(900 < live_server.client.ttl(key) <= 1000 for key in live_server.client.keys("*"))


def kept(live: Live) -> dict[bytes, bytes]:
    with redis.Redis.from_url(live.url) as raw:
        return {key: raw.dump(key) for key in raw.keys("*")}
