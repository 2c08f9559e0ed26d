"""Generated kernel modules, kept in a cache folder and loaded from it.

Numba cannot cache a function that closes over others on disk (its cache key holds the pickled
closure cells, so every process compiles again), while one whose parts are globals of a module
loads in a quarter of a second. A module lies in the folder under a name that hashes its text,
the sources it depends on and the versions, because Numba's own cache does not notice edits
in the functions it inlined.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any

from fastsched.disk_cache import cache_folder, fingerprint
from fastsched.files import replacing

_load_lock = threading.Lock()


def load_kernel(source: str, functions: Mapping[str, Any] = MappingProxyType({})) -> ModuleType:
    """Write `source` to the cache folder once, and import it, with some functions as globals."""
    name = "fastsched_kernel_" + fingerprint(source)
    text = name
    for key, function in functions.items():
        # A function is kept by the module, so that no other one has its address.
        name += f"_{key}_{id(function):x}"
    with _load_lock:
        if name in sys.modules:
            return sys.modules[name]
        path = cache_folder() / f"{text}.py"
        if not path.exists():
            try:
                with replacing(path) as temporary:
                    temporary.write_text(source, encoding="utf-8")
            except PermissionError:
                # On Windows a file that another process reads cannot be replaced.
                if not path.exists():
                    raise
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        vars(module).update(functions)
        sys.modules[name] = module
        return module
