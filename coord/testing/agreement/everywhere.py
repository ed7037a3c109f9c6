"""Agreement with every server program that is installed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from coord.errors import ConfigError
from coord.script import Script
from coord.testing.agreement.run import check_agreement
from coord.testing.agreement.server import serving
from coord.testing.agreement.tally import Tally
from coord.testing.servers import Engine, engines

__all__ = ["agree"]


def agree(
    *scripts: Script, on: Iterable[Engine] | None = None, histories: int = 50, **options: Any
) -> dict[str, Tally]:
    """Compare scripts in memory with servers; return what was compared, by the name of each server program.

    ``on``: the server programs (None: every one that is installed). ``histories``: how many with each of them; other
    options are those of ``check_agreement``. Scripts that share keys are handed in together. Raises ``Disagreement``
    at the first difference, with the shortest history that shows it, and ``ConfigError`` when there is no server
    program, or when lupa is missing and a script has no twin.
    """
    programs = list(engines().values() if on is None else on)
    if not programs:
        raise ConfigError("agree takes a server program: pip install 'coord[servers]', or redis-server on PATH")
    tallies: dict[str, Tally] = {}
    for engine in programs:
        with serving(engine) as (server, clock):
            tallies[engine.name] = check_agreement(scripts, [server], clock, histories=histories, **options)
    return tallies
