"""Runs that go on until an error is small enough."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastsched.errors import FastschedError, real, reject
from fastsched.result import Result

# With fewer trajectories a standard error is not yet known to a tenth of itself.
_FEWEST = 256

Limits = float | Mapping[str, float | tuple[str, float]]
"""A relative error of the loss, or by variable relative ones or ("absolute", error)."""


class Target:
    """The standard errors that a run is to reach.

    Parameters
    ----------
    target_se : float or mapping
        A relative standard error of the loss, or for each variable a relative one, or
        ("absolute", error).
    confidence : float, optional
        The probability with which estimates are to be that near; by default the limits are those
        of standard errors.

    Raises
    ------
    FastschedError
        A parameter is not allowed.
    """

    def __init__(self, target_se: Limits, confidence: float | None = None) -> None:
        self._widths = 1.0
        if confidence is not None:
            from scipy.special import ndtri

            level = real("confidence", confidence, above=0, below=1)
            self._widths = float(ndtri((1 + level) / 2))
        allowed = 'a positive number, or a dict of variables with numbers or ("absolute", number)'
        given: Any = target_se if isinstance(target_se, Mapping) else {"loss": target_se}
        if not given:
            reject("target_se", target_se, allowed)
        self._limits: dict[str, tuple[float, bool]] = {}
        for name, limit in given.items():
            absolute = isinstance(limit, (tuple, list))
            if not isinstance(name, str) or (
                absolute and (len(limit) != 2 or limit[0] != "absolute")
            ):
                reject("target_se", target_se, allowed)
            number = real("target_se", limit[1] if absolute else limit, above=0)
            self._limits[name] = number, absolute

    def excess(self, result: Result) -> float:
        """Return how many times too large the largest error is; at most 1 where all are reached.

        What is NaN, as it is not known, is left out; an error that is not known is infinite.

        Raises
        ------
        FastschedError
            A variable is not there, or has no standard error.
        """
        worst = 0.0 if result.trajectories >= _FEWEST else math.inf
        for name, (limit, absolute) in self._limits.items():
            error_name = f"{name}_se"
            if name not in result.data or error_name not in result.data:
                known = [str(n) for n in result.data if f"{n}_se" in result.data]
                raise FastschedError(
                    f"target_se names {name!r}: it must be one of {', '.join(known)}"
                )
            value, error = result.data[name].values, result.data[error_name].values
            scale = np.ones_like(value) if absolute else np.abs(value)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.where(error == 0, 0.0, self._widths * error / (limit * scale))
            known_values = ratio[~np.isnan(value)]
            worst = max(
                worst,
                float(np.max(np.nan_to_num(known_values, nan=np.inf, posinf=np.inf), initial=0)),
            )
        return worst
