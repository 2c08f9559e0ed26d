"""Executors: what `executor=` accepts, and whether its workers can receive a study."""

from __future__ import annotations

import os
import pickle
import sys
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any, NoReturn

from fastsched.errors import FastschedError, elided, reject
from fastsched.spec import Spec
from fastsched.study import Study
from fastsched.sweep import Sweep

_ALLOWED = (
    "a concurrent.futures executor, a dask.distributed client or cluster, or another object whose "
    "submit returns futures of concurrent.futures"
)


def connected(executor: Any, tries: int) -> tuple[Executor, int]:
    """Return the executor behind what was given as `executor`, and its number of workers.

    Parameters
    ----------
    executor
        A dask.distributed client or cluster, or an executor.
    tries : int
        Attempts per task on a dask.distributed client.

    Raises
    ------
    FastschedError
        It is none of these, or the client cannot be reached.
    """
    if isinstance(executor, type):
        reject("executor", executor, f"{_ALLOWED}, not a class")
    if _has(executor, "get_client") and not _has(executor, "submit"):
        try:
            executor = executor.get_client()
        except (OSError, RuntimeError) as error:
            raise FastschedError(
                f"executor = {executor!r} cannot be connected to: {error}"
            ) from error
    local = os.cpu_count() or 1
    if _has(executor, "get_executor", "ncores"):
        return executor.get_executor(pure=False, retries=tries), max(local, _cores(executor))
    if not _has(executor, "submit"):
        reject("executor", executor, _ALLOWED)
    client = getattr(executor, "_client", None)
    if _has(client, "ncores"):  # the executor of a dask.distributed client
        return executor, max(local, _cores(client))
    workers = getattr(executor, "_max_workers", None)
    return executor, workers if isinstance(workers, int) else local


def submitted(executor: Executor, *task: Any) -> Future[Any]:
    """Submit a function with its arguments.

    Raises
    ------
    FastschedError
        The executor accepts no tasks, or returns something else than a future.
    """
    try:
        future = executor.submit(*task)
    except RuntimeError as error:
        if type(error) is not RuntimeError:  # a broken pool
            raise
        raise FastschedError(f"executor = {executor!r} accepts no tasks: {error}") from error
    if not isinstance(future, Future):
        kind = f"{type(future).__module__}.{type(future).__qualname__}"
        reject("executor", executor, f"{_ALLOWED}; its submit returns a {kind}")
    return future


def require_portable(asked: Study | Sweep, executor: Executor) -> None:
    """Check that the processes of a `ProcessPoolExecutor` can receive a study.

    Other executors may have pickles of their own, as Dask has.

    Raises
    ------
    FastschedError
        A part of the study cannot be pickled, or is defined at a prompt or on standard input,
        where new processes do not find it.
    """
    if not isinstance(executor, ProcessPoolExecutor):
        return
    _require_pickle(asked, "")
    context = getattr(executor, "_mp_context", None)
    forks = context is not None and context.get_start_method() == "fork"
    # A script that is read from standard input has the file name "<stdin>".
    script = getattr(sys.modules["__main__"], "__file__", None)
    if not forks and (script is None or not os.path.isfile(script)):
        _refuse_interactive(asked, "")


def _require_pickle(asked: Any, path: str) -> None:
    try:
        pickle.dumps(asked)
    except Exception as error:
        for name, part in _parts(asked, path):
            _require_pickle(part, name)
        _refuse(asked, path, f"cannot be sent to another process ({error})")


def _refuse_interactive(asked: Any, path: str) -> None:
    # Compiled functions travel by value, other functions and classes by name.
    if not hasattr(asked, "py_func"):
        named = type(asked) if isinstance(asked, Spec) else asked
        if callable(named) and getattr(named, "__module__", None) == "__main__":
            _refuse(asked, path, "is defined at a prompt, where new processes do not find it")
    for name, part in _parts(asked, path):
        _refuse_interactive(part, name)


def _parts(value: Any, path: str) -> list[tuple[str, Any]]:
    """Return the fields or entries of a value with their paths."""
    if isinstance(value, Sweep):
        axes = [(f"axes[{'+'.join(axis.paths)!r}]", axis.values) for axis in value.axes]
        return [("study", value.study), *axes]
    if isinstance(value, Spec):
        prefix = f"{path}." if path else ""
        return [(f"{prefix}{name}", part) for name, part in value._fields().items()]
    if isinstance(value, tuple):
        return [(f"{path}[{k}]", part) for k, part in enumerate(value)]
    return []


def _refuse(part: Any, path: str, why: str) -> NoReturn:
    raise FastschedError(
        f"executor: {path or 'the study'} = {elided(repr(part), 120, 100, 12)} {why}: define it "
        f"at the top of a module that can be imported, or use threads"
    )


def _cores(client: Any) -> int:
    try:
        return sum(client.ncores().values())
    except (AttributeError, OSError, RuntimeError, TypeError) as error:
        raise FastschedError(
            f"executor = {client!r} does not say how many cores its workers have (is it closed, or "
            f"asynchronous?): {error}"
        ) from error


def _has(value: Any, *methods: str) -> bool:
    return all(callable(getattr(value, method, None)) for method in methods)
