"""``coord watch``: the list again and again, in a pipe and on a terminal, until Ctrl-C."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from backends import found
from live import SOON, Live, until

import coord
from coord.cli import main, watch
from coord.testing.servers import Server

pytest_plugins = ("live_fixtures",)


def command(url: str, *argv: str) -> list[str]:
    return [sys.executable, "-m", "coord", "watch", "--url", url, "--every", "0.1", *argv]


def test_a_change_is_seen_at_the_next_look(live_server: Live, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with live_server.connect() as c:
        lease = c.claim("job", owner="anna")
        assert lease is not None
        pause = SimpleNamespace(sleep=lambda _: lease.release(), strftime=time.strftime)
        monkeypatch.setattr(watch, "time", pause)
        assert main(["watch", "--url", live_server.url, "--times", "2"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("1 found") < shown.index("held by anna") < shown.index("0 found")


@pytest.mark.slow
def test_ctrl_c_ends_it_without_a_word(live_server: Live) -> None:
    with live_server.connect() as c:
        c.bump("document")
    with subprocess.Popen(
        command(live_server.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert "1 found" in watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(SOON) == 0
        assert watching.stderr.read() == ""


class Terminal:
    """A terminal with a command in it."""

    def __init__(self, argv: list[str], **environment: str) -> None:
        self._mine, theirs = pty.openpty()
        self.seen = ""
        self.process = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm", **environment}
        )
        os.close(theirs)

    def shows(self, text: str) -> bool:
        """Read on, and tell whether a text has been shown."""
        with suppress(OSError):
            if not select.select([self._mine], [], [], 0.1)[0]:
                return False
            self.seen += os.read(self._mine, 65536).decode(errors="replace")
        return text in self.seen

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._mine)


@pytest.fixture(params=["drawn", "plain"])
def terminal(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[tuple[Server, Terminal]]:
    """A terminal that watches a server, with rich and without."""
    environment = {}
    if request.param == "plain":
        # A module of this name that is not a package: find_spec finds none.
        (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['rich'] = None\n")
        environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with Server(found()["redis-8.2"]) as server:
        shown = Terminal(command(server.url), **environment)
        yield server, shown
        shown.close()


@pytest.mark.slow
def test_a_terminal_is_redrawn_until_ctrl_c(terminal: tuple[Server, Terminal]) -> None:
    server, shown = terminal
    until(lambda: shown.shows("0 found"))
    with coord.connect(server.url) as c:
        c.claim("job", owner="anna")
        until(lambda: shown.shows("held by anna"))
        c.bump("document")
        until(lambda: shown.shows("document"))
    shown.process.send_signal(signal.SIGINT)
    assert shown.process.wait(SOON) == 0
    assert "Traceback" not in shown.seen


@pytest.mark.slow
def test_a_server_that_goes_away_is_reported_and_waited_for(terminal: tuple[Server, Terminal]) -> None:
    server, shown = terminal
    until(lambda: shown.shows("0 found"))
    server.kill()
    until(lambda: shown.shows("cannot reach the server"))
    server.start()
    with coord.connect(server.url) as c:
        c.bump("back again")
    until(lambda: shown.shows("back again"))


@pytest.mark.parametrize("argv", [("--every", "0"), ("--times", "0"), ("--limit", "0")])
def test_what_makes_no_sense_is_refused(argv: tuple[str, ...], capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["watch", *argv])
    assert ended.value.code == 2
    assert argv[0] in capsys.readouterr().err


def test_a_server_that_is_not_there_to_begin_with(capsys: Any) -> None:
    assert main(["watch", "--url", "redis://:hush@127.0.0.1:1"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("coord: cannot reach the server")
    assert "hush" not in told
