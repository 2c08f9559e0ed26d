"""Functions of the user: compiled by Numba, and tried once before a kernel needs them."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from fastsched.errors import FastschedError, reject

_LONGEST_REASON = 300
_PREAMBLE = "Failed in nopython mode pipeline (step: nopython frontend) "
_COLOURS = re.compile("\x1b\\[[0-9;]*m")


def python_of(function: Any) -> Callable[..., Any]:
    """Return the Python function of a compiled one."""
    return getattr(function, "py_func", function)


@functools.cache
def compiled(function: Any) -> Any:
    """Return the compiled function: the same object each time, so that kernels are too."""
    return function if hasattr(function, "py_func") else numba.njit(function)


@functools.cache
def _checked(name: str, function: Any, arguments: str) -> Any:
    """Return the function compiled with its indices checked."""
    if not callable(function):
        reject(name, function, f"a function {name}{arguments}")
    python = python_of(function)
    try:
        parameters = inspect.signature(python).parameters
    except (TypeError, ValueError):
        reject(name, function, f"a Python or numba.njit function {name}{arguments}")
    if len(parameters) != arguments.count(",") + 1:
        reject(
            name, function, f"a function {name}{arguments}; it takes {len(parameters)} arguments"
        )
    return numba.njit(boundscheck=True)(python)


def tried(name: str, function: Any, signature: str, *arguments: NDArray[np.float64]) -> Any:
    """Return what a function gives at the start, with its indices checked.

    It is called in both precisions, since those of studies are not known yet.

    Raises
    ------
    FastschedError
        It is no function with such a signature, cannot be compiled, or fails.
    """
    checked = _checked(name, function, signature)
    with np.errstate(over="ignore"):
        single = [part.astype(np.float32) for part in arguments]
    result = _called(name, checked, arguments)
    try:
        _called(name, checked, single)
    except FastschedError as error:
        raise FastschedError(
            f"in single precision, with arrays of float32 (`a.astype(theta.dtype)` makes an "
            f"array `a` match them), {error}"
        ) from None
    return result


def _called(name: str, checked: Any, arguments: Sequence[NDArray[Any]]) -> Any:
    try:
        return checked(*arguments)
    except NumbaError as error:
        reason = " ".join(_COLOURS.sub("", str(error)).split())
        reason = reason.removeprefix(_PREAMBLE)
        if len(reason) > _LONGEST_REASON:
            reason = reason[:_LONGEST_REASON] + " ..."
        raise FastschedError(f"{name} cannot be compiled by Numba: {reason}") from None
    except Exception as error:
        raise FastschedError(
            f"{name} fails at the start: {type(error).__name__}: {error}"
        ) from error
