"""A server that lacks a command that scripts use is rejected by ``connect``: a script would stop half-way."""

from __future__ import annotations

import asyncio
import re

import pytest

import coord
from coord.permissions import PERMITTED, acl_line
from coord.script import all_scripts
from coord.testing.servers import Engine, Server, engines

SERVERS = [pytest.param(engine, id=name) for name, engine in engines().items()]


@pytest.mark.parametrize("engine", SERVERS)
@pytest.mark.parametrize("command", ["PEXPIRE", "PUBLISH", "UNLINK", "SCRIPT", "EVALSHA"])
def test_a_renamed_command_is_named_by_connect(engine: Engine, command: str) -> None:
    with Server(engine, "--rename-command", command, "") as server:
        with pytest.raises(coord.ConfigError, match=command):
            coord.connect(server.url)

        async def connect() -> None:
            await coord.connect_async(server.url)

        with pytest.raises(coord.ConfigError, match=command):
            asyncio.run(connect())


def test_the_probe_names_every_command_that_a_script_uses() -> None:
    used = {
        name for script in all_scripts() for name in re.findall(r'(?:redis\.p?call|batched)\("([A-Z]+)"', script.source)
    }
    tried = set(re.findall(r'\btry\("([A-Z]+)"', PERMITTED.source))
    assert used <= tried
    granted = acl_line("coord:")
    assert [name for name in tried if f"+{name.lower()}" not in granted.split()] == []
