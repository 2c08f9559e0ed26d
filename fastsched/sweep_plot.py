"""Pictures of the results of sweeps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastsched.errors import FastschedError, reject
from fastsched.plot import (
    EXACT_LINE,
    drawn,
    drawn_exact,
    error_band,
    estimated,
    finish,
    median,
    new_axes,
    wide,
)

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

    from fastsched.sweep_result import SweepResult

# Colours that colour-blind readers can tell apart: Okabe & Ito's without yellow and the black of
# exact values, and three of Tol's.
_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#882255",
    "#999999",
    "#44AA99",
    "#332288",
)
MOST_CURVES = len(_COLOURS)
"""Curves of a picture, at most."""

# Positive numbers that span more than this factor are drawn on a logarithmic axis.
_WIDE = 20.0


def sweep_drawable(result: SweepResult) -> list[str]:
    """Return the names of the variables that `SweepResult.plot` can draw."""
    axes = set(result.sweep.dims)
    return [
        str(name)
        for name, values in result.data.items()
        if set(values.dims) - axes <= {"step"} and not str(name).endswith("_se")
    ]


def plot_sweep(
    result: SweepResult, ax: Axes | None, label: str | None, variable: str | None, x: str | None
) -> Axes:
    """Draw a variable of a sweep; see `SweepResult.plot`."""
    known = sweep_drawable(result)
    name = variable or ("loss" if "loss" in known else next(iter(known), ""))
    if name not in known:
        reject("variable", variable, f"one of {', '.join(known)}")
    dims, shape = result.sweep.dims, result.sweep.shape
    over_steps = "step" in result.data[name].dims
    if x is None:
        few = len(result.sweep.members) <= MOST_CURVES
        x = "step" if few and over_steps else dims[int(np.argmax(shape))]
    options = [*(["step"] if over_steps else []), *dims]
    if x not in options:
        reject("x", x, f"one of {', '.join(options)}")
    curves = math.prod(size for dim, size in zip(dims, shape, strict=True) if dim != x)
    if curves > MOST_CURVES:
        raise FastschedError(
            f"x = {x!r} makes {curves:,} curves, more than {MOST_CURVES}: choose another x, one of "
            f"{', '.join(options)}, or draw members: result.member(...).plot()"
        )
    ax = ax or new_axes()
    exact = result.exact if result.exact is not None and name in result.exact else None
    values, error = result.data[name], result.data.get(f"{name}_se")
    theory = None if exact is None else exact[name]
    fine, middle = estimated(result, name), median(result, name)
    if x != "step":
        values = result.last(name)
        error = None if error is None else result.last(f"{name}_se")
        theory = None if exact is None else result.last(name, exact)
        fine = result.last(name, fine.to_dataset(name=name))
        middle = None if middle is None else result.last(name, middle.to_dataset(name=name))
    middle = None if fine.all() else middle
    means = values.where(fine)
    if theory is not None:
        estimates = [means, *([] if middle is None else [middle])]
        theory = theory.copy(data=drawn_exact(theory, *estimates))
    logarithmic = wide(means if middle is None else means.fillna(middle), _WIDE)
    others = [dim for dim in dims if dim != x]
    texts = dict(zip(dims, result.sweep.texts, strict=True))
    for number, place in enumerate(np.ndindex(*(result.data.sizes[dim] for dim in others))):
        chosen = dict(zip(others, place, strict=True))
        words = ", ".join(f"{d} = {texts[d][k]}" for d, k in chosen.items())
        own = None if fine.isel(chosen).all() else middle
        parts = [
            part if part is None else part.isel(chosen)
            for part in (values, fine, error, theory, own)
        ]
        named = " ".join(filter(None, (label, words))) or name.replace("_", " ")
        last = "exact" if number == curves - 1 else None
        _draw(ax, x, parts, _COLOURS[number], named, last, logarithmic)
    _scale(ax, x, values, logarithmic)
    suffix = " after the last step" if x != "step" and over_steps else ""
    words = name.replace("_", " ") + suffix + (", ± 2 se" if error is not None else "")
    finish(result, ax, words, name, fine)
    if x != "step":
        ax.set_xlabel(x.replace("_", " "))
    return ax


def _draw(
    ax: Axes,
    x: str,
    parts: list[Any],
    colour: str,
    label: str,
    exact_label: str | None,
    logarithmic: bool,
) -> None:
    """Draw mean, error and exact value of a curve, and its median where that is given.

    Steps that a member does not record are bridged; means that are not estimable leave a gap.
    """
    curve, fine, error, exact, middle = parts
    known = np.flatnonzero(np.isfinite(drawn(curve)))
    at, numeric = curve[x].values, curve[x].dtype.kind in "iuf"
    if numeric:
        known = known[np.argsort(at[known], kind="stable")]
    labels = at if numeric else at.astype(str)
    at, mean = labels[known], curve.where(fine).values[known]
    low, high = error_band(mean, 0 * mean if error is None else error[known], logarithmic)
    if x == "step":
        ax.plot(at, mean, color=colour, linewidth=1.5, label=label)
        ax.fill_between(at, low, high, color=colour, alpha=0.3, linewidth=0)
    else:
        ax.errorbar(
            at,
            mean,
            np.nan_to_num([mean - low, high - mean]),
            fmt="o-" if numeric else "o",
            markersize=4,
            linewidth=1.2,
            color=colour,
            label=label,
        )
    if middle is not None:
        ax.plot(
            at,
            drawn(middle)[known],
            color=colour,
            linestyle="-." if numeric else "none",
            marker=None if x == "step" else "D",
            markerfacecolor="none",
            linewidth=1.2,
            label=f"{label}: median",
        )
    if exact is not None:
        style = EXACT_LINE if numeric else {"color": "black", "marker": "_", "linestyle": "none"}
        ax.plot(at, exact.values[known], label=exact_label, **style)


def _scale(ax: Axes, x: str, values: xarray.DataArray, logarithmic: bool) -> None:
    if x == "step":
        ax.set_xscale("symlog", linthresh=1)
        ax.set_xlim(left=0)
    elif values[x].dtype.kind in "iuf" and wide(values[x], _WIDE):
        ax.set_xscale("log")
    if logarithmic:
        ax.set_yscale("log")
