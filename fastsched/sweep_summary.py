"""What the result of a sweep says, in words and tables of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastsched.measures import Average, Loss, TestLoss
from fastsched.reliability import estimable_last
from fastsched.summary import (
    MEANS,
    Table,
    cell,
    format_table,
    head,
    loss_quantiles,
    not_estimable,
    spread,
)

if TYPE_CHECKING:
    import xarray

    from fastsched.sweep_result import SweepResult

# Numbers of the other measures that have a column.
_MOST_COLUMNS = 3

UNRANKED = "not ranked by the loss, since there are other measures: use result.best(variable)"
"""What is said where `ranks_by_loss` is False."""


def sweep_summary(result: SweepResult, rows: int) -> str:
    """Return a result as text; see `SweepResult.summary`."""
    sweep = result.sweep
    table = members_table(result, rows)
    lines = [*sweep_head(result), "", *format_table(table)]
    left = len(sweep.members) - rows
    if left > 0:
        lines.append(f"and {left:,} more members, in .data")
    lines += ["", *not_estimable(result, table), *verdict(result)]
    more = [str(n) for n in result.data if not str(n).endswith("_se")]
    return "\n".join([*lines, f"in .data: {', '.join(more)}"])


def sweep_head(result: SweepResult) -> list[str]:
    """Return lines that say what was done."""
    sweep = result.sweep
    axes = " x ".join(f"{dim} ({size})" for dim, size in zip(sweep.dims, sweep.shape, strict=True))
    return [f"{len(sweep.members):,} variants along {axes} of", *head(result)]


def members_table(result: SweepResult, rows: int) -> Table:
    """Return the numbers of members after their last step.

    Of more than `rows`, those of least loss; the first ones where the loss does not rank them.
    """
    sweep = result.sweep
    columns = _columns(result)
    order = np.arange(len(sweep.members))
    if len(order) > rows and "loss" in result.data and ranks_by_loss(result):
        out = ~estimable_last(result, "loss").values.ravel()
        if "diverged" in result.data:
            out |= result.last("diverged").values.ravel() > 0
        order = np.lexsort((result.last("loss").values.ravel(), out))
    order = order[:rows]
    table = [[*sweep.dims, *(title for title, *_ in columns)]]
    for k in order:
        place = np.unravel_index(k, sweep.shape)
        cells = [texts[p] for texts, p in zip(sweep.texts, place, strict=True)]
        cells += [
            cell(v.values[place], form, fine is None or bool(fine.values[place]))
            for _, v, form, fine in columns
        ]
        table.append(cells)
    return table


def ranks_by_loss(result: SweepResult) -> bool:
    """Return whether the loss ranks the members: whether it is all that is asked.

    It is where every measure of every member is `Loss`, `TestLoss` or `Average`.
    """
    measures = {type(m) for member in result.sweep.members for m in member.measures}
    return measures <= {Loss, TestLoss, Average}


def verdict(result: SweepResult) -> list[str]:
    """Return lines that say which members may have the least loss; none if that is not known."""
    if "loss" not in result.pairs:
        return []
    if not ranks_by_loss(result):
        return [UNRANKED]
    ranking = result.best()
    names = [", ".join(f"{dim} = {label}" for dim, label in m.items()) for m in ranking.candidates]
    shown = "; ".join([*names[:4], *(["..."] if len(names) > 4 else [])])
    return [f"least loss: {ranking.verdict}" + (f": {shown}" if names else "")]


def difference_table(comparison: xarray.Dataset, rows: int) -> Table:
    """Return what `SweepResult.compare` gives, at so many of the steps."""
    if "step" in comparison.dims:
        comparison = comparison.isel(step=spread(comparison.sizes["step"], rows))
    dims = [str(dim) for dim in comparison["difference"].dims]
    names = [str(name) for name in comparison]
    titles = ["+-" if name.endswith("_se") else name.replace("_", " ") for name in names]
    table = [[*dims, *titles]]
    for place in np.ndindex(*comparison["difference"].shape):
        cells = [str(comparison[dim].values[k]) for dim, k in zip(dims, place, strict=True)]
        table.append([*cells, *(f"{comparison[name].values[place]:.5g}" for name in names)])
    return table


def _columns(
    result: SweepResult,
) -> list[tuple[str, xarray.DataArray, str, xarray.DataArray | None]]:
    """Return title, values, format and where they are estimable of the columns of the members.

    The quantiles of the loss come first where a mean is not estimable.
    """
    data, exact = result.data, result.exact
    columns: list[tuple[str, xarray.DataArray, str, xarray.DataArray | None]] = []
    axes = set(result.sweep.dims)
    scalars = [str(n) for n, v in data.items() if set(v.dims) == axes and f"{n}_se" in data]
    lead = False
    for name in [*(n for n in MEANS if n in data), *scalars[:_MOST_COLUMNS]]:
        fine = estimable_last(result, name)
        lead |= not bool(fine.all())
        columns.append((name.replace("_", " "), result.last(name), ".5g", fine))
        columns.append(("+-", result.last(f"{name}_se"), ".2g", fine))
        if exact is not None and name in exact:
            columns.append(("exact", result.last(name, exact), ".5g", None))
            columns.append(("z", result.last(name, result.z_scores), ".1f", fine))
    if lead:
        last = result.last
        titles = loss_quantiles(result)
        columns = [
            *((t, last("values", v.to_dataset(name="values")), ".4g", None) for t, v in titles),
            *columns,
        ]
    if "diverged" in data and float(data["diverged"].max()) > 0:
        columns.append(("diverged", result.last("diverged"), ".3g", None))
    return columns
