"""Generated kernel modules, kept in a cache folder and loaded from it.

Numba cannot cache a function that closes over others on disk (its cache key holds the pickled
closure cells, so every process compiles again), while one whose parts are globals of a module
loads in a quarter of a second. A module lies in the folder under a name that hashes its text,
the package's kernel sources and the versions, because Numba's own cache does not notice edits
in the functions it inlined.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import os
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import numba
import numpy as np

from fastsched.files import replacing
from fastsched.version import VERSION

_load_lock = threading.Lock()


def load_kernel(source: str, functions: Mapping[str, Any] = MappingProxyType({})) -> ModuleType:
    """Write `source` to the cache folder once, and import it, with some functions as globals."""
    name = "fastsched_kernel_" + _known_fingerprint(source)
    text = name
    for key, function in functions.items():
        # A function is kept by the module, so that no other one has its address.
        name += f"_{key}_{id(function):x}"
    with _load_lock:
        if name in sys.modules:
            return sys.modules[name]
        path = _cache_folder() / f"{text}.py"
        if not path.exists():
            with replacing(path) as temporary:
                temporary.write_text(source, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        vars(module).update(functions)
        sys.modules[name] = module
        return module


def _fingerprint(source: str) -> str:
    """Return a hash of everything the compiled kernel depends on."""
    digest = hashlib.sha256(source.encode())
    digest.update(f"{numba.__version__} {np.__version__} {VERSION}".encode())
    for _, text in sorted(_imported_sources(source, "").items()):
        digest.update(text.encode())
    return digest.hexdigest()[:24]


_known_fingerprint = functools.cache(_fingerprint)


def _imported_sources(source: str, prefix: str) -> dict[str, str]:
    """Return the sources of the modules that `source` imports from, and of theirs in turn.

    Of theirs only those of this package: what device functions are made of.
    """
    found: dict[str, str] = {}
    for line in source.splitlines():
        if line.startswith("from ") and line.split()[1].startswith(prefix):
            name = line.split()[1]
            found[name] = inspect.getsource(importlib.import_module(name))
    for text in list(found.values()):
        for name, inner in _imported_sources(text, "fastsched.kernels.").items():
            found.setdefault(name, inner)
        for name, inner in _imported_sources(text, "fastsched.landscapes.").items():
            found.setdefault(name, inner)
    return found


@functools.cache
def _cache_folder() -> Path:
    """Return a folder for generated modules: the user's cache, else a temporary one."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        base = Path(os.environ["NUMBA_CACHE_DIR"])
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home()))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    try:
        folder = base / "fastsched"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return Path(tempfile.mkdtemp(prefix="fastsched-"))
