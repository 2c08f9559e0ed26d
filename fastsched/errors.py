"""The errors fastsched raises and the checks that raise them.

Every check names the parameter, shows its value and says what is allowed, and runs before
anything is compiled.
"""

from __future__ import annotations

import math
import numbers
import operator
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
    text = elided(repr(value), 120, 100, 12)
    raise FastschedError(f"{name} = {text}: {name} must be {allowed}")


def elided(text: str, longest: int, head: int, tail: int) -> str:
    """Return a text, of a longer one than `longest` its head and tail."""
    return text if len(text) <= longest else f"{text[:head]} ... {text[-tail:]}"


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
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        reject(name, value, allowed)
    try:
        number = float(value) + 0.0  # -0.0 becomes 0.0
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
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    if isinstance(value, (bool, np.bool_)):
        reject(name, value, allowed)
    try:
        number = operator.index(value)
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


def choice(name: str, value: Any, options: tuple[str, ...]) -> str:
    """Return `value` if it is one of `options`."""
    if not isinstance(value, str) or value not in options:
        reject(name, value, "one of " + ", ".join(repr(option) for option in options))
    return value


def array(name: str, value: Any, *, ndim: tuple[int, ...], allowed: str) -> NDArray[np.float64]:
    """Return `value` as a read-only float64 array of an allowed number of dimensions."""
    numbers = numeric(name, value, allowed)
    if numbers.ndim not in ndim or numbers.size == 0:
        reject(name, value, f"{allowed}, got shape {numbers.shape}")
    result = numbers.astype(np.float64) + 0.0
    if not np.all(np.isfinite(result)):
        reject(name, value, f"{allowed}, all finite")
    result.setflags(write=False)
    return result


def numeric(name: str, value: Any, allowed: str) -> NDArray[Any]:
    """Return `value` as an array of real numbers of any shape."""
    try:
        result = np.asarray(value)
    except ValueError:  # lists of unequal lengths
        reject(name, value, allowed)
    if result.size and (result.dtype.kind not in "iuf" or isinstance(value, np.ma.MaskedArray)):
        reject(name, value, allowed)
    return result
