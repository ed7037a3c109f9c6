"""``coord doctor`` on real servers, each with something the matter; and its judgement of what servers say."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from backends import found
from live import Live, until

import coord
from coord.cli import main
from coord.cli.doctor.findings import Finding
from coord.cli.doctor.line import clock
from coord.cli.doctor.replication import replication
from coord.cli.doctor.server import memory, persistence, role, version
from coord.permissions import PERMITTED, acl_line
from coord.script import all_scripts
from coord.testing.servers import Engine, Server, free_port
from coord.testing.topologies import Cluster, Sentinels, client

pytest_plugins = ("live_fixtures",)

GUARANTEES = Path(__file__).resolve().parent.parent / "docs" / "guarantees.md"
LASTING = ("--appendonly", "yes")


class Told(NamedTuple):
    """What doctor said: its exit code, its lines by what they are about, and all of its output."""

    code: int
    lines: dict[str, str]
    output: str

    def level(self, what: str) -> str:
        return self.lines[what].split()[0]


Ask = Callable[..., Told]


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Ask:
    def ask(*argv: str) -> Told:
        code = main(["doctor", *argv])
        output = "".join(capsys.readouterr())
        lines = [line for line in output.splitlines() if re.match(r"(ok|warning|problem|unchecked) ", line)]
        return Told(code, {line.split()[1]: line for line in lines}, output)

    return ask


# --- one server ----------------------------------------------------------------------------------


def test_a_server_that_is_fit(engine: Engine, doctor: Ask) -> None:
    """Every line is ok, and the exit code 0; but for what the version itself is known for."""
    with Server(engine, *LASTING) as server:
        with coord.connect(server.url) as c:
            c.bump("x")
        told = doctor(server.url)
    levels = {what: told.level(what) for what in told.lines if what != "version"}
    assert set(levels.values()) == {"ok"}, told.output
    assert set(levels) == {
        *("reached", "role", "eviction", "memory", "persistence", "replication"),
        *("scripts", "rights", "notifications", "clock", "keys", "hiredis"),
    }
    assert told.code == (0 if told.level("version") == "ok" else 1)
    assert re.search(r"a round trip takes \d+\.\d\d ms", told.lines["reached"])
    assert ".".join(map(str, engine.version[:2])) in told.lines["version"]


@pytest.mark.slow
def test_looking_leaves_no_key(live_server: Live, doctor: Ask) -> None:
    doctor(live_server.url)
    assert live_server.client.keys("*") == []


def test_the_environment_says_where(live_server: Live, doctor: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COORD_DSN", live_server.url)
    assert str(live_server.server.port) in doctor().lines["reached"]


def test_memory_cannot_be_looked_at_from_outside(doctor: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COORD_DSN", raising=False)
    for url, says in (("memory://", "memory:// exists only inside"), ("", "no server: give the URL")):
        told = doctor(*filter(None, [url]))
        assert (told.code, told.lines) == (2, {})
        assert says in told.output


def test_a_server_that_may_evict_live_claims(live_server: Live, doctor: Ask) -> None:
    live_server.client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        told = doctor(live_server.url)
    finally:
        live_server.client.config_set("maxmemory-policy", "noeviction")
    assert (told.code, told.level("eviction")) == (2, "problem")
    assert "-> CONFIG SET maxmemory-policy noeviction" in told.output


def test_a_server_that_keeps_nothing_on_disk(live_server: Live, doctor: Ask) -> None:
    told = doctor(live_server.url)
    assert told.level("persistence") == "warning"
    assert "a restart loses all claims" in told.lines["persistence"]


def test_keys_of_any_bytes_are_counted(live_server: Live, doctor: Ask) -> None:
    live_server.client.set(b"coord:\xff", 1)
    assert "1 never expire (coord:\\udcff)" in doctor(live_server.url).lines["keys"]


def test_keys_that_never_expire_are_named(live_server: Live, doctor: Ask) -> None:
    with live_server.connect(ttl=None) as c:
        c.bump("for ever\x1b[2J")
    told = doctor(live_server.url)
    assert told.level("keys") == "warning"
    assert "1 never expire (coord:version:{for ever%1B[2J})" in told.lines["keys"]
    assert doctor(live_server.url, "--prefix", "other:").level("keys") == "ok"


def test_how_many_keys_were_looked_at_is_said(live_server: Live, doctor: Ask) -> None:
    with live_server.connect() as c:
        c.run_many([c.calls.once(str(number)) for number in range(3000)])
    assert "all 3,000 keys under 'coord:'" in doctor(live_server.url).lines["keys"]
    assert re.search(r"the first 1,\d\d\d keys under", doctor(live_server.url, "--keys", "100").lines["keys"])
    assert "the first 0 keys under" in doctor(live_server.url, "--keys", "0").lines["keys"]


def test_a_server_that_is_not_there(doctor: Ask) -> None:
    told = doctor(f"redis://tom:hush@127.0.0.1:{free_port()}/0")
    assert (told.code, told.level("reached")) == (2, "problem")
    assert "hush" not in told.output


@pytest.mark.parametrize("sign", ["/", "?", "#", ":", "%"])
@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "redis+cluster", "redis+sentinel", "http"])
def test_a_url_that_cannot_be_read_is_not_quoted(scheme: str, sign: str, doctor: Ask) -> None:
    """A sign in a password that should have been escaped puts a part of it where a host should be."""
    told = doctor(f"{scheme}://tom:hush{sign}hush@127.0.0.1:{free_port()}/coord")
    assert told.code == 2
    assert "hush" not in told.output


# --- users ---------------------------------------------------------------------------------------


@pytest.fixture
def guarded(engine: Engine) -> Iterator[tuple[Server, Any]]:
    """A private server, to set users on."""
    with Server(engine) as server, client(server) as look:
        yield server, look


def test_no_password_is_shown(guarded: tuple[Server, Any], doctor: Ask) -> None:
    """Neither the right one nor a wrong one, whatever goes wrong."""
    server, look = guarded
    look.config_set("requirepass", "hush")
    for user, code in ((":hush@", 1), (":hush-2@", 2), ("", 2)):
        told = doctor(server.url.replace("://", f"://{user}"), "--acl")
        assert told.code == code, told.output
        assert "hush" not in told.output


def test_the_smallest_user_is_enough_for_coord(guarded: tuple[Server, Any], doctor: Ask) -> None:
    """The line that ``--acl`` prints, typed as it stands: all rights, and what only doctor wants is unchecked."""
    server, look = guarded
    line = doctor(server.url, "--acl").output.splitlines()[-1]
    look.execute_command(*line.replace(">PASSWORD", ">hush").split())
    url = server.url.replace("://", "://coord:hush@")
    told = doctor(url)
    assert {told.level(what) for what in ("reached", "role", "eviction", "scripts", "rights", "notifications")} == {
        "ok"
    }
    assert told.level("keys") == "unchecked"
    assert told.code == 1, told.output
    with coord.connect(url) as c, c.hold("job"):
        c.stats("s").merge("r", processed=1)
        assert c.request("r").is_complete()
    # Not a word of it is to spare.
    documented = re.search(r"^(ACL SETUSER coord [^`]*)^```", GUARANTEES.read_text(encoding="utf-8"), re.MULTILINE)
    assert documented, "the guarantees tell the line"
    assert set(acl_line("coord:").split()) == set(documented[1].split())


def test_a_user_who_lacks_rights_learns_which(guarded: tuple[Server, Any], doctor: Ask) -> None:
    server, look = guarded
    look.execute_command("ACL", "SETUSER", "tom", "on", ">hush", "~*", "&*", "+@all", "-hset", "-subscribe", "-info")
    told = doctor(server.url.replace("://", "://tom:hush@"), "--acl")
    assert told.code == 2
    assert "the user tom may not run HSET" in told.lines["rights"]
    assert told.level("notifications") == "warning"
    assert told.level("version") == "unchecked"
    assert "+hset" in told.output.splitlines()[-1]


def test_each_command_of_scripts_is_missed(guarded: tuple[Server, Any]) -> None:
    """The check names the one command that a user lacks, and no other; the attempts leave nothing behind."""
    _, look = guarded
    calls = (re.findall(r'redis\.p?call\("([A-Z]+)"', script.source) for script in all_scripts())
    commands = sorted({"PUBLISH"}.union(*calls))
    assert len(commands) > 30
    for lacking in commands:
        look.execute_command("ACL", "SETUSER", "tom", "reset", "on", ">hush", "~*", "&*", "+@all", f"-{lacking}")
        with look.client() as tom:
            tom.execute_command("AUTH", "tom", "hush")
            assert tom.eval(PERMITTED.source, 1, "coord:permitted:{x}", "PUBLISH") == [lacking]
        assert look.execute_command("DBSIZE") == 0


def test_a_prefix_is_taken_as_it_stands() -> None:
    """A star in it is a star: this user has the keys of no other prefix."""
    assert r" ~a\*b:* resetchannels &a\*b:* " in acl_line("a*b:")


# --- more than one server ------------------------------------------------------------------------


def test_a_replica_takes_no_writes(engine: Engine, doctor: Ask) -> None:
    """It is said of the replica what to do, and of its primary what a failover would lose."""
    with (
        Server(engine, "--repl-diskless-sync-delay", "0") as primary,
        Server(engine, "--replicaof", "127.0.0.1", str(primary.port)) as replica,
    ):
        until(lambda: client(replica).info("replication")["master_link_status"] == "up", "the replica")
        told = doctor(replica.url)
        assert (told.code, told.level("role"), told.level("rights")) == (2, "problem", "unchecked")
        told = doctor(primary.url)
        assert told.level("replication") == "warning"
        assert "1 replica, min-replicas-to-write 0: cut off" in told.lines["replication"]
        client(primary).config_set("min-replicas-to-write", 2)
        told = doctor(primary.url)
        assert (told.code, told.level("replication")) == (2, "problem")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(found()["redis-8.2"], node_timeout=15_000) as cluster:
        yield cluster


@pytest.mark.slow
def test_a_cluster(cluster: Cluster, doctor: Ask) -> None:
    """Each primary is looked at; a node of a cluster that is taken for a standalone server is recognized."""
    told = doctor(cluster.url, "--acl")
    assert told.code == 1, told.output
    assert "ok         cluster       16,384 slots on 3 primaries" in told.output
    assert told.output.count(" reached ") == told.output.count("ok         notifications") == 3
    assert told.level("rights") == "ok"
    assert told.output.splitlines()[-1].endswith("+cluster|slots +asking")
    told = doctor(cluster.primaries[0].url)
    assert (told.code, told.level("role")) == (2, "problem")
    assert "-> connect with redis+cluster://" in told.output


def test_a_slot_that_nobody_serves(cluster: Cluster, doctor: Ask) -> None:
    for server in cluster.primaries:
        client(server).execute_command("CLUSTER", "DELSLOTS", 5)
    try:
        told = doctor(f"redis+cluster://127.0.0.1:{cluster.primaries[0].port}")
    finally:
        client(cluster.primaries[0]).execute_command("CLUSTER", "ADDSLOTS", 5)
    assert told.code == 2
    assert "1 of 16,384 slots are served by no node" in told.output


@pytest.mark.slow
def test_a_sentinel_service(doctor: Ask) -> None:
    """Its sentinels are asked, and the primary that they name is looked at."""
    with Sentinels(found()["redis-8.2"], down_after=15_000) as service:
        told = doctor(service.url)
        assert "3 watch 'coord', 2 of them have to agree" in told.lines["sentinels"]
        assert str(service.primary().port) in told.lines["reached"]
        assert told.level("replication") == "warning"
        one = service.sentinels[0]
        told = doctor(f"redis://127.0.0.1:{one.port}")
        assert "this is a sentinel" in told.lines["role"]
        one.kill()
        assert "warning    sentinels     2 of 3 answer" in doctor(service.url).output
        told = doctor(service.url.replace("/coord/", "/other/"))
        assert (told.code, told.level("sentinels")) == (2, "problem")


# --- judgement -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "level", "says"),
    [
        ({"redis_version": "5.0.14"}, "problem", "is not supported"),
        ({"redis_version": "6.2.19"}, "warning", "CVE-2025-49844"),
        ({"redis_version": "6.2.20"}, "ok", "Redis 6.2.20"),
        ({"redis_version": "7.0.15"}, "warning", "CVE-2025-49844"),
        ({"redis_version": "8.2.1"}, "warning", "CVE-2025-49844"),
        ({"redis_version": "8.4.0"}, "ok", "Redis 8.4.0"),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.11"}, "problem", "Valkey 7.2.11"),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.3"}, "warning", "CVE-2025-49844"),
        ({"redis_version": "7.2.4", "valkey_version": "9.0.1"}, "ok", "Valkey 9.0.1"),
    ],
)
def test_versions(told: dict[str, str], level: str, says: str) -> None:
    finding = version(told)
    assert (finding.level, says in finding.seen) == (level, True)


@pytest.mark.parametrize(
    ("apart", "level", "says"), [(0.2, "ok", "ahead of"), (-3, "warning", "behind"), (9, "warning", "NTP")]
)
def test_clocks(apart: float, level: str, says: str) -> None:
    server: Any = SimpleNamespace(ask=lambda _: [*map(int, divmod((time.time() + apart) * 1e6, 1e6))])
    told = clock(server)
    assert (told.level, says in told.seen + told.advice) == (level, True)


def test_a_server_that_still_loads() -> None:
    assert (
        role({"loading": "1", "loading_eta_seconds": "12"}, clustered=False).advice == "wait 12 seconds and try again"
    )


@pytest.mark.parametrize(
    ("told", "levels"),
    [
        ({"maxmemory_policy": "noeviction", "maxmemory": "1000", "used_memory": "100"}, ["ok", "ok"]),
        ({"maxmemory_policy": "noeviction", "maxmemory": "1000", "used_memory": "950"}, ["ok", "warning"]),
        ({"maxmemory_policy": "noeviction", "maxmemory": "1000", "used_memory": "1001"}, ["ok", "problem"]),
        ({"maxmemory_policy": "volatile-ttl", "maxmemory": "0", "used_memory": "100"}, ["problem", "ok"]),
        ({"used_memory": "100"}, ["unchecked", "ok"]),
    ],
)
def test_memory_that_fills_up(told: dict[str, str], levels: list[str]) -> None:
    assert [finding.level for finding in memory(told)] == levels


@pytest.mark.parametrize(
    ("told", "configured", "level", "says"),
    [
        ({"aof_enabled": "1"}, {"appendfsync": "always"}, "ok", "loses no acknowledged write"),
        ({"aof_enabled": "1"}, {"appendfsync": "no"}, "warning", "half a minute"),
        ({"aof_enabled": "1"}, {}, "ok", "may not see"),
        (
            {"aof_enabled": "0", "rdb_changes_since_last_save": "7"},
            {"save": "60 1"},
            "warning",
            "since the last one, now 7",
        ),
        ({"aof_enabled": "0"}, {"save": ""}, "warning", "loses all claims"),
        ({"aof_enabled": "0"}, {}, "warning", "no append-only file"),
        (
            {"aof_enabled": "0", "rdb_last_bgsave_status": "err"},
            {"save": "60 1"},
            "problem",
            "cannot write to its disk",
        ),
        ({}, {}, "unchecked", "INFO"),
    ],
)
def test_what_a_restart_leaves(told: dict[str, str], configured: dict[str, str], level: str, says: str) -> None:
    finding = persistence(told, configured)
    assert (finding.level, says in finding.seen) == (level, True)


ONLINE, LATE = "ip=h,port=1,state=online,offset=1,lag=0", "ip=h,port=2,state=online,offset=1,lag=30"


@pytest.mark.parametrize(
    ("replicas", "least", "longest", "levels"),
    [
        ([], "0", "10", ["warning"]),
        ([], "1", "10", ["problem"]),
        ([ONLINE, ONLINE], "0", "10", ["warning"]),
        ([ONLINE], "1", "1", ["warning"]),
        ([ONLINE, ONLINE], "1", "10", ["warning"]),
        ([ONLINE, ONLINE], "1", "1", ["ok"]),
        ([ONLINE, LATE], "1", "1", ["ok", "warning"]),
        ([LATE, LATE], "1", "1", ["problem", "warning", "warning"]),
        ([ONLINE, ONLINE, "ip=h,port=3,state=wait_bgsave,offset=0,lag=0"], "1", "1", ["ok", "warning"]),
    ],
)
def test_what_a_failover_loses(replicas: list[str], least: str, longest: str, levels: list[str]) -> None:
    told = {"role": "master", **{f"slave{number}": text for number, text in enumerate(replicas)}}
    configured = {"min-replicas-to-write": least, "min-replicas-max-lag": longest}
    findings: list[Finding] = list(replication(told, configured, fails_over=True))
    assert [finding.level for finding in findings] == levels


def test_one_server_alone_needs_no_replica() -> None:
    assert [each.level for each in replication({"role": "master"}, {}, fails_over=False)] == ["ok"]
