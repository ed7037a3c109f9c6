"""Scripts that have no twin: their Lua runs in memory, in agreement with servers, and in the simulator."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from backends import covered

import coord
from coord.cli import main
from coord.errors import ConfigError
from coord.extend import Call, Script
from coord.testing.agreement import Answer, Disagreement, LuaSide, check_agreement, serving
from coord.testing.clock import Clock
from coord.testing.servers import Engine
from coord.testing.sim import Client, Faults, Sim, SimulationFailed, simulate

LOG = Script(
    "log",
    """\
-- log: note an event, of at most a hundred.
--
-- KEYS   log      stream, expiring: the events     shop:log:{name}
--        count    string, expiring: how many       shop:log:{name}:count
-- ARGV   event    str     what happened
--        add      count   how many it counts for
--        ttl_ms   ms      how long the log is kept
-- REPLY  {count, newest}
--        count    how many events there were
--        newest   what the newest says
-- ERRORS WRONGTYPE, ERR
-- COST   O(1), four writes

local log, count = KEYS[1], KEYS[2]
local event, add, ttl_ms = ARGV[1], ARGV[2], ARGV[3]

-- include: all_whole
local length = redis.pcall("XLEN", log)
if type(length) == "table" then
  return length
end
local total = redis.pcall("GET", count)
if type(total) == "table" then
  return total
end
if not all_whole(total or "0", add) then
  error("not to be counted")
end
total = string.format("%.0f", (total or 0) + add)
local time = redis.call("TIME")
if not redis.call("XADD", log, "NOMKSTREAM", "MAXLEN", 100, "*", "event", event) then
  redis.call("XADD", log, "MAXLEN", 100, time[1] .. "-1", "event", event)
end
redis.call("SET", count, total, "PX", ttl_ms)
redis.call("PEXPIRE", log, ttl_ms)
redis.call("PUBLISH", log, "new")
local newest = redis.call("XREVRANGE", log, "+", "-", "COUNT", 1)
return { total, newest[1][2][2] }
""",
)
SERVERS = [pytest.param(engine, id=name) for name, engine in covered().items()]


@pytest.mark.slow
@pytest.mark.parametrize("engine", SERVERS)
def test_they_agree_with_servers(engine: Engine) -> None:
    """Replies, keys of every kind, notices, and errors of commands and of Lua."""
    with serving(engine) as (side, clock):
        tally = check_agreement([LOG], [side], clock, histories=40, words={"event": ("a", "b")})
    assert tally.calls["log"] > 200
    assert tally.notices > 50
    assert not tally.unreached()
    assert not tally.unreached_lines()


class Wrong(LuaSide):
    """Answers seven in the place of any array."""

    def answer(self) -> Answer:
        """Replace the reply."""
        answer = super().answer()
        return answer._replace(reply=[7]) if isinstance(answer.reply, list) else answer


def test_a_difference_is_shown_without_a_word_of_twins() -> None:
    clock = Clock()
    with pytest.raises(Disagreement, match=r"log\.lua and memory disagree (.|\n)*in memory, \[7\] on lupa") as raised:
        check_agreement([LOG], [Wrong(clock)], clock, histories=3)
    assert "twin" not in f"{raised.value}{raised.value.__notes__}"


def test_check_agree_compares_them(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found is what no run in memory can show: here a command that only newer servers know."""
    old = {name: engine for name, engine in covered().items() if engine.version < (7,)}
    if not old:
        pytest.skip("no old server program is here")
    monkeypatch.setattr("coord.testing.servers.engines", lambda: old)
    monkeypatch.setattr("coord.cli.script.findings.HISTORIES", 20)
    script = tmp_path / "log.lua"
    sound = LOG.text.replace('error("not to be counted")', 'return redis.error_reply("ERR not to be counted")')
    script.write_text(sound)
    assert main(["script", "check", "--agree", str(script)]) == 0
    script.write_text(sound.replace('redis.call("PEXPIRE", log, ttl_ms)', 'redis.call("PEXPIRE", log, ttl_ms, "GT")'))
    capsys.readouterr()
    assert main(["script", "check", "--agree", str(script)]) == 1
    assert f"{script}:" in capsys.readouterr().out


def logging(event: str) -> Call[int]:
    """Note an event, and return how many there were."""
    return Call(LOG, ("shop:log:{a}", "shop:log:{a}:count"), (event, 1, 60_000), lambda reply: int(reply[0]))


async def log_together(sim: Sim) -> None:
    """Several clients log; the count and the stream agree."""

    async def work(client: Client) -> None:
        for number in range(3):
            answer = await client.attempt(client.c.run, logging(f"{client.name}-{number}"))
            sim.check((answer.value or 0) <= 9, "more was counted than was logged")
            logged.append(answer.is_done)

    await sim.run(work, clients=3)


logged: list[bool] = []


@pytest.mark.slow
@pytest.mark.parametrize("scripts", [(), (LOG,)], ids=["unknown", "handed over"])
def test_they_run_in_the_simulator(scripts: tuple[Script, ...]) -> None:
    logged.clear()
    report = simulate(log_together, seeds=5, faults=Faults.only("reply_lost", "script_flush"), scripts=scripts)
    assert report.scripts["log"] >= 40
    assert logged.count(True) >= 30


@pytest.mark.slow
def test_the_simulator_finds_what_is_wrong_with_them() -> None:
    async def none_is_lost(sim: Sim) -> None:
        async def work(client: Client) -> None:
            answer = await client.attempt(client.c.run, logging("x"))
            sim.check(answer.value in (None, 1), "counted twice")

        await sim.run(work, clients=2)

    with pytest.raises(SimulationFailed, match="counted twice"):
        simulate(none_is_lost, seeds=5, faults=Faults.none(), scripts=[LOG], shrink=False)


def test_without_lupa_all_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lupa.lua51", None)
    with pytest.raises(ConfigError, match=r"pip install 'coord\[lua\]'"):
        check_agreement([LOG], [], Clock())
    with pytest.raises(ConfigError, match=r"pip install 'coord\[lua\]'"):
        simulate(log_together, seeds=1)
    with coord.connect("memory://without-lupa") as c, pytest.raises(ConfigError, match=r"pip install 'coord\[lua\]'"):
        c.run(logging("x"))
