"""Results of sweeps: a member, differences between members, the best of them."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import FastschedError, NoExactTheory, ResultFileError, integer, reject
from fastsched.kernels.reduce import COUNT
from fastsched.labelled import Part, dataset
from fastsched.measures.base import Partial, mean_and_error
from fastsched.netcdf import write_netcdf
from fastsched.pairs import MOST_PAIRED, at_every_step, paired
from fastsched.result import LARGEST_EXACT_WORK, Result, attributes, labelled, own_coordinates
from fastsched.statistics import Statistics
from fastsched.sweep import Sweep

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

    from fastsched.ranking import Ranking

# A group of a file, and an attribute: the variables that members lack.
_PAIRS = "pairs"
_LACKING = "lacking"


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
        data.attrs = attributes(sweep.study, trajectories, seconds, gpus) | {
            _LACKING: json.dumps(_lacking(sweep, parts)),
            "irreducible_risk": _common([m.landscape.irreducible_risk for m in sweep.members]),
        }
        return cls(sweep, data, _pairs(sweep, data, next(rest, {})))

    @classmethod
    def from_file(cls, sweep: Sweep, data: xarray.Dataset, path: Path) -> SweepResult:
        """Return the result whose data were read from a file, with the pairs in it."""
        import xarray

        try:
            with xarray.open_dataset(path, group=_PAIRS, engine="h5netcdf") as file:
                pairs = file.load()
        except OSError as error:
            raise ResultFileError(f"path = {str(path)!r}: it is damaged ({error})") from None
        return cls(sweep, data.assign_coords(sweep.coordinates), pairs)

    def _write_more(self, path: Path) -> None:
        write_netcdf(self.pairs, path, _PAIRS)

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
        if where is not None and labels:
            reject("where", where, f"left out where labels are keywords, here {', '.join(labels)}")
        entries = self.sweep.indices(labels if where is None else where)
        missing = [dim for dim in self.sweep.dims if dim not in entries]
        if missing:
            raise FastschedError(f"{missing[0]} must be given: its labels choose the member")
        place = tuple(entries[dim] for dim in self.sweep.dims)
        number = int(np.ravel_multi_index(place, self.sweep.shape))
        study = self.sweep.members[number]
        data = self.data.isel(entries, drop=True)
        data = data.drop_vars(set(self.sweep.coordinates) & set(data.coords))
        data = data.drop_vars(json.loads(data.attrs.pop(_LACKING)).get(str(number), []))
        # Coordinates of a measure that other members have.
        own = dataset([Part((), {}, labels) for labels in own_coordinates(study)]).coords
        data = data.drop_dims(set(data.dims) - set(own)).sel(dict(own))
        data.attrs["irreducible_risk"] = study.landscape.irreducible_risk
        return Result(study, data)

    def compare(self, a: Any, b: Any, variable: str = "loss") -> xarray.Dataset:
        r"""Return how a variable differs between members, with the error of paired trajectories.

        Parameters
        ----------
        a, b : dict or label
            The labels of each side by axis; for a sweep along one axis a label alone. Axes that
            both leave out are dimensions of the answer, and one that a side leaves out alone is,
            too: ``compare({"lr": "cosine"}, {})`` compares one schedule with all.
        variable : str, default "loss"
            A variable that is a mean over trajectories.

        Returns
        -------
        xarray.Dataset
            `difference`, the mean over trajectories of a's number less b's, and its standard
            error `difference_se`; `variance_reduction`, how many times larger the variance of the
            difference would be with independent runs; `ratio`, a's mean over b's, and `ratio_se`;
            `trajectories`, how many are finite on both sides: where some are not, the difference
            is over the others, and variance reduction and ratio are NaN.
            With n differences d of trajectories that share their random numbers,

            .. math::
                \mathrm{se}(\bar d)^2 = \frac{1}{n (n - 1)} \sum_i (d_i - \bar d)^2, \qquad
                \mathrm{se}(r)^2 \approx \frac{s_a^2 - 2 r c + r^2 s_b^2}{\bar b^2}, \qquad
                2 c = s_a^2 + s_b^2 - \mathrm{se}(\bar d)^2

            where r is the ratio and :math:`s_a`, :math:`s_b` the errors of the means. They are over
            `step` for sweeps of up to 16 members that record the same steps, and of each member's
            last step otherwise. Variables with so many other coordinates that all pairs would have
            more than four million differences are left out. Times are censored at each member's
            own last step.

        Raises
        ------
        FastschedError
            There is no such label, no differences of the variable are kept, or the sweep has more
            than 1024 members.

        Notes
        -----
        Source: common random numbers, Glasserman & Yao, Manage. Sci. 38 (1992) 884; of the
        ratio's error, the delta method, Owen, Monte Carlo theory, methods and examples, ch. 2.
        """
        import xarray

        sides = [self.sweep.indices(side) for side in (a, b)]
        self.require_pairs(variable)
        dims, shape = self.sweep.dims, self.sweep.shape
        numbers = np.arange(len(self.sweep.members)).reshape(shape)
        first, second = np.broadcast_arrays(*(_part(numbers, dims, side) for side in sides))
        mean, error, count = self.differences(variable, first, second)
        x, x_error, y, y_error = (
            np.broadcast_to(_part(values.values, dims, side), mean.shape)
            for side in sides
            for values in (self._shown(variable), self._shown(f"{variable}_se"))
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            independent = x_error**2 + y_error**2
            ratio = x / y
            covariance = (independent - error**2) / 2
            variance = (x_error**2 - 2 * ratio * covariance + (ratio * y_error) ** 2) / y**2
            whole = count == self.trajectories
            found = {
                "difference": mean,
                "difference_se": error,
                "variance_reduction": np.where(whole, independent / error**2, np.nan),
                "ratio": np.where(whole, ratio, np.nan),
                "ratio_se": np.where(whole, np.sqrt(np.maximum(variance, 0)), np.nan),
                "trajectories": count,
            }
        both = [dim for dim in dims if dim in sides[0] and dim in sides[1]]
        shown = self._shown(variable)
        known = {d: shown[d] for d in shown.dims if d not in both and d in shown.coords}
        data = xarray.Dataset({n: (shown.dims, v) for n, v in found.items()})
        data = data.isel({dim: 0 for dim in both}).assign_coords(known)
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
            the least loss, where the loss ranks them, else the first ones.

        Notes
        -----
        The loss ranks members where every measure of every member is `Loss`, `TestLoss` or
        `Average`. Use `best` to rank by another variable.
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
        some. Where a mean is not estimable, it is left out and the medians are drawn too.

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
        """Refuse a variable of which no differences are kept.

        Raises
        ------
        FastschedError
            The message says why there are none, and of which variables there are.
        """
        known = [str(name) for name in self.pairs if f"{name}_count" in self.pairs]
        if variable in known:
            return
        members = len(self.sweep.members)
        if members == 1:
            raise FastschedError("a sweep of one member has nothing to compare")
        if not paired(self.sweep):
            raise FastschedError(
                f"a sweep of {members:,} members keeps no differences between them: up to "
                f"{MOST_PAIRED:,} do"
            )
        kept = ", ".join(known) or "there is none that all members have"
        reject("variable", variable, f"one of which differences are kept: {kept}")

    def differences(
        self, variable: str, first: NDArray[np.int64], second: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the differences of the first members' numbers less those of the second.

        Parameters
        ----------
        variable : str
            One that `require_pairs` lets pass.
        first, second : int arrays of one shape
            The numbers of members, the last axis varying fastest.

        Returns
        -------
        mean, error, count : arrays of that shape, and of the variable's dimensions after it
            Mean difference, its standard error, and the number of trajectories finite on both
            sides; `step` is a dimension where it is kept.
        """
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
            np.where(same, 0.0, sign * mean) + 0.0,
            np.where(same, 0.0, error),
            np.where(same, float(self.trajectories), count),
        )

    def finite(self, variable: str) -> NDArray[np.float64]:
        """Return how many trajectories of each member have a finite number, shape (members,)."""
        return self.pairs[f"{variable}_finite"].values.reshape(len(self.sweep.members), -1)[:, -1]

    def last(self, name: str, data: xarray.Dataset | None = None) -> xarray.DataArray:
        """Return a variable after each member's last step.

        It is NaN, or False, where that step is missing, as it may be in files of version 0.1.0.

        Parameters
        ----------
        name : str
        data : xarray.Dataset, default that of the result
            Where the variable is, e.g. `exact`.
        """
        import xarray

        values = (self.data if data is None else data)[name]
        if "step" not in values.dims:
            return values
        steps = [member.steps for member in self.sweep.members]
        last = xarray.DataArray(np.reshape(steps, self.sweep.shape), dims=self.sweep.dims)
        if not np.isin(steps, values["step"]).all():
            missing = False if values.dtype == bool else np.nan
            values = values.reindex(step=np.union1d(values["step"], steps), fill_value=missing)
        return values.sel(step=last).drop_vars("step")

    def _shown(self, name: str) -> xarray.DataArray:
        """Return a variable where its differences are kept."""
        return self.data[name] if at_every_step(self.sweep) else self.last(name)


def _places(sweep: Sweep) -> Iterator[tuple[tuple[int, ...], Any]]:
    return zip(np.ndindex(*sweep.shape), sweep.members, strict=True)


def _part(values: NDArray[Any], dims: Sequence[str], side: Mapping[str, int]) -> NDArray[Any]:
    """Return the values of a side, with all dimensions."""
    return values[tuple(slice(side[d], side[d] + 1) if d in side else slice(None) for d in dims)]


def _lacking(sweep: Sweep, parts: list[Part]) -> dict[str, list[str]]:
    """Return the variables that members lack, by the number of the member."""
    has: dict[int, set[str]] = {}
    for part in parts:
        number = int(np.ravel_multi_index(part.place, sweep.shape))
        has.setdefault(number, set()).update(part.variables)
    every = set().union(*has.values())
    return {str(number): sorted(every - own) for number, own in has.items() if every - own}


def _common(values: list[float]) -> float:
    """Return the number that all are, else NaN."""
    return values[0] if len(set(values)) == 1 else math.nan


def _pairs(sweep: Sweep, data: xarray.Dataset, moments: Partial) -> xarray.Dataset:
    import xarray

    members = len(sweep.members)
    pairs = members * (members - 1) // 2
    arrays: dict[str, Any] = {}
    for name, values in moments.items():
        own = [str(d) for d in data[name].dims if d not in sweep.dims]
        if own and own[0] == "step" and not at_every_step(sweep):
            own = own[1:]
        sizes = [data.sizes[dim] for dim in own]
        if values.shape[1] != (pairs + members) * math.prod(sizes):
            continue  # members have other coordinates along some dimension, e.g. other axes
        shaped = values.reshape(len(values), pairs + members, *sizes)
        arrays |= mean_and_error(name, ("pair", *own), shaped[:, :pairs])
        arrays[f"{name}_count"] = ("pair", *own), shaped[COUNT, :pairs]
        arrays[f"{name}_finite"] = ("member", *own), shaped[COUNT, pairs:]
    used = {dim for own, _ in arrays.values() for dim in own}
    return xarray.Dataset(arrays, {dim: data[dim] for dim in sorted(used & set(data.coords))})
