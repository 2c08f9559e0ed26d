"""Cache of compiled code on disk: its folder, its keys, and the functions kept in it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np

from fastsched.errors import FastschedError
from fastsched.sources import dependencies
from fastsched.version import VERSION

_lock = threading.RLock()


@functools.cache
def fingerprint(source: str) -> str:
    """Return a hash of the text of a module and of everything it is compiled from."""
    digest = hashlib.sha256(source.encode())
    digest.update(f"{numba.__version__} {np.__version__} {VERSION}".encode())
    for name, text in sorted(dependencies(source).items()):
        digest.update(f"\0{name}\0{text}".encode())
    return digest.hexdigest()[:24]


@functools.cache
def cache_folder() -> Path:
    """Return the folder for compiled code.

    It is the subfolder `fastsched` of the first of these that can be written to: NUMBA_CACHE_DIR,
    XDG_CACHE_HOME where it is an absolute path, the platform's cache folder, and a temporary
    folder that is removed at exit.

    Raises
    ------
    FastschedError
        None of them can be written to.
    """
    for base in _candidates():
        folder = base / "fastsched"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    try:
        folder = Path(tempfile.mkdtemp(prefix="fastsched-"))
    except OSError as error:
        raise FastschedError(
            f"there is no folder to write compiled kernels to; set NUMBA_CACHE_DIR to one ({error})"
        ) from None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    warnings.warn(
        f"no cache folder can be written to, so kernels are compiled in every process (in "
        f"{folder}); set NUMBA_CACHE_DIR to a folder that keeps them",
        RuntimeWarning,
        stacklevel=2,
    )
    return folder


def _candidates() -> Iterator[Path]:
    """Yield absolute folders to try, the best first."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(os.environ["NUMBA_CACHE_DIR"]).absolute()
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    # The XDG specification has relative paths ignored.
    given = Path(os.environ.get(variable, ""))
    if given.is_absolute():
        yield given
    try:
        home = Path.home()
    except RuntimeError:  # neither HOME nor an entry in the user database
        return
    if home.is_absolute():
        yield home if sys.platform == "win32" else home / ".cache"


class Cached:
    """A function compiled on its first call, from disk if nothing it depends on has changed.

    Parameters
    ----------
    function : callable
        A function at the top of a module. Compiled code cannot call it.
    jit : callable
        `numba.njit` or `numba.cuda.jit`.
    **options
        Options of `jit`.

    Attributes
    ----------
    py_func : callable
        The Python function.
    """

    def __init__(self, function: Callable[..., Any], jit: Any, **options: Any) -> None:
        self.py_func = function
        self._jit, self._options = jit, options
        self._dispatcher: Any = None
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:
        return self._compiled()(*arguments)

    def __getitem__(self, launch: Any) -> Any:
        """Return a CUDA kernel configured for a launch."""
        return self._compiled()[launch]

    def _compiled(self) -> Any:
        if self._dispatcher is None:
            with _lock:
                key = fingerprint(f"from {self.py_func.__module__} import *")
                with _numba_caches_in(cache_folder() / key):
                    self._dispatcher = self._jit(cache=True, **self._options)(self.py_func)
        return self._dispatcher


@contextlib.contextmanager
def _numba_caches_in(folder: Path) -> Iterator[None]:
    """Let Numba keep the functions decorated in this context in a folder."""
    # numba-cuda has settings of its own.
    modules = ("numba.core.config", "numba.cuda.core.config")
    settings = [sys.modules[name] for name in modules if name in sys.modules]
    before = [getattr(setting, "CACHE_DIR", "") for setting in settings]
    try:
        for setting in settings:
            vars(setting)["CACHE_DIR"] = str(folder)
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            vars(setting)["CACHE_DIR"] = value


def cached(jit: Any = numba.njit, **options: Any) -> Callable[[Callable[..., Any]], Cached]:
    """Compile a function on its first call and keep it on disk (decorator)."""
    return lambda function: Cached(function, jit, **options)
