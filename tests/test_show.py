"""``coord show``: all that is known of one name, of every kind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from live import Live

from coord.cli import main

pytest_plugins = ("live_fixtures",)


def show(live: Live, *argv: str) -> int:
    return main(["show", "--url", live.url, *argv])


def test_everything_of_one_name(live_server: Live, capsys: Any) -> None:
    """A name is the name of several things at once; what only resembles it is left out."""
    with live_server.connect() as c:
        lease = c.claim("job:1", ttl=600, owner="anna")
        assert lease is not None
        newest = c.bump("job:1")
        c.bump("job:12")
        c.bump("a job:1")
        assert show(live_server, "job:1") == 0
    claim, version = capsys.readouterr().out.split("\n\n")
    assert claim.splitlines() == [
        "claim job:1",
        "  key         coord:claim:{job%3A1}",
        "  expires_in  10 min",
        "  owner       anna",
        f"  fence       {lease.fence}",
    ]
    assert version.splitlines()[-1].split() == ["version", str(newest)]


def test_a_semaphore_and_a_group(live_server: Live, capsys: Any) -> None:
    with live_server.connect() as c:
        with (
            c.semaphore("gpu", limit=3).hold(ttl=600, weight=2, owner="anna"),
            c.group("gpu").join("w-1", metadata=[1]),
        ):
            assert show(live_server, "gpu", "--json") == 0
            group, semaphore = sorted(json.loads(capsys.readouterr().out), key=lambda each: str(each["kind"]))
        assert (semaphore["kind"], semaphore["weight"]) == ("semaphore", 2)
        assert [(each["owner"], each["weight"]) for each in semaphore["holders"]] == [("anna", 2)]
        assert (group["kind"], group["size"], group["members"][0]["member"]) == ("group", 1, "w-1")
        assert show(live_server, "gpu") == 1, "what is free is not shown, although its key stays for a while"


def test_what_has_failed_and_why(live_server: Live, capsys: Any) -> None:
    with live_server.connect() as c:
        c.barrier("batch").open(parties=3, metadata={"of": {"anna": [1, 2]}})
        c.barrier("batch").fail("part-1", "no such\npage")
        request = c.request("batch")
        request.register()
        request.add("embedding", "page-1")
        request.fail("embedding", "page-1", "no such model")
        assert show(live_server, "batch") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "part-1  no such\\npage" in lines
    assert 'metadata     {"of": {"anna": [1, 2]}}' in lines
    assert lines[lines.index("embedding") :].index("page-1  no such model") > 0


@pytest.mark.parametrize("name", ["request-1", "embedding"])
def test_statistics_by_id_or_by_name(live_server: Live, capsys: Any, name: str) -> None:
    with live_server.connect() as c:
        c.stats("embedding").merge("request-1", {"errors": 1, "of all": 4})
        assert show(live_server, name) == 0
    title, *_, counts, errors, of_all = capsys.readouterr().out.splitlines()
    assert (title, counts.strip()) == ("stats embedding request-1", "counts")
    assert (errors.split(), of_all.split()) == (["errors", "1"], ["of", "all", "4"])


@pytest.mark.parametrize("name", ["job*", "[a]", "job:{%}", "ö\n\x1b", "a b"])
def test_a_name_is_taken_as_it_stands(live_server: Live, capsys: Any, name: str) -> None:
    """No sign in it stands for another."""
    with live_server.connect() as c:
        c.bump(name)
        c.bump("jobs")
        c.bump("a")
        assert show(live_server, name, "--json") == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == [name]


def test_what_is_not_there(live_server: Live, capsys: Any) -> None:
    """A script can tell by the exit code."""
    assert show(live_server, "job", "--json") == 1
    assert json.loads(capsys.readouterr().out) == []
    assert show(live_server, "job") == 1
    assert capsys.readouterr().err == "coord: nothing under 'coord:' has the name 'job'\n"
    assert show(live_server, "") == 2


def test_the_url_may_come_first(live_server: Live, capsys: Any) -> None:
    with live_server.connect() as c:
        c.bump("http://a/b")
        assert main(["show", live_server.url, "http://a/b"]) == 0
    assert "version http://a/b" in capsys.readouterr().out


def test_executions_and_leaders(live_server: Live, capsys: Any) -> None:
    with live_server.connect() as c:
        running = c.execution("runs").begin(fingerprint="body", owner="anna")
        c.execution("done").begin(owner="anna").complete("x" * 5_000)
        c.execution("failed").begin(owner="anna").fail("ValueError", "no such account")
        with c.leader("beat").hold() as lease:
            assert [show(live_server, name) for name in ("runs", "done", "failed", "beat")] == [0] * 4
    runs, done, failed, beat = _entities(capsys)
    assert (runs["state"], runs["owner"], runs["fingerprint"]) == ("running", "anna", "body")
    assert runs["fence"] == str(running.fence)
    assert (done["state"], done["size"], len(done["result"])) == ("done", "5000", 1_000)
    assert failed["error"] == "ValueError: no such account"
    assert beat["fence"] == str(lease.fence)


def _entities(capsys: Any) -> list[dict[str, str]]:
    """Return the details of each entity that was shown."""
    found: list[dict[str, str]] = []
    for line in capsys.readouterr().out.splitlines():
        if line and not line.startswith(" "):
            found.append({})
        elif line:
            name, _, value = line.strip().partition(" ")
            found[-1][name] = value.strip()
    return found
