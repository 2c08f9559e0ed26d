"""Results of sweeps: a member, differences between members, the best of them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import FastschedError, NoExactTheory, integer, reject
from fastsched.kernels.reduce import COUNT, M2, MEAN
from fastsched.labelled import Part, dataset
from fastsched.measures.base import Partial
from fastsched.pairs import MOST_PAIRED, at_every_step, paired
from fastsched.result import LARGEST_EXACT_WORK, Result, attributes, labelled
from fastsched.statistics import Statistics
from fastsched.sweep import Sweep

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

    from fastsched.ranking import Ranking

_PAIRS = "pairs"


class SweepResult(Result):
    """The statistics of a sweep's members, over its axes.

    Attributes
    ----------
    sweep : Sweep
        What was asked.
    study : Study
        The study that varies.
    data : xarray.Dataset
        As that of a `Result`, with a labelled dimension for each axis before the others. What a
        member lacks, such as a step that it does not record, is NaN.
    pairs : xarray.Dataset
        For every pair of members, mean and standard error of the difference of each variable,
        and the number of trajectories; `compare` reads it. Empty above 1024 members.
    """

    def __init__(self, sweep: Sweep, data: xarray.Dataset, pairs: xarray.Dataset) -> None:
        super().__init__(sweep.study, data)
        self.sweep = sweep
        self.pairs = pairs

    @classmethod
    def from_statistics(  # type: ignore[override]
        cls, sweep: Sweep, statistics: Statistics, trajectories: int, seconds: float, gpus: int = 0
    ) -> SweepResult:
        """Return the result of merged statistics, of each measure of each member and the pairs."""
        parts: list[Part] = []
        rest = iter(statistics)
        for place, member in _places(sweep):
            own = [next(rest) for _ in member.measures]
            parts += labelled(member, own, trajectories, place)
        data = dataset(parts, sweep.dims, sweep.shape).assign_coords(sweep.coordinates)
        data.attrs = attributes(sweep.study, trajectories, seconds, gpus)
        return cls(sweep, data, _pairs(sweep, data, next(rest, {})))

    @classmethod
    def from_file(cls, sweep: Sweep, data: xarray.Dataset, path: Path) -> SweepResult:
        """Return the result whose data were read from a file, with the pairs in it."""
        import xarray

        with xarray.open_dataset(path, group=_PAIRS, engine="h5netcdf") as file:
            return cls(sweep, data.assign_coords(sweep.coordinates), file.load())

    def _write_more(self, path: Path) -> None:
        self.pairs.to_netcdf(path, group=_PAIRS, mode="a", engine="h5netcdf")

    @property
    def asked(self) -> Sweep:
        return self.sweep

    @functools.cached_property
    def exact(self) -> xarray.Dataset | None:
        """The exact loss (and average's) of each member with its standard deviation, over `step`.

        NaN for members, and None where for all of them, there is no exact theory or it would take
        long.
        """
        from fastsched.theory.exact import exact_curves

        parts = []
        for place, member in _places(self.sweep):
            try:
                curves = exact_curves(member, LARGEST_EXACT_WORK / len(self.sweep.members))
            except NoExactTheory:
                continue
            parts.append(Part(place, curves, {"step": member.record_steps}))
        if not parts:
            return None
        data = dataset(parts, self.sweep.dims, self.sweep.shape)
        return data.assign_coords(self.sweep.coordinates).reindex(step=self.data["step"])

    def member(self, where: Any = None, **labels: Any) -> Result:
        """Return the result of one member.

        Parameters
        ----------
        where : dict or label, optional
            Its labels by axis; for a sweep along one axis the label alone.
        **labels
            The same as keywords, where the names of axes allow that.

        Raises
        ------
        FastschedError
            There is no such axis or label, or an axis is not named.
        """
        entries = self.sweep.indices(labels if where is None else where)
        missing = [dim for dim in self.sweep.dims if dim not in entries]
        if missing:
            raise FastschedError(f"{missing[0]} must be given: its labels choose the member")
        place = tuple(entries[dim] for dim in self.sweep.dims)
        study = self.sweep.members[np.ravel_multi_index(place, self.sweep.shape)]
        data = self.data.isel(entries, drop=True)
        data = data.drop_vars(set(self.sweep.coordinates) & set(data.coords))
        data = data.sel(step=study.record_steps)
        data.attrs["irreducible_risk"] = study.landscape.irreducible_risk
        return Result(study, data)

    def compare(self, a: Any, b: Any, variable: str = "loss") -> xarray.Dataset:
        r"""Return how a variable differs between members, with the error of paired trajectories.

        Parameters
        ----------
        a, b : dict or label
            The labels of each side by axis; for a sweep along one axis a label alone. Axes that
            both leave out are dimensions of the answer.
        variable : str, default "loss"
            A variable that is a mean over trajectories.

        Returns
        -------
        xarray.Dataset
            `difference`, the mean over trajectories of a's number less b's, and its standard
            error `difference_se`; `variance_reduction`, how many times larger the variance of the
            difference would be with independent runs; `ratio`, a's mean over b's, and `ratio_se`,
            NaN where trajectories diverged; `trajectories`, how many are finite on both sides.
            With n differences d of trajectories that share their random numbers,

            .. math::
                \mathrm{se}(\bar d)^2 = \frac{1}{n (n - 1)} \sum_i (d_i - \bar d)^2, \qquad
                \mathrm{se}(r)^2 \approx \frac{s_a^2 - 2 r c + r^2 s_b^2}{\bar b^2}, \qquad
                2 c = s_a^2 + s_b^2 - \mathrm{se}(\bar d)^2

            where r is the ratio and :math:`s_a`, :math:`s_b` the errors of the means. They are over
            `step` for sweeps of up to 16 members that record the same steps, and of the last step
            otherwise.

        Raises
        ------
        FastschedError
            There is no such label, the sides name different axes, the variable is no mean of
            trajectories, or the sweep has more than 1024 members.

        Notes
        -----
        Source: common random numbers, Glasserman & Yao, Manage. Sci. 38 (1992) 884; of the
        ratio's error, the delta method, Owen, Monte Carlo theory, methods and examples, ch. 2.
        """
        import xarray

        sides = [self.sweep.indices(side) for side in (a, b)]
        if set(sides[0]) != set(sides[1]):
            reject("b", b, f"labels of the same axes as a = {a!r}")
        self.require_pairs(variable)
        numbers = np.arange(len(self.sweep.members)).reshape(self.sweep.shape)
        first, second = (
            numbers[tuple(side.get(dim, slice(None)) for dim in self.sweep.dims)] for side in sides
        )
        mean, error, count = self.differences(variable, first, second)
        values, errors = (self._shown(name) for name in (variable, f"{variable}_se"))
        ends = [(values.isel(side), errors.isel(side)) for side in sides]
        (x, x_error), (y, y_error) = ((v.values, e.values) for v, e in ends)
        with np.errstate(divide="ignore", invalid="ignore"):
            independent = x_error**2 + y_error**2
            ratio = x / y
            covariance = (independent - error**2) / 2
            variance = (x_error**2 - 2 * ratio * covariance + (ratio * y_error) ** 2) / y**2
            whole = count == self.trajectories
            found = {
                "difference": mean,
                "difference_se": error,
                "variance_reduction": independent / error**2,
                "ratio": np.where(whole, ratio, np.nan),
                "ratio_se": np.where(whole, np.sqrt(np.maximum(variance, 0)), np.nan),
                "trajectories": count,
            }
        template = ends[0][0].drop_vars(set(sides[0]), errors="ignore")
        data = xarray.Dataset({n: (template.dims, v) for n, v in found.items()}, template.coords)
        return data.assign_attrs(a=str(a), b=str(b), variable=variable)

    def best(
        self, variable: str = "loss", *, largest: bool = False, confidence: float = 0.95
    ) -> Ranking:
        """Return the members in order of a variable, and which of them may be the best.

        Parameters
        ----------
        variable : str, default "loss"
            A variable that is a mean over trajectories; one over `step` after the last step.
        largest : bool, default False
            Whether the largest is the best.
        confidence : float, default 0.95
            With at least this probability the truly best member is among those said to be
            possibly the best, all comparisons counted; see `Ranking`.

        Raises
        ------
        FastschedError
            As for `compare`; or the variable has more dimensions than `step`.
        """
        from fastsched.ranking import ranked

        return ranked(self, variable, largest, confidence)

    def summary(self, rows: int = 20) -> str:
        """Return what was found, as text: a table of the members, and which may be the best.

        Parameters
        ----------
        rows : int, default 20
            The largest number of members in the table, at least 1; of more members those with
            the least loss.
        """
        from fastsched.sweep_summary import sweep_summary

        return sweep_summary(self, integer("rows", rows, minimum=1))

    def plot(
        self,
        ax: Axes | None = None,
        label: str | None = None,
        variable: str | None = None,
        x: str | None = None,
    ) -> Axes:
        """Draw a variable over the steps, a curve for each member, or over an axis of the sweep.

        Curves are means with two standard errors, black dashes the exact values where there are
        some.

        Parameters
        ----------
        ax : matplotlib Axes, default a new figure's
        label : str, optional
            Words before the labels of the members in the legend.
        variable : str, default "loss"
            A variable without other dimensions than the axes and `step`.
        x : str, optional
            "step", or the axis that the variable is drawn over, after the last step. By default
            "step" for up to 10 members, else the longest axis.

        Raises
        ------
        FastschedError
            There is no such variable or axis, or there would be more than 10 curves.
        """
        from fastsched.sweep_plot import plot_sweep

        return plot_sweep(self, ax, label, variable, x)

    def require_pairs(self, variable: str) -> None:
        """Refuse a variable of which no differences are kept."""
        if variable in self.pairs:
            return
        if not paired(self.sweep):
            raise FastschedError(
                f"a sweep of {len(self.sweep.members):,} members keeps no differences between "
                f"them (up to {MOST_PAIRED} members it does, of at least two): sweep fewer"
            )
        known = [str(name) for name in self.pairs if not str(name).endswith(("_se", "_count"))]
        reject("variable", variable, f"one that is a mean over trajectories: {', '.join(known)}")

    def differences(
        self, variable: str, first: NDArray[np.int64], second: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return mean, error and number of the differences between members of given numbers."""
        low, high = np.minimum(first, second), np.maximum(first, second)
        members = len(self.sweep.members)
        pair = low * members - low * (low + 1) // 2 + high - low - 1
        same, pair = first == second, np.where(first == second, 0, pair)
        mean, error, count = (
            self.pairs[name].values[pair]
            for name in (variable, f"{variable}_se", f"{variable}_count")
        )
        shape = same.shape + (1,) * (mean.ndim - same.ndim)
        same, sign = same.reshape(shape), np.where(first < second, 1.0, -1.0).reshape(shape)
        return (
            np.where(same, 0.0, sign * mean),
            np.where(same, 0.0, error),
            np.where(same, float(self.trajectories), count),
        )

    def last(self, name: str, data: xarray.Dataset | None = None) -> xarray.DataArray:
        """Return a variable, by default one of `data`, after each member's last step."""
        import xarray

        values = (self.data if data is None else data)[name]
        if "step" not in values.dims:
            return values
        steps = [member.record_steps[-1] for member in self.sweep.members]
        last = xarray.DataArray(np.reshape(steps, self.sweep.shape), dims=self.sweep.dims)
        return values.sel(step=last).drop_vars("step")

    def _shown(self, name: str) -> xarray.DataArray:
        """Return a variable where its differences are kept."""
        return self.data[name] if at_every_step(self.sweep) else self.last(name)


def _places(sweep: Sweep) -> Iterator[tuple[tuple[int, ...], Any]]:
    return zip(np.ndindex(*sweep.shape), sweep.members, strict=True)


def _pairs(sweep: Sweep, data: xarray.Dataset, moments: Partial) -> xarray.Dataset:
    import xarray

    members = len(sweep.members)
    arrays: dict[str, Any] = {}
    for name, values in moments.items():
        own = [str(d) for d in data[name].dims if d not in sweep.dims]
        if own and own[0] == "step" and not at_every_step(sweep):
            own = own[1:]
        sizes = [data.sizes[dim] for dim in own]
        shaped = values.reshape(len(values), members * (members - 1) // 2, *sizes)
        n, mean, squares = shaped[COUNT], shaped[MEAN], shaped[M2]
        with np.errstate(divide="ignore", invalid="ignore"):
            arrays[name] = ("pair", *own), np.where(n > 0, mean, np.nan)
            arrays[f"{name}_se"] = (
                ("pair", *own),
                np.where(n > 1, np.sqrt(squares / (n - 1) / n), np.nan),
            )
        arrays[f"{name}_count"] = ("pair", *own), n
    used = {dim for own, _ in arrays.values() for dim in own}
    return xarray.Dataset(arrays, {dim: data[dim] for dim in sorted(used & set(data.coords))})
