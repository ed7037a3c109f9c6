"""``coord ls``: what lives on a server, by kind and name, and nothing changed by the look."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from backends import found
from live import Live, until

import coord
from coord.cli import main
from coord.cli.entities.keys import EntityKey, parse_key
from coord.cli.entities.kind import lasting
from coord.testing.servers import Server
from coord.testing.topologies import Cluster, client

pytest_plugins = ("live_fixtures",)


@pytest.fixture
def c(live_server: Live) -> Iterator[coord.Coordinator]:
    with live_server.connect() as c:
        yield c


def only(entities: list[dict[str, Any]]) -> dict[str, Any]:
    (entity,) = entities
    return entity


# --- kinds ---------------------------------------------------------------------------------------


def test_a_claim_tells_its_owner_its_fence_and_its_end(c: coord.Coordinator, ls: Any) -> None:
    lease = c.claim("job:{42}", ttl=300, owner="anna")
    assert lease is not None
    told = only(ls())
    assert 240 < told.pop("expires_in") <= 300
    assert (told.pop("kind"), told.pop("name"), told.pop("key")) == (
        "claim",
        "job:{42}",
        "coord:claim:{job%3A%7B42%7D}",
    )
    assert told == {"owner": "anna", "fence": lease.fence}
    lease.release()
    assert ls() == [], "what was released is free, although its key stays for a while"


def test_a_window_and_a_version(c: coord.Coordinator, ls: Any) -> None:
    c.once("mail", ttl=450)
    newest = c.bump("mail")
    window, version = ls("mail")
    assert (window["kind"], window["name"]) == ("once", "mail")
    assert 400 < window["expires_in"] <= 450
    assert (version["kind"], version["version"]) == ("version", newest)


def test_statistics_by_name_and_by_id(c: coord.Coordinator, ls: Any) -> None:
    c.stats("embedding").merge("request-1", processed=3, op_id="m")
    c.stats("parsing").merge("request-1", processed=1)
    c.stats("parsing").merge("request-2")
    told = only(ls("embed*"))
    assert (told["name"], told["id"], told["counts"]) == ("embedding", "request-1", {"processed": 3})
    assert [each["name"] for each in ls("request-1")] == ["embedding", "parsing"]
    assert len(ls("parsing")) == 2


def test_a_barrier_and_a_request(c: coord.Coordinator, ls: Any) -> None:
    c.barrier("batch").open(parties=3, deadline=600, metadata={"of": "anna"})
    c.barrier("batch").arrive("part-1")
    c.barrier("batch").fail("part-2", "no such page")
    request = c.request("batch")
    request.register()
    request.add("embedding", "page-1")
    barrier, request = ls()
    assert [barrier[word] for word in ("state", "arrived", "parties", "error_count")] == ["open", 2, 3, 1]
    assert (barrier["errors"], barrier["metadata"]) == ({"part-2": "no such page"}, {"of": "anna"})
    assert 540 < barrier["deadline_in"] <= 600
    assert request["pending"] == request["stages"]["embedding"]["pending"] == 1


def test_primitives(c: coord.Coordinator, ls: Any) -> None:
    c.kv.incr("hits", 5)
    c.kv.sadd("members", "a", "b")
    c.kv.rpush("log", *map(str, range(101)))
    hits, log, members = ls("--kind", "kv")
    assert (hits["number"], members["members"], len(log["values"]), log["more"]) == (5, 2, 100, True)


def test_users_scripts(live_server: Live, ls: Any) -> None:
    """What is under the prefix and of the shape is listed, by what its key holds."""
    live_server.client.hset("coord:budget:{team}", "left", 5)
    live_server.client.set("coord:budget:{team}:log", 5)
    live_server.client.set("coord:of-another-shape", 5)
    assert [(each["kind"], each["name"], each.get("part"), each["type"]) for each in ls()] == [
        ("budget", "team", None, "hash"),
        ("budget", "team", "log", "string"),
    ]


def test_an_impossible_value_is_reported_and_harms_no_other(live_server: Live, c: Any, ls: Any) -> None:
    live_server.client.rpush("coord:claim:{a}", "x")
    live_server.client.set("coord:version:{b}", "x")
    live_server.client.set(b"coord:version:{\xff}", "x")
    c.bump("c")
    assert ["error" in each for each in ls()] == [True, True, False]


# --- choosing ------------------------------------------------------------------------------------


def test_patterns_and_kinds(c: coord.Coordinator, ls: Any) -> None:
    for name in ("mail:1", "mail:2", "report"):
        c.bump(name)
        c.once(name)
    assert len(ls()) == 6
    assert [each["name"] for each in ls("mail:*", "--kind", "once")] == ["mail:1", "mail:2"]
    assert len(ls("mail:[12]", "--kind", "once", "--kind", "version")) == 4
    assert ls("MAIL:1") == []


def test_prefixes(live_server: Live, ls: Any) -> None:
    with live_server.connect(prefix="a*b:") as mine, live_server.connect(prefix="axb:") as theirs:
        mine.bump("x")
        theirs.bump("y")
    assert only(ls("--prefix", "a*b:"))["name"] == "x"


def test_no_more_than_asked_for(c: coord.Coordinator, live_server: Live, capsys: Any) -> None:
    c.run_many([c.calls.bump(f"{number:04}") for number in range(2500)])
    assert main(["ls", "--url", live_server.url, "--limit", "10"]) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 11
    assert told.err == "coord: there are more than 10; --limit lists more of them\n"
    assert main(["ls", "--url", live_server.url, "--limit", "2500"]) == 0
    told = capsys.readouterr()
    assert (len(told.out.splitlines()), told.err) == (2501, "")


# --- as a table ----------------------------------------------------------------------------------


def test_the_table(c: coord.Coordinator, live_server: Live, capsys: Any) -> None:
    """One line each; a name with signs that would move the cursor does not move it."""
    c.claim("job", ttl=600, owner="anna\x1b[2J")
    c.barrier("batch").open(parties=2)
    c.stats("s").merge("r", processed=3, errors=1)
    main(["ls", "--url", live_server.url])
    head, barrier, claim, stats = capsys.readouterr().out.splitlines()
    assert head.split() == ["KIND", "NAME", "ENDS", "IN", "STATE"]
    assert "60 min" in barrier
    assert barrier.endswith("open, 0 of 2 arrived")
    assert "10 min   held by anna\\x1b[2J, fence " in claim
    assert "stats    s r" in stats
    assert "processed 3" in stats
    assert barrier.index("open") == claim.index("held")


def test_an_empty_keyspace_is_not_a_failure(live_server: Live, capsys: Any) -> None:
    assert main(["ls", "--url", live_server.url]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "coord: nothing under 'coord:' matches\n")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (119, "119.0 s"), (120, "2 min"), (7200, "2 h"), (1e6, "12 d"), (None, "never")],
)
def test_times(seconds: float | None, said: str) -> None:
    assert lasting(seconds) == said


# --- looking only --------------------------------------------------------------------------------


def test_a_look_changes_nothing(c: coord.Coordinator, live_server: Live, ls: Any) -> None:
    """All values and all deadlines are as before, and there is no other key."""
    everything(c)
    for key in live_server.client.keys("*"):
        # An end that no operation would give it.
        live_server.client.expire(key, 1000)
    before = kept(live_server)
    assert {each["kind"] for each in ls()} == {"claim", "once", "version", "stats", "barrier", "request", "kv"}
    assert kept(live_server) == before
    assert all(900 < live_server.client.ttl(key) <= 1000 for key in live_server.client.keys("*"))


def everything(c: coord.Coordinator) -> None:
    """One of each kind, all of one name."""
    c.claim("x")
    c.once("x")
    c.bump("x")
    c.stats("s").merge("x", processed=1)
    c.barrier("x").open(parties=1)
    c.request("x").register()
    c.kv.incr("x")


def kept(live: Live) -> dict[bytes, bytes]:
    with redis.Redis.from_url(live.url) as raw:
        return {key: raw.dump(key) for key in raw.keys("*")}


@pytest.mark.slow
def test_a_replica_can_be_looked_at() -> None:
    """It is read, and nothing is written to it."""
    engine = found()["redis-8.2"]
    with (
        Server(engine, "--repl-diskless-sync-delay", "0") as primary,
        Server(engine, "--replicaof", "127.0.0.1", str(primary.port)) as replica,
    ):
        with coord.connect(primary.url) as c:
            c.bump("x")
        until(lambda: client(replica).exists("coord:version:{x}"), "the key on the replica")
        ran = subprocess.run(
            [sys.executable, "-m", "coord", "ls", "--url", replica.url], capture_output=True, text=True, check=False
        )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "version  x" in ran.stdout


@pytest.mark.slow
def test_a_cluster_is_looked_at_as_a_whole(capsys: Any) -> None:
    with Cluster(found()["redis-8.2"], node_timeout=15_000) as cluster:
        with coord.connect(cluster.url) as c:
            names = sorted(f"name-{number}" for number in range(60))
            for name in names:
                c.bump(name)
        assert main(["ls", "--url", cluster.url, "--json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == names


def test_a_user_who_may_not_look_learns_which_rights_are_missing(live_server: Live, capsys: Any) -> None:
    live_server.client.execute_command("ACL", "SETUSER", "tom", "reset", "on", ">hush", "~*", "&*", "+@all", "-scan")
    url = live_server.url.replace("://", "://tom:hush@")
    assert main(["ls", "--url", url]) == 2
    told = capsys.readouterr().err
    assert "+scan +type" in told
    assert "hush" not in told


def test_memory_cannot_be_looked_at_from_outside(capsys: Any) -> None:
    assert main(["ls", "--url", "memory://jobs"]) == 2
    assert "memory:// exists only inside the process that uses it" in capsys.readouterr().err


@pytest.mark.slow
def test_who_reads_may_leave(c: coord.Coordinator, live_server: Live) -> None:
    """``coord ls | head -1`` ends without a word."""
    c.run_many([c.calls.bump(f"{number:0900}") for number in range(500)])
    command = [sys.executable, "-m", "coord", "ls", "--url", live_server.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as ran:
        assert ran.stdout is not None
        assert ran.stderr is not None
        assert ran.stdout.readline().startswith(b"KIND")
        ran.stdout.close()
        assert ran.stderr.read() == b""


# --- whose key it is -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "whose"),
    [
        ("coord:claim:{a%3Ab}", EntityKey("claim", "a:b", "coord:claim:{a%3Ab}")),
        ("coord:stats:{id}:name%7B", EntityKey("stats", "name{", "coord:stats:{id}:name%7B", id="id")),
        ("coord:stock:{item}:log", EntityKey("stock", "item", "coord:stock:{item}:log", part="log")),
        ("coord:once:{op%3Ax}", EntityKey("once", "op:x", "coord:once:{op%3Ax}")),
        ("coord:claim:{a}:tombstone:nonce", None),
        ("coord:kv:{a}:op:", None),
        ("coord:stats:{id}:name:op:x", None),
        ("coord:stats:{id}:name:batch:x", None),
        ("coord:permitted:{x}", None),
        ("coord:claim:a", None),
        ("coord:claim:{}", None),
        ("coord:claim:{a:b}", None),
        ("coord:claim:{\udcff}", None),
        ("coord:stats:{id}:", None),
        (f"coord:claim:{{{'x' * 1025}}}", None),
        ("coord:deeper:claim:{a}", None),
        ("other:claim:{a}", None),
    ],
)
def test_whose_key_it_is(key: str, whose: EntityKey | None) -> None:
    assert parse_key(key, "coord:") == whose


def test_the_url_may_come_first(c: coord.Coordinator, live_server: Live, capsys: Any) -> None:
    c.bump("http://a/b")
    c.bump("other")
    for words in (("*a*",), ("http://a/b", "--kind", "version")):
        assert main(["ls", live_server.url, *words]) == 0
        assert capsys.readouterr().out.count("\n") == 2
    assert main(["ls", live_server.url]) == 0
    assert capsys.readouterr().out.count("\n") == 3


def test_a_kind_that_coord_does_not_have_is_named(live_server: Live, capsys: Any) -> None:
    assert main(["ls", live_server.url, "--kind", "claims"]) == 0
    assert "claims is none of coord's kinds: claim," in capsys.readouterr().err


def test_without_a_command_the_help_is_shown(capsys: Any) -> None:
    assert main([]) == 2
    assert "doctor" in capsys.readouterr().err
