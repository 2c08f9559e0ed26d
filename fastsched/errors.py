"""The errors fastsched raises and the checks that raise them.

Every check names the parameter, shows its value and says what is allowed, and runs before
anything is compiled.
"""

from __future__ import annotations

import contextlib
import math
import numbers
import operator
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

LARGEST_SQUARED = 1e150
"""The largest number that a parameter may be whose square is needed."""


class FastschedError(ValueError):
    """Base of every error that fastsched raises on purpose."""


class NoExactTheory(FastschedError):
    """There is no exact theory for what was asked; the message says what is missing."""


class ResultFileError(FastschedError):
    """A file is not a result that fastsched wrote, or it is damaged."""


def reject(name: str, value: object, allowed: str) -> NoReturn:
    """Raise the standard error: the parameter, its value, what is allowed."""
    line = " ".join(part.strip() for part in repr(value).splitlines())
    text = elided(line, 120, 100, 12)
    raise FastschedError(f"{name} = {text}: {name} must be {allowed}")


def elided(text: str, longest: int, head: int, tail: int) -> str:
    """Return a text, of a longer one than `longest` its head and tail."""
    return text if len(text) <= longest else f"{text[:head]} ... {text[-tail:]}"


def failed(name: str, error: Exception, where: str = "") -> FastschedError:
    """Return the error to raise when a function of the user raises one."""
    return FastschedError(f"{name} fails{where}: {type(error).__name__}: {error}")


def unwrapped(value: Any) -> Any:
    """Return an array of any library as a NumPy array, or as a scalar if it has no dimensions.

    PyTorch's tensors, JAX's arrays, pandas' tables and xarray's arrays are recognised by their
    methods; nothing is imported. Tensors are detached and copied to the host. Masked arrays and
    everything else are returned unchanged.
    """
    if not hasattr(value, "__array__") or isinstance(value, (np.ma.MaskedArray, np.generic)):
        return value
    host = value
    try:
        for method in ("detach", "cpu"):
            move = getattr(host, method, None)
            host = move() if callable(move) else host
        try:
            result = np.asarray(host)
        except TypeError:
            result = np.asarray(host.tolist())  # NumPy has no bfloat16: PyTorch refuses,
        if result.dtype.kind == "V" and result.dtype.names is None:
            result = np.asarray(host.tolist())  # and JAX's is an unknown type
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return value
    return result[()] if result.ndim == 0 and result.dtype.kind != "O" else result


def is_number(value: Any) -> bool:
    """Return whether `value` is a real number, or an array of one without dimensions."""
    given = unwrapped(value)
    return isinstance(given, numbers.Real) and not isinstance(given, np.timedelta64)


def real(
    name: str,
    value: Any,
    *,
    above: float = -math.inf,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    below: float = math.inf,
) -> float:
    """Return `value` as a finite float inside the open and closed bounds given."""
    bounds = (
        (above, "greater than"),
        (minimum, "at least"),
        (maximum, "at most"),
        (below, "less than"),
    )
    allowed = "a finite number" + "".join(
        f", {words} {bound:g}" for bound, words in bounds if math.isfinite(bound)
    )
    given = unwrapped(value)
    if isinstance(given, (bool, np.bool_)) or not is_number(given):
        reject(name, value, allowed)
    try:
        number = float(given) + 0.0  # -0.0 becomes 0.0
    except OverflowError:
        reject(name, value, allowed)
    if not (math.isfinite(number) and above < number < below and minimum <= number <= maximum):
        reject(name, value, allowed)
    return number


def integer(name: str, value: Any, *, minimum: int, maximum: int = 2**63 - 1) -> int:
    """Return `value` as an int inside the closed bounds given; 1e6 counts as an integer."""
    allowed = f"an integer, at least {minimum}"
    if maximum < 2**63 - 1:
        allowed += f" and at most {maximum}"
    given = unwrapped(value)
    if isinstance(given, (float, np.floating)) and float(given).is_integer():
        given = int(given)
    if isinstance(given, (bool, np.bool_, np.timedelta64)):
        reject(name, value, allowed)
    try:
        number = operator.index(given)
    except TypeError:
        reject(name, value, allowed)
    if not minimum <= number <= maximum:
        reject(name, value, allowed)
    return number


def increasing(name: str, value: Any, allowed: str, *, maximum: int) -> NDArray[np.int64]:
    """Return `value` as a read-only vector of increasing integers from 0 to `maximum`."""
    given = numeric(name, value, allowed)
    with np.errstate(invalid="ignore"):
        result = given.astype(np.int64)
    if given.ndim != 1 or given.size == 0 or np.any(result != given):
        reject(name, value, allowed)
    if result[0] < 0 or result[-1] > maximum or np.any(np.diff(result) <= 0):
        reject(name, value, allowed)
    result.setflags(write=False)
    return result


def items(name: str, value: Any, allowed: str) -> list[Any]:
    """Return the items of a sequence or of an array; anything else is an error."""
    given = unwrapped(value)
    if isinstance(given, (str, bytes, np.ma.MaskedArray)) or not (
        isinstance(given, Sequence) or (isinstance(given, np.ndarray) and given.ndim)
    ):
        reject(name, value, allowed)
    return list(given)


def choice(name: str, value: Any, options: tuple[str, ...]) -> str:
    """Return `value` if it is one of `options`."""
    if not isinstance(value, str) or value not in options:
        reject(name, value, "one of " + ", ".join(repr(option) for option in options))
    return value


def array(
    name: str, value: Any, *, ndim: tuple[int, ...], allowed: str, kinds: str = "iuf"
) -> NDArray[np.float64]:
    """Return `value` as a read-only float64 array of an allowed number of dimensions."""
    numbers = numeric(name, value, allowed, kinds)
    if numbers.ndim not in ndim or numbers.size == 0:
        reject(name, value, f"{allowed}, got shape {numbers.shape}")
    result = numbers.astype(np.float64) + 0.0
    if not np.all(np.isfinite(result)):
        reject(name, value, f"{allowed}, all finite")
    result.setflags(write=False)
    return result


def numeric(name: str, value: Any, allowed: str, kinds: str = "iuf") -> NDArray[Any]:
    """Return `value` as an array of any shape, of the `kinds` of NumPy's types."""
    result = None
    for read in (unwrapped, _nested):  # the second is slow, and seldom needed
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            result = np.asarray(read(value))
            if result.dtype.kind in kinds:
                break
    if result is None:  # lists of unequal lengths
        reject(name, value, allowed)
    if result.dtype.kind == "O" and _column_kinds(value) <= set(kinds):
        result = np.asarray(value, dtype=np.float64)
    if result.size and (result.dtype.kind not in kinds or isinstance(value, np.ma.MaskedArray)):
        reject(name, value, allowed)
    return result


def _nested(value: Any) -> Any:
    """Return a list with what it holds unwrapped, at any depth."""
    return list(map(_nested, value)) if isinstance(value, (list, tuple)) else unwrapped(value)


def _column_kinds(value: Any) -> set[str]:
    """Return the kinds of a data frame's columns, whose types may differ."""
    dtypes: Any = getattr(value, "dtypes", None)
    listed = dtypes if hasattr(dtypes, "__iter__") else [dtypes]
    return {getattr(dtype, "kind", "O") for dtype in listed}


def evaluated(
    name: str, function: Callable[..., Any], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the values of a user's function at points x, all finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            returned = function(x)
        except Exception as error:
            raise failed(name, error, " at an array of points") from error
    values = numeric(f"{name}(x)", returned, "a number or an array of numbers")
    if values.ndim and values.shape != x.shape:
        reject(f"{name}(x)", returned, f"a number or an array of shape {x.shape}")
    result = np.broadcast_to(values.astype(np.float64), x.shape)
    bad = ~np.isfinite(result)
    if np.any(bad):
        reject(name, function, f"finite; it is not at x = {x[np.argmax(bad)]:g}")
    return result
