"""What the result of a sweep says, in words and tables of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastsched.summary import Table, format_table, head, spread

if TYPE_CHECKING:
    import xarray

    from fastsched.sweep_result import SweepResult

# Numbers of the other measures that have a column.
_MOST_COLUMNS = 3


def sweep_summary(result: SweepResult, rows: int) -> str:
    """Return a result as text; see `SweepResult.summary`."""
    sweep = result.sweep
    lines = [*sweep_head(result), "", *format_table(members_table(result, rows))]
    left = len(sweep.members) - rows
    if left > 0:
        lines.append(f"and {left:,} more members, in .data")
    lines += ["", *verdict(result)]
    more = [str(n) for n in result.data if not str(n).endswith("_se")]
    return "\n".join([*lines, f"in .data: {', '.join(more)}"])


def sweep_head(result: SweepResult) -> list[str]:
    """Return lines that say what was done."""
    sweep = result.sweep
    axes = " x ".join(f"{dim} ({size})" for dim, size in zip(sweep.dims, sweep.shape, strict=True))
    return [f"{len(sweep.members):,} variants along {axes} of", *head(result)]


def members_table(result: SweepResult, rows: int) -> Table:
    """Return the numbers of members after their last step; of more than `rows`, the best."""
    sweep = result.sweep
    columns = _columns(result)
    order = np.arange(len(sweep.members))
    if len(order) > rows and columns:
        lost = columns[-1][1].values.ravel() if columns[-1][0] == "diverged" else 0 * order
        order = np.lexsort((columns[0][1].values.ravel(), lost > 0))[:rows]
    table = [[*sweep.dims, *(title for title, _, _ in columns)]]
    for k in order:
        place = np.unravel_index(k, sweep.shape)
        cells = [texts[p] for texts, p in zip(sweep.texts, place, strict=True)]
        numbers = (values.values[place] for _, values, _ in columns)
        forms = (form for _, _, form in columns)
        cells += ["" if np.isnan(x) else f"{x:{f}}" for x, f in zip(numbers, forms, strict=True)]
        table.append(cells)
    return table


def verdict(result: SweepResult) -> list[str]:
    """Return lines that say which members may have the least loss; none if that is not known."""
    if "loss" not in result.pairs:
        return []
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


def _columns(result: SweepResult) -> list[tuple[str, xarray.DataArray, str]]:
    """Return title, values and format of each column of the table of members."""
    data, exact = result.data, result.exact
    columns = []
    axes = set(result.sweep.dims)
    scalars = [str(n) for n, v in data.items() if set(v.dims) == axes and f"{n}_se" in data]
    curves = [n for n in ("loss", "average_loss", "test_loss") if n in data]
    for name in [*curves, *scalars[:_MOST_COLUMNS]]:
        columns.append((name.replace("_", " "), result.last(name), ".5g"))
        columns.append(("+-", result.last(f"{name}_se"), ".2g"))
        if exact is not None and name in exact:
            columns.append(("exact", result.last(name, exact), ".5g"))
            columns.append(("z", result.last(name, result.z_scores), ".1f"))
    if "diverged" in data and float(data["diverged"].max()) > 0:
        columns.append(("diverged", result.last("diverged"), ".3g"))
    return columns
