"""Results: labelled statistics with their errors, and what to do with them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastsched.errors import FastschedError, ResultFileError, integer, reject
from fastsched.measures.base import Partial, Variables
from fastsched.study import Study
from fastsched.version import VERSION

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

_FORMAT = 1
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
        time) and `fastsched_version`.
    """

    def __init__(self, study: Study, data: xarray.Dataset) -> None:
        self.study = study
        self.data = data

    @classmethod
    def from_partials(
        cls, study: Study, partials: Sequence[Partial], trajectories: int, seconds: float
    ) -> Result:
        """Return the result of merged statistics, one for each measure."""
        import xarray

        variables: Variables = {}
        coordinates: dict[str, Any] = {"step": study.record_steps}
        for measure, partial in zip(study.measures, partials, strict=True):
            variables |= measure.variables(partial, trajectories)
            coordinates |= measure.coordinates()
        attributes = {
            "trajectories": trajectories,
            "complete": int(trajectories == study.trajectories),
            "seconds": seconds,
            "fastsched_version": VERSION,
            "fastsched_format": _FORMAT,
        }
        return cls(study, xarray.Dataset(variables, coordinates, attributes))

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
            The file.

        Raises
        ------
        FastschedError
            The study holds something that has no text form, e.g. a `Function` schedule; or
            `path` is a folder, or in one that does not exist.
        """
        path = Path(path)
        data = self.data.assign({_STUDY: ((), self.study.to_toml())})
        check_writable("path", path)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            data.to_netcdf(temporary, engine="h5netcdf")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def summary(self, rows: int = 12) -> str:
        """Return a table of the loss at some of the recorded steps, as text.

        Parameters
        ----------
        rows : int, default 12
            The largest number of steps in the table, at least 1.
        """
        rows = integer("rows", rows, minimum=1)
        data = self.data
        study = self.study
        done = f"{self.trajectories:,} trajectories"
        if not self.complete:
            done += f" of {study.trajectories:,} (interrupted)"
        head = [
            f"{type(study.landscape).__name__}(d={study.landscape.dim}), "
            f"{shortened(study.optimizer, 300)}",
            f"{done}, {study.steps:,} steps, batch size {shortened(study.batch_size, 60)}, "
            f"seed {study.seed}, {study.precision} precision, {data.attrs['seconds']:.3g} s",
        ]
        if "loss" not in data:
            return "\n".join([*head, repr(data)])
        table = [["step", "loss", "+-", "std", "+-"]]
        quantiles = data["quantile"].values.tolist() if "loss_quantile" in data else []
        table[0] += [f"{100 * q:g} %" for q in quantiles]
        chosen = np.unique(np.rint(np.linspace(0, data.sizes["step"] - 1, rows)).astype(int))
        for k in chosen:
            row = data.isel(step=k)
            names = ("loss", "loss_se", "loss_std", "loss_std_se")
            cells = [f"{int(row['step'])}", *(f"{float(row[n]):.4g}" for n in names)]
            if quantiles:
                cells += [f"{q:.4g}" for q in row["loss_quantile"].values]
            table.append(cells)
        lines = [*head, "", *format_table(table)]
        worst = data["diverged"].max()
        if worst > 0:
            finite = self.trajectories - round(float(worst) * self.trajectories)
            lines.append(
                f"diverged: up to {100 * float(worst):.3g} % of the trajectories; there mean and "
                f"standard deviation are over the other {finite:,}, quantiles over all"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.summary()

    def plot(self, ax: Axes | None = None, label: str | None = None) -> Axes:
        """Draw the loss over the steps: mean with two standard errors, and quantile bands.

        Parameters
        ----------
        ax : matplotlib Axes, default a new figure's
        label : str, default the learning rate
            Name of the curve in the legend.
        """
        from fastsched.plot import plot_loss

        return plot_loss(self, ax, label)


def check_writable(name: str, path: Path) -> None:
    """Check that `path` can name a new file: its folder exists, and it is no folder itself."""
    if path.is_dir() or not path.name:
        reject(name, str(path), "the name of a file, not of a folder")
    if not path.resolve().parent.is_dir():
        reject(name, str(path), f"in a folder that exists; {path.parent} does not exist")


def load(path: str | os.PathLike[str]) -> Result:
    """Read a result that `Result.save` wrote.

    Parameters
    ----------
    path : path-like
        The NetCDF file.

    Returns
    -------
    Result
        Equal to the one saved, with its study.

    Raises
    ------
    ResultFileError
        There is no such file, it is not a NetCDF file, or fastsched did not write it.
    """
    import xarray

    path = Path(path)
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
        study = Study.from_toml(str(data[_STUDY].item()))
    except FastschedError as error:
        raise ResultFileError(f"path = {str(path)!r}: its study is damaged ({error})") from None
    return Result(study, data.drop_vars(_STUDY))


def shortened(value: object, length: int) -> str:
    """Return the text of a value, its middle left out where it is longer than `length`."""
    text = repr(value)
    if len(text) <= length:
        return text
    return f"{text[: length // 2]} ... {text[-length // 4 :]}"


def format_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines with right-aligned columns, the first left-aligned if it holds names."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    named = any(not row[0].lstrip("-").isdigit() for row in rows[1:])
    lines = []
    for row in rows:
        first = row[0].ljust(widths[0]) if named else row[0].rjust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([first, *rest]))
    return lines
