"""What a result says, in words and tables of text: the parts of its summary and its report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import elided

if TYPE_CHECKING:
    from fastsched.result import Result

Table = list[list[str]]
"""Rows of cells; the first row holds the headings."""


def summary(result: Result, rows: int) -> str:
    """Return a result as text; see `Result.summary`."""
    lines = head(result)
    table = loss_table(result, rows)
    if table:
        lines += ["", *format_table(table)]
    lines += divergence(result)
    numbers = scalars(result)
    if numbers:
        lines += ["", *format_table(numbers)]
    curves = [f"{n} ({', '.join(map(str, result[n].dims))})" for n in _others(result, scalar=False)]
    if curves:
        lines += ["", f"in .data also: {', '.join(curves)}"]
    return "\n".join(lines)


def head(result: Result) -> list[str]:
    """Return lines that say what was done: the problem, how much of it, the irreducible risk."""
    study = result.study
    done = f"{result.trajectories:,} trajectories"
    if result.is_exact:
        done = "exact values"
    elif not result.complete:
        done += f" of {study.trajectories:,} (interrupted)"
    lines = [
        f"{type(study.landscape).__name__}(d={study.landscape.dim}), "
        f"{shortened(study.optimizer, 300)}",
        f"{done}, {study.steps:,} steps, batch size {shortened(study.batch_size, 60)}, "
        f"seed {study.seed}, {study.precision} precision, "
        f"{result.data.attrs['seconds']:.3g} s",
    ]
    irreducible = study.landscape.irreducible_risk
    if irreducible:
        lines.append(f"the loss leaves out the irreducible risk {irreducible:.6g}")
    return lines


def loss_table(result: Result, rows: int) -> Table:
    """Return the loss, and the average's, at so many of the steps; empty without them."""
    columns = _columns(result)
    if not columns:
        return []
    steps = result["step"].values
    table = [["step", *(title for title, _, _ in columns)]]
    for k in spread(len(steps), rows):
        cells = ("" if np.isnan(v[k]) else f"{v[k]:{form}}" for _, v, form in columns)
        table.append([str(steps[k]), *cells])
    return table


def divergence(result: Result) -> list[str]:
    """Return a line that says how many trajectories diverged; none if none did."""
    worst = float(result["diverged"].max()) if "diverged" in result.data else 0.0
    if worst == 0:
        return []
    finite = result.trajectories - round(worst * result.trajectories)
    return [
        f"diverged: up to {100 * worst:.3g} % of the trajectories; there mean and "
        f"standard deviation are over the other {finite:,}, quantiles over all"
    ]


def scalars(result: Result) -> Table:
    """Return name, value and error of every number without a dimension, without headings."""
    data = result.data
    return [
        [
            name,
            f"{data[name].item():.6g}",
            f"+- {data[name + '_se'].item():.2g}" if name + "_se" in data else "",
        ]
        for name in _others(result, scalar=True)
    ]


def largest_z(result: Result) -> dict[str, tuple[float, int]]:
    """Return the largest |z|, and its step, of every variable that has z-scores."""
    sizes = {str(name): abs(z) for name, z in result.z_scores.items()}
    return {
        name: (float(size.max()), int(size.idxmax("step")))
        for name, size in sizes.items()
        if size.notnull().any()
    }


def shortened(value: object, length: int) -> str:
    """Return the text of a value, its middle left out where it is longer than `length`."""
    return elided(repr(value), length, length // 2, length // 4)


def spread(count: int, rows: int) -> NDArray[np.int64]:
    """Return which of `count` things are shown in so many rows: evenly, with the ends."""
    return np.unique(np.rint(np.linspace(0, count - 1, rows)).astype(np.int64))


def format_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines with right-aligned columns, the first left-aligned if it holds names."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    named = any(not row[0].lstrip("-").isdigit() for row in rows[1:])
    lines = []
    for row in rows:
        first = row[0].ljust(widths[0]) if named else row[0].rjust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([first, *rest]).rstrip())
    return lines


def _others(result: Result, scalar: bool) -> list[str]:
    """Return the names of what the loss table does not show, with or without a dimension."""
    shown = {"loss", "loss_quantile", "average_loss", "diverged"}
    return [
        str(name)
        for name, values in result.data.items()
        if not str(name).endswith(("_se", "_std"))
        and name not in shown
        and (values.ndim == 0) == scalar
    ]


def _columns(result: Result) -> list[tuple[str, NDArray[np.float64], str]]:
    """Return title, values and format of each column of the loss table but the step."""
    data, exact = result.data, result.exact
    columns = []
    for name in ("loss", "average_loss"):
        label = name.replace("_", " ")
        for variable, header in ((name, label), (f"{name}_std", "std")):
            for suffix, title in (("", header), ("_se", "+-")):
                if variable + suffix in data:
                    columns.append((title, data[variable + suffix].values, ".4g"))
            if exact is not None and variable == name and name in exact:
                columns.append(("exact", exact[name].values, ".4g"))
                columns.append(("z", result.z_scores[name].values, ".1f"))
    if "loss_quantile" in data:
        # The orders of other measures are in the same dimension.
        for values in data["loss_quantile"].dropna("quantile", how="all"):
            columns.append((f"{100 * values['quantile'].item():g} %", values.values, ".4g"))
    return columns
