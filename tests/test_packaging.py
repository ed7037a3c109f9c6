"""What is shipped: a wheel and an sdist with every script in them, and a memory:// that needs no other package."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import coord

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = {path.relative_to(ROOT / "lua").as_posix(): path.read_bytes() for path in (ROOT / "lua").rglob("*.lua")}

USE = """
import sys
import coord
with coord.connect("memory://") as c:
    assert c.once("job", ttl=45) is True
    assert c.once("job", ttl=45) is False
    assert c.claim("job") is not None
    assert c.is_stale("index", c.bump("index")) is False
foreign = {"redis", "hiredis", "rich", "hypothesis", "lupa"} & set(sys.modules)
assert not foreign, foreign
print(coord.__file__)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.mark.slow
def test_the_wheel_has_every_script(wheel: Path) -> None:
    """``coord/lua`` in the wheel is ``lua`` here, byte for byte."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {
            name.removeprefix("coord/lua/"): archive.read(name)
            for name in archive.namelist()
            if name.startswith("coord/lua/")
        }
        names = set(archive.namelist())
        grammar = archive.read("coord/docs/scripts.md")
    assert inside == SCRIPTS
    assert grammar == (ROOT / "docs" / "scripts.md").read_bytes()
    assert "coord/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "examples/", "benchmarks/", "lua/"))]


@pytest.mark.slow
def test_the_sdist_has_its_scripts_on_top(built: Path) -> None:
    """``lua`` stands beside ``coord`` in the sdist, as in the repository."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"lua/{name}" for name in SCRIPTS} <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "tests/conftest.py"} <= names


@pytest.mark.slow
def test_memory_runs_from_the_zip_without_any_package(wheel: Path) -> None:
    """The wheel, not even unpacked, on a Python without site-packages."""
    use = f"import sys; sys.path.insert(0, {str(wheel)!r}){USE}"
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", use], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert str(wheel) in ran.stdout


@pytest.mark.slow
def test_memory_runs_unpacked_without_any_package(wheel: Path, tmp_path: Path) -> None:
    """The wheel as an installer lays it out, on a Python without site-packages."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    use = f"import sys; sys.path.insert(0, {str(tmp_path)!r}){USE}"
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", use], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert str(tmp_path) in ran.stdout


@pytest.mark.slow
def test_servers_without_redis_py_say_what_to_install(wheel: Path) -> None:
    """A redis:// URL without the package redis is a ConfigError with the command that helps."""
    use = (
        f"import sys; sys.path.insert(0, {str(wheel)!r})\nimport coord\n"
        "try:\n    coord.connect('redis://localhost')\nexcept coord.ConfigError as error:\n    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", use], check=False, capture_output=True, text=True)
    assert "pip install 'coord[redis]'" in ran.stdout, ran.stderr


@pytest.mark.slow
def test_the_version_is_the_same_everywhere(wheel: Path) -> None:
    """One line of ``coord/__init__.py`` says the version of the wheel and of the command line."""
    assert wheel.name.split("-")[1] == coord.__version__
    ran = subprocess.run([sys.executable, "-m", "coord", "--version"], check=False, capture_output=True, text=True)
    assert ran.stdout == f"coord {coord.__version__}\n"
