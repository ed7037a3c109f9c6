"""The scripts that paths on the command line mean: their text, and the modules that have their twins."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from coord.errors import ConfigError
from coord.script import Script, Twin, all_scripts

__all__ = ["is_folder", "lua_files", "python_files", "read_script", "read_text", "scripts_in", "with_twin"]


def lua_files(paths: Iterable[Path]) -> list[Path]:
    """Return the scripts among paths, and those in folders, without the libraries in folders named lib."""
    found: list[Path] = []
    for path in paths:
        if is_folder(path):
            found += sorted(each for each in path.rglob("*.lua") if each.parent.name != "lib" and not _is_hidden(each))
        elif path.suffix != ".py":
            found.append(path)
    return found


def python_files(paths: Iterable[Path]) -> list[Path]:
    """Return the Python files that may build calls of the scripts that paths mean."""
    found: dict[Path, None] = {}
    for path in paths:
        if is_folder(path):
            found |= dict.fromkeys(each for each in sorted(path.rglob("*.py")) if not _is_hidden(each))
        elif path.suffix == ".py":
            found[path] = None
        else:
            found |= dict.fromkeys(_modules_of(path))
    return list(found)


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; False for one that no system takes, such as a name of 300 letters."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part in ("node_modules", "__pycache__", "site-packages") for part in path.parts)


def read_text(file: Path) -> str:
    """Return the text of a file; ``ConfigError`` when it cannot be read, ``UnicodeDecodeError`` when not UTF-8."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        # A name with a null byte, or half of a surrogate pair.
        raise ConfigError(f"cannot read {str(file)!a}: {error}") from None


def read_script(file: Path, twin: Twin | None = None) -> Script:
    """Return a file as a script; its own libraries are in ``lib`` next to it."""
    return Script(file.stem, read_text(file), twin, file=str(file), lib=file.parent / "lib")


def with_twin(file: Path) -> Script | None:
    """Return a file as a script with its twin, from coord or a module that names the file; None: there is none."""
    text = read_text(file)
    candidates = list(all_scripts())
    if not any(script.text == text for script in candidates):
        candidates = [script for module in _modules_of(file) for script in scripts_in(module)]
    twin = next((script.twin for script in candidates if script.text == text and script.twin), None)
    return read_script(file, twin) if twin else None


def _modules_of(file: Path) -> Iterator[Path]:
    """Yield the Python files that name a script: in its folder, and in the package whose folder that is.

    They are imported. What else lies above, such as a home folder, has no part in it.
    """
    folder, here = file.resolve().parent, Path.cwd()
    above = folder.parent
    is_of_package = folder.name == "lua" or (above / "__init__.py").exists()
    for place in (folder, above) if is_of_package else (folder,):
        for module in sorted(place.glob("*.py")):
            text = module.read_text(errors="replace")
            named = re.search(rf"[\"']{re.escape(file.stem)}(\.lua)?[\"']", text)
            if named and re.search(r"\bcoord\b", text) and not module.name.startswith("test_"):
                yield module.relative_to(here) if module.is_relative_to(here) else module


def scripts_in(module: Path) -> list[Script]:
    """Import a module and return its scripts. It is forgotten again: another folder may have one of its name."""
    name, root = _dotted(module.resolve())
    before = set(sys.modules)
    sys.path.insert(0, str(root))
    try:
        imported = import_module(name)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"cannot import {module}, for its scripts: {error!r}") from error
    finally:
        sys.path.remove(str(root))
        for other in set(sys.modules) - before:
            if (getattr(sys.modules[other], "__file__", None) or "").startswith(str(root)):
                del sys.modules[other]
    return [value for value in vars(imported).values() if isinstance(value, Script)]


def _dotted(module: Path) -> tuple[str, Path]:
    """Return the name by which a file is imported, and the folder that has to be on the path."""
    parts = [] if module.stem == "__init__" else [module.stem]
    folder = module.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts), folder
