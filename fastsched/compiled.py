"""Functions of the user: compiled by Numba, and tried once before a kernel needs them."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from fastsched.errors import FastschedError, failed, reject
from fastsched.kernels.device import subroutine

_LONGEST_REASON = 300
_PREAMBLE = "Failed in nopython mode pipeline (step: nopython frontend) "
_COLOURS = re.compile("\x1b\\[[0-9;]*m")

_NUMBERS = (types.Integer, types.Float)
_RETURNS: dict[str, tuple[type[types.Type], ...]] = {
    "a number": _NUMBERS,
    "a bool or a number": (*_NUMBERS, types.Boolean),
    "nothing": (types.NoneType,),
}


def python_of(function: Any) -> Callable[..., Any]:
    """Return the Python function of a compiled one."""
    return getattr(function, "py_func", function)


@functools.cache
def compiled(function: Any) -> Any:
    """Return the compiled function: the same object each time, so that kernels are too.

    It is a compilation of our own. Numba compiles a function with the options of whoever calls it
    first, so one that was called before would round otherwise in a kernel.
    """
    return subroutine(python_of(function))


@functools.cache
def _bounds_checked(python: Callable[..., Any]) -> Any:
    """Return the function compiled with its indices checked."""
    return numba.njit(boundscheck=True)(python)


def _checked(name: str, function: Any, arguments: str) -> Any:
    """Return the function compiled with its indices checked, if its arguments are right."""
    python = python_of(function)
    if not inspect.isfunction(python):
        reject(name, function, f"a Python or numba.njit function {name}{arguments}")
    parameters = inspect.signature(python).parameters.values()
    if any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
        reject(name, function, f"a function {name}{arguments}, without * or keyword arguments")
    if len(parameters) != arguments.count(",") + 1:
        reject(
            name, function, f"a function {name}{arguments}; it takes {len(parameters)} arguments"
        )
    return _bounds_checked(python)


def tried(
    name: str,
    function: Any,
    signature: str,
    *arguments: NDArray[np.float64],
    returns: str,
    advice: str = "",
) -> Any:
    """Call a function at the start, with its indices checked, and return what it returns.

    It is called in both precisions, because the precision of the study is not known yet. The
    type that Numba infers for the result covers every path through the function.

    Parameters
    ----------
    name : str
        The parameter that the function is.
    function : callable
    signature : str
        Its arguments, for messages.
    *arguments : arrays
        The arguments in double precision.
    returns : {"a number", "a bool or a number", "nothing"}
        What it must return.
    advice : str, default ""
        Ends the message that it returns something else.

    Raises
    ------
    FastschedError
        It is no function with such a signature, cannot be compiled, fails, or may return
        something else.
    """
    checked = _checked(name, function, signature)
    with np.errstate(over="ignore"):
        single = [part.astype(np.float32) for part in arguments]
    result = _called(name, checked, arguments)
    _check_type(name, function, checked, arguments, returns, advice)
    try:
        _called(name, checked, single)
        _check_type(name, function, checked, single, returns, advice)
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
        raise failed(name, error, " at the start") from error


def _check_type(
    name: str,
    function: Any,
    checked: Any,
    arguments: Sequence[NDArray[Any]],
    returns: str,
    advice: str,
) -> None:
    compilation = checked.overloads[tuple(map(numba.typeof, arguments))]
    found = types.unliteral(compilation.signature.return_type)
    if not isinstance(found, _RETURNS[returns]):
        allowed = f"a function that returns {returns}; it returns {_described(found)}{advice}"
        reject(name, function, allowed)


def _described(found: types.Type) -> str:
    """Return the words for a type of Numba."""
    if isinstance(found, types.Optional):
        return f"{_described(found.type)} on some paths and None on others"
    if isinstance(found, types.Array):
        return f"an array of {found.ndim} dimension{'' if found.ndim == 1 else 's'}"
    for kind, words in (
        (types.NoneType, "None"),
        (types.Boolean, "a bool"),
        (_NUMBERS, "a number"),
        (types.Complex, "a complex number"),
        (types.BaseTuple, "a tuple"),
        (types.UnicodeType, "a str"),
    ):
        if isinstance(found, kind):
            return words
    return f"a value of Numba's type {found}"
