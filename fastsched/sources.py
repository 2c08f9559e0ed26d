"""Source texts that compiled code depends on, found by following imports.

A compiled function inlines functions and constants of other modules, but Numba's cache on disk
notices edits in the function's own file only.
"""

from __future__ import annotations

import ast
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import sys
import threading
from collections.abc import Iterator

from fastsched.errors import FastschedError

_PACKAGE = __name__.partition(".")[0]

# Threads that parse at once make Python 3.11 raise a SystemError.
_parsing = threading.Lock()

# Their versions are part of a fingerprint.
_VERSIONED = frozenset({"numba", "numpy"})


def dependencies(text: str) -> dict[str, str]:
    """Return the sources of the modules that `text` depends on, by module name.

    Imports are followed inside fastsched and inside the packages that `text` imports from, except
    those in the bodies of functions and under `TYPE_CHECKING`: a device function uses the globals
    of its module.

    Raises
    ------
    FastschedError
        The source of a module that `text` imports is not available.
    """
    waiting = list(_imports(text, ""))
    packages = {_PACKAGE, *map(_outermost, waiting)} - _VERSIONED
    found: dict[str, str] = {}
    for name in waiting:
        if _outermost(name) in packages and _module(name)[0] is None:
            raise FastschedError(
                f"the source of the module {name!r} is not available, and a kernel uses its "
                f"functions: move them to a file that can be imported"
            )
    while waiting:
        name = waiting.pop()
        if name not in found and _outermost(name) in packages:
            source, imported = _module(name)
            found[name] = source or ""
            waiting.extend(imported)
    return found


@functools.cache
def _module(name: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the source of a module, None if unavailable, and the modules that it imports."""
    source = None
    try:
        spec = _spec(name)
        if spec is None:
            source = inspect.getsource(sys.modules[name])
        elif isinstance(spec.loader, importlib.abc.InspectLoader):
            source = spec.loader.get_source(name)
    except (ImportError, KeyError, OSError, TypeError):
        pass
    if source is None:
        return None, ()
    return source, tuple(_imports(source, _package_of(name)))


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """Return how a module was or would be imported; None for a script and for a missing module."""
    module = sys.modules.get(name)
    if module is not None:
        return module.__spec__ if name != "__main__" else None
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:  # the parent is not a package
        return None


def _package_of(name: str) -> str:
    """Return the package that a module's relative imports start from."""
    module = sys.modules.get(name)
    if module is not None:
        return module.__package__ or ""
    spec = _spec(name)
    return "" if spec is None else spec.parent or ""


def _outermost(name: str) -> str:
    return name.partition(".")[0]


def _imports(text: str, package: str) -> Iterator[str]:
    """Yield the modules that a module's text imports."""
    with _parsing:
        body = ast.parse(text).body
    for node in _statements(body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
                if alias.asname is None:  # binds the outermost package
                    yield _outermost(alias.name)
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(name, package)
            yield base
            if _outermost(base) not in _VERSIONED:
                yield from _submodules(base, tuple(alias.name for alias in node.names))


@functools.cache
def _submodules(base: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the names imported from a package that are its modules."""
    spec = _spec(base)
    if spec is None or spec.submodule_search_locations is None:
        return ()
    return tuple(full for name in names if _spec(full := f"{base}.{name}") is not None)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        yield node
        checking = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        blocks = ("orelse",) if checking else ("body", "orelse", "finalbody")
        for block in blocks:
            yield from _statements(getattr(node, block, []))
        for handler in getattr(node, "handlers", []):
            yield from _statements(handler.body)
