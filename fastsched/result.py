"""Results: labelled statistics with their errors, and what to do with them."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numpy.typing import NDArray

from fastsched.devices import machine
from fastsched.errors import FastschedError, NoExactTheory, ResultFileError, integer, reject
from fastsched.files import REPORT_ENDINGS, RESULT_ENDINGS, new_file, path_like, replacing
from fastsched.labelled import Part, dataset
from fastsched.measures.base import Variables
from fastsched.netcdf import write_netcdf
from fastsched.statistics import Statistics
from fastsched.study import Study
from fastsched.sweep import Sweep, read
from fastsched.version import VERSION

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

_FORMAT = 1

# Multiplications of the exact theory that a summary or a plot may spend, about a second.
LARGEST_EXACT_WORK = 2e10

# Relative deviations between trajectories below these are not told from rounding.
_ROUNDING = {"single": 1e-5, "double": 1e-13}
_STUDY = "study_toml"


class Result:
    """The statistics of a study.

    Attributes
    ----------
    study : Study
        What was asked.
    data : xarray.Dataset
        The variables that the study's measures document, over the dimension `step` (updates
        done; 0 is the start) and the dimensions the measures add. Its attributes hold
        `trajectories` (finished), `complete` (1, or 0 after an interruption), `seconds` (wall
        time), `irreducible_risk` (the part of the risk that the loss leaves out),
        `fastsched_version`, and the `machine` and the `software` that it ran on.
    """

    def __init__(self, study: Study, data: xarray.Dataset) -> None:
        self.study = study
        self.data = data

    @classmethod
    def from_statistics(
        cls, study: Study, statistics: Statistics, trajectories: int, seconds: float, gpus: int = 0
    ) -> Result:
        """Return the result of merged statistics, one for each measure."""
        # Where measures have different quantiles, those that one lacks become NaN.
        data = dataset(list(labelled(study, statistics, trajectories)))
        data.attrs = attributes(study, trajectories, seconds, gpus)
        return cls(study, data)

    @classmethod
    def from_exact(
        cls, study: Study, variables: Variables, coordinates: dict[str, Any], seconds: float
    ) -> Result:
        """Return the exact values of a study as a result of no trajectories."""
        import xarray

        known = attributes(study, 0, seconds, 0) | {"exact": 1, "complete": 1}
        return cls(study, xarray.Dataset(variables, coordinates, known))

    def __getitem__(self, name: str) -> xarray.DataArray:
        return self.data[name]

    @property
    def asked(self) -> Study | Sweep:
        """What was run: the study, or of a sweep's result the sweep."""
        return self.study

    @functools.cached_property
    def exact(self) -> xarray.Dataset | None:
        """The exact loss (and average's) with its standard deviation, over `step`.

        None where there is no exact theory, or where it would take more than a few seconds;
        `fastsched.exact` says which, and gives quantiles and the moments of the parameters too.
        """
        import xarray

        from fastsched.theory.exact import exact_curves

        if self.is_exact:
            return None
        try:
            curves = exact_curves(self.study, LARGEST_EXACT_WORK)
        except NoExactTheory:
            return None
        exact = xarray.Dataset(curves, {"step": self.study.record_steps})
        return exact.sel(step=self.data["step"])

    @functools.cached_property
    def z_scores(self) -> xarray.Dataset:
        """What differs from the exact values, in standard errors: (estimate - exact) / error.

        Over `step`, for every variable of `exact`. NaN where the loss does not vary by more than
        the rounding of the study's precision, where trajectories have diverged, and where the
        mean is not estimable since a few trajectories carry its variance. Empty without exact
        values.
        """
        import xarray

        from fastsched.reliability import estimable

        rounding = max(_ROUNDING[member.precision] for member in self.asked.members)
        scores = {}
        exact = xarray.Dataset() if self.exact is None else self.exact
        for name, value in exact.items():
            error = self.data[f"{name}_se"]
            mean = str(name).removesuffix("_std")
            spread = self.data[f"{mean}_std"]
            if f"{mean}_std" in exact:
                spread = exact[f"{mean}_std"].fillna(spread)
            known = spread > rounding * abs(exact[mean])
            if "diverged" in self.data:
                known &= self.data["diverged"] == 0
            known &= estimable(self, mean)
            scores[name] = (self.data[name] - value).where(known & (error > 0)) / error
        return xarray.Dataset(scores)

    @property
    def is_exact(self) -> bool:
        """Whether these are exact values, of no trajectories."""
        return "exact" in self.data.attrs

    @property
    def complete(self) -> bool:
        """Whether all trajectories of the study were run."""
        return bool(self.data.attrs["complete"])

    @property
    def trajectories(self) -> int:
        """Number of trajectories that were run."""
        return int(self.data.attrs["trajectories"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result, with its study, to a NetCDF file (replaced as a whole).

        Parameters
        ----------
        path : path-like
            The file. Its name ends in ``.nc``, ``.nc4``, ``.netcdf``, ``.h5`` or ``.cdf``, or has
            no ending.

        Raises
        ------
        FastschedError
            The study holds something that has no text form, e.g. a `Function` schedule;
            `path` is not a path, has another ending, is a folder, or is in one that does not
            exist; or NetCDF cannot hold an attribute or a variable that was added to `data`.

        Notes
        -----
        An attribute is text, a number, or a list or an array of numbers or texts. True and False
        are stored as 1 and 0.
        """
        target = new_file("path", path, RESULT_ENDINGS)
        data = self.data.assign({_STUDY: ((), self.asked.to_toml())})
        with replacing(target) as temporary:
            write_netcdf(data, temporary)
            self._write_more(temporary)

    def _write_more(self, path: Path) -> None:
        """Write what there is besides the data to the same file."""

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write the result as an HTML page that needs no other file (replaced as a whole).

        It has the table of the summary, the numbers of all measures, the exact values and the
        largest z-scores where there is exact theory, figures of all that `plot` can draw and of
        the schedules, the study itself, and on what it ran and for how long. Figures
        of more than ten curves and tables of more than 64 rows are left out.

        Parameters
        ----------
        path : path-like
            The file, e.g. `report.html`. Its name ends in ``.html`` or ``.htm``, or has no
            ending.

        Raises
        ------
        FastschedError
            `path` is not a path, has another ending, is a folder, or is in one that does not
            exist.
        """
        from fastsched.report import page

        with replacing(new_file("path", path, REPORT_ENDINGS)) as temporary:
            temporary.write_text(page(self), encoding="utf-8")

    def summary(self, rows: int = 12) -> str:
        """Return what was found, as text: a table of the loss, and the numbers of the measures.

        The table has some of the recorded steps; where there is exact theory, the exact value
        and the z-score stand beside the estimate. Below it stand the numbers without a step,
        such as an escape probability, and the names of all others. A mean that is not estimable,
        since a few trajectories carry its variance, is shown as "n/e", and the quantiles come
        first.

        Parameters
        ----------
        rows : int, default 12
            The largest number of steps in the table, at least 1.
        """
        from fastsched.summary import summary

        return summary(self, integer("rows", rows, minimum=1))

    def __repr__(self) -> str:
        return self.summary()

    def plot(
        self, ax: Axes | None = None, label: str | None = None, variable: str | None = None
    ) -> Axes:
        """Draw a variable over the steps, by default the loss.

        The curve is the mean with two standard errors. Where the mean is not estimable, since a
        few trajectories carry its variance, the median takes its place. The loss has bands of
        its quantiles, and, where there is exact theory, the exact mean drawn over it and the
        largest z-score in the legend. A variable with one more dimension, such as
        `basin_occupancy`, has a curve for each value of it.

        Parameters
        ----------
        ax : matplotlib Axes, default a new figure's
        label : str, default the learning rate
            Name of the curve in the legend.
        variable : str, optional
            Name of a variable over `step`; by default the loss if it was measured, else the
            first one.

        Raises
        ------
        FastschedError
            There is no such variable over `step`.
        """
        from fastsched.plot import drawable, plot_loss, plot_variable

        curves = drawable(self)
        chosen = variable or ("loss" if "loss" in curves else next(iter(curves), ""))
        if chosen not in curves:
            reject("variable", variable, f"one over step: {', '.join(curves) or 'there is none'}")
        if chosen == "loss":
            return plot_loss(self, ax, label)
        return plot_variable(self, chosen, ax, label)


def labelled(
    study: Study, statistics: Statistics, trajectories: int, place: tuple[int, ...] = ()
) -> Iterator[Part]:
    """Yield the variables of each measure of a study."""
    known = zip(study.measures, statistics, own_coordinates(study), strict=True)
    for measure, partial, coordinates in known:
        yield Part(place, measure.variables(partial, study, trajectories), coordinates)


def own_coordinates(study: Study) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the coordinates of each measure's variables."""
    for measure in study.measures:
        yield {"step": study.record_steps, **measure.coordinates(study)}


def attributes(study: Study, trajectories: int, seconds: float, gpus: int) -> dict[str, Any]:
    """Return what a result says of its run."""
    return {
        "trajectories": trajectories,
        "complete": int(trajectories == study.trajectories),
        "seconds": seconds,
        "irreducible_risk": study.landscape.irreducible_risk,
        "fastsched_version": VERSION,
        "fastsched_format": _FORMAT,
        "machine": machine(gpus),
        "software": f"Python {platform.python_version()}, Numba {numba.__version__}, "
        f"NumPy {np.__version__}",
    }


def load(path: str | os.PathLike[str]) -> Result:
    """Read a result that `Result.save` wrote.

    Parameters
    ----------
    path : path-like
        The NetCDF file.

    Returns
    -------
    Result
        Equal to the one saved, with its study; of a sweep a `SweepResult`.

    Raises
    ------
    FastschedError
        `path` is not a path.
    ResultFileError
        There is no such file, it is not a NetCDF file, or fastsched did not write it.
    """
    import xarray

    path = path_like("path", path)
    if not path.is_file():
        raise ResultFileError(f"path = {str(path)!r}: there is no such file")
    try:
        with xarray.open_dataset(path, engine="h5netcdf") as file:
            data = file.load()
    except Exception as error:
        raise ResultFileError(
            f"path = {str(path)!r}: this is not a NetCDF file, or it is damaged ({error})"
        ) from None
    if data.attrs.get("fastsched_format") != _FORMAT or _STUDY not in data:
        raise ResultFileError(f"path = {str(path)!r}: this is not a result of fastsched")
    try:
        asked = read(str(data[_STUDY].item()))
    except FastschedError as error:
        raise ResultFileError(f"path = {str(path)!r}: its study is damaged ({error})") from None
    data = data.drop_vars(_STUDY)
    if isinstance(asked, Study):
        return Result(asked, data)
    from fastsched.sweep_result import SweepResult

    return SweepResult.from_file(asked, data, path)
