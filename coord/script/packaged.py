"""Scripts in the files of a package: coord's own, and those of packages that extend it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING

from coord.errors import ConfigError, CoordError
from coord.script.resources import resource
from coord.script.script import Script, Twin

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

__all__ = ["Scripts", "all_scripts", "load"]


class Scripts:
    """The ``.lua`` files of a package, in ``folder``; library files for ``-- include: NAME`` are in ``folder/lib``.

    ``package``: its import name, as in ``Scripts("shop")`` or ``Scripts(__package__)``.
    """

    def __init__(self, package: str, folder: str = "lua") -> None:
        self._name = f"{package}/{folder}"
        self._folder: Traversable | Path = files(package) / folder
        self._loaded: dict[str, Script] = {}

    def __iter__(self) -> Iterator[Script]:
        return iter([self._loaded[name] for name in sorted(self._loaded)])

    def load(
        self, name: str, twin: Twin | None = None, *, errors: Mapping[str, type[CoordError]] | None = None
    ) -> Script:
        """Load ``NAME.lua`` and join it to its twin, if it has one.

        ``errors``: what the script's error replies become, by their first word, such as ``{"SHOP_EMPTY": Empty}``; a
        twin answers one with ``raise ReplyError("SHOP_EMPTY ...")``. ``ConfigError`` when there is no such file, or
        when header, Lua and twin disagree.
        """
        try:
            source = (self._folder / f"{name}.lua").read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ConfigError(f"{self._name} has no {name}.lua: is the folder part of the package?") from None
        lib = self._folder / "lib"
        script = Script(name, source, twin, file=f"{self._name}/{name}.lua", lib=lib, errors=errors)
        self._loaded[name] = script
        return script


class _Shipped(Scripts):
    """The scripts that coord ships."""

    def __init__(self) -> None:
        super().__init__("coord")
        self._name, self._folder = "lua", resource("lua")

    def load(
        self, name: str, twin: Twin | None = None, *, errors: Mapping[str, type[CoordError]] | None = None
    ) -> Script:
        """Load ``lua/NAME.lua``."""
        script = super().load(name, twin, errors=errors)
        # coord's operations have checked their arguments.
        script.checks_calls = False
        return script


_shipped = _Shipped()
load = _shipped.load


def all_scripts() -> tuple[Script, ...]:
    """Return every script that coord ships and that has been loaded, in the order of their names."""
    return tuple(_shipped)
