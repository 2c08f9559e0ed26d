"""What a result says, in words and tables of text: the parts of its summary and its report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import elided
from fastsched.reliability import estimable, without_stationary_mean

if TYPE_CHECKING:
    import xarray

    from fastsched.result import Result

NOT_ESTIMABLE = "n/e"
"""The mark of a mean, error or z-score that is not estimable."""

MEANS = ("loss", "average_loss", "test_loss")
"""The means that tables judge."""

Table = list[list[str]]
"""Rows of cells; the first row holds the headings."""


def summary(result: Result, rows: int) -> str:
    """Return a result as text; see `Result.summary`."""
    lines = head(result)
    table = loss_table(result, rows)
    if table:
        lines += ["", *format_table(table)]
    lines += [*divergence(result), *not_estimable(result, table)]
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
    if not {"loss", "average_loss"} & set(result.data):
        return []
    steps = result["step"].values
    chosen = spread(len(steps), rows)
    columns = _columns(result, chosen)
    table = [["step", *(title for title, *_ in columns)]]
    for k in chosen:
        cells = (cell(v[k], form, fine[k]) for _, v, form, fine in columns)
        table.append([str(steps[k]), *cells])
    return table


def cell(value: float, form: str, fine: bool) -> str:
    """Return the text of a number, empty for NaN; a mark where it is not estimable."""
    if not fine:
        return NOT_ESTIMABLE
    return "" if np.isnan(value) else f"{value:{form}}"


def not_estimable(result: Result, table: Table) -> list[str]:
    """Return lines that explain the marks of a table and say what to do; none without marks."""
    if not any(NOT_ESTIMABLE in row for row in table):
        return []
    lines = [
        f"{NOT_ESTIMABLE}: not estimable. A few of the {result.trajectories:,} trajectories carry "
        f"the variance, so the mean and its error are not reliable. Read the quantiles, or lower "
        f"the learning rate or raise the batch size"
    ]
    members = result.asked.members
    heavy = sum(without_stationary_mean(member) for member in members)
    if heavy:
        swept = f" of {heavy:,} of {len(members):,} members" if len(members) > 1 else ""
        lines.append(
            f"theory: the stationary loss{swept} has no mean, since the rate is beyond "
            f"fastsched.theory.one_pass_limit"
        )
    return lines


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


def _columns(
    result: Result, chosen: NDArray[np.int64]
) -> list[tuple[str, NDArray[np.float64], str, NDArray[np.bool_]]]:
    """Return title, values, format, and where they are estimable, of columns but the step.

    The quantiles come first where a mean is not estimable at a chosen step.
    """
    data, exact = result.data, result.exact
    columns, quantiles = [], []
    known = np.ones(data.sizes["step"], dtype=bool)
    lead = False
    for name in ("loss", "average_loss"):
        if name not in data:
            continue
        fine = estimable(result, name).values
        lead |= not fine[chosen].all()
        for variable, header in ((name, name.replace("_", " ")), (f"{name}_std", "std")):
            for suffix, title in (("", header), ("_se", "+-")):
                if variable + suffix in data:
                    columns.append((title, data[variable + suffix].values, ".4g", fine))
            if exact is not None and variable == name and name in exact:
                columns.append(("exact", exact[name].values, ".4g", known))
                columns.append(("z", result.z_scores[name].values, ".1f", fine))
    for title, values in loss_quantiles(result):
        quantiles.append((title, values.values, ".4g", known))
    return [*quantiles, *columns] if lead else [*columns, *quantiles]


def loss_quantiles(result: Result) -> list[tuple[str, xarray.DataArray]]:
    """Return title and values of each quantile of the loss."""
    if "loss_quantile" not in result.data:
        return []
    # The orders of other measures are in the same dimension.
    quantiles = result.data["loss_quantile"].dropna("quantile", how="all")
    return [
        (f"{100 * order:g} %", quantiles.sel(quantile=order, drop=True))
        for order in quantiles["quantile"].values
    ]
