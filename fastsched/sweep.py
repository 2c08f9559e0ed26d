"""Sweeps: a study in many variants, along labelled axes."""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import FastschedError, items, reject, unwrapped
from fastsched.paths import brief, changed, value_at
from fastsched.spec import Spec, parsed, plain, spec
from fastsched.study import Study, read_toml, to_toml

if TYPE_CHECKING:
    from fastsched.estimate import Estimate
    from fastsched.sweep_result import SweepResult

_MOST_MEMBERS = 2**16

# Names that results give to dimensions and variables.
_TAKEN = {"axis", "basin", "loss", "member", "pair", "quantile", "step", "to_basin"}


class Axis(NamedTuple):
    """What varies along one dimension of a sweep.

    Attributes
    ----------
    paths : tuple of str
        The fields that vary together, each a dotted path from the study.
    values : tuple of tuples
        For each entry, the value of each field.
    names : tuple of str or None
        Names of the entries.
    """

    paths: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]
    names: tuple[str, ...] | None

    @property
    def entries(self) -> list[Any]:
        """For each entry its value, a tuple where several fields vary."""
        return [entry[0] if len(self.paths) == 1 else entry for entry in self.values]

    def changes(self, entry: int) -> dict[str, Any]:
        """Return the values of an entry by path."""
        return dict(zip(self.paths, self.values[entry], strict=True))


@spec
class Sweep(Spec):
    """Variants of a study along labelled axes, the product of all; made by `fastsched.sweep`.

    Attributes
    ----------
    study : Study
        The study that varies.
    axes : tuple of Axis
        What varies along each dimension.

    Raises
    ------
    FastschedError
        As for `fastsched.sweep`.
    """

    study: Study
    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.study, Study):
            reject("study", self.study, "a Study")
        if not isinstance(self.axes, (Mapping, tuple)):
            reject("axes", self.axes, "a dict of paths with their values")
        if isinstance(self.axes, Mapping):
            self._set(axes=tuple(_axis(path, entries) for path, entries in self.axes.items()))
        if not self.axes:
            reject("axes", self.axes, "at least one path with its values")
        paths = self._paths()
        repeated = next((path for path in paths if paths.count(path) > 1), None)
        if repeated:
            raise FastschedError(f"axes: {repeated!r} varies along more than one axis")
        if "trajectories" in paths:
            raise FastschedError(
                "axes: trajectories cannot vary, because members are compared trajectory by "
                "trajectory; give the study the largest number"
            )
        if math.prod(self.shape) > _MOST_MEMBERS:
            reject("axes", self.shape, f"a product of at most {_MOST_MEMBERS:,} members")
        self._set(axes=tuple(self._normalised(k, axis) for k, axis in enumerate(self.axes)))
        self.labels  # noqa: B018  (refuses labels that are not unique)

    def __repr__(self) -> str:
        return f"sweep({self.study!r}, {_shown(self.axes)})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of entries along each axis."""
        return tuple(len(axis.values) for axis in self.axes)

    @functools.cached_property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes: the last part of a path, more of it where that is not unique."""
        return tuple("+".join(map(self._short, axis.paths)) for axis in self.axes)

    @functools.cached_property
    def members(self) -> tuple[Study, ...]:
        """The studies, the last axis varying fastest."""
        return tuple(self._member(index) for index in np.ndindex(*self.shape))

    @functools.cached_property
    def labels(self) -> tuple[NDArray[Any], ...]:
        """Labels of the entries along each axis."""
        return tuple(_labels(dim, axis) for dim, axis in zip(self.dims, self.axes, strict=True))

    @functools.cached_property
    def texts(self) -> tuple[list[str], ...]:
        """Labels as tables show them: numbers to six digits, where these tell them apart."""
        return tuple(map(_short_texts, self.labels))

    @property
    def coordinates(self) -> dict[str, Any]:
        """Labels by axis, and along an axis of several fields those of each field."""
        result: dict[str, Any] = dict(zip(self.dims, self.labels, strict=True))
        for dim, axis in zip(self.dims, self.axes, strict=True):
            if len(axis.paths) > 1:
                for k, path in enumerate(axis.paths):
                    column = tuple((entry[k],) for entry in axis.values)
                    result[self._short(path)] = dim, _texts_or_numbers(column)
        return result

    @property
    def trajectories(self) -> int:
        """Number of trajectories of each member."""
        return self.study.trajectories

    @functools.cached_property
    def same_records(self) -> bool:
        """Whether all members are recorded at the same steps."""
        first = self.members[0].record_steps
        return all(np.array_equal(first, member.record_steps) for member in self.members)

    def with_trajectories(self, trajectories: int) -> Sweep:
        """Return the same sweep with another number of trajectories."""
        return self.replace(study=self.study.replace(trajectories=trajectories))

    def indices(self, where: Any) -> dict[str, int]:
        """Return the axes that labels name, with the numbers of the entries.

        Parameters
        ----------
        where : mapping or label
            Labels by axis; for a sweep along one axis a label alone.

        Raises
        ------
        FastschedError
            There is no such axis or label.
        """
        if not isinstance(where, Mapping):
            if len(self.dims) > 1:
                example = {dim: labels[0] for dim, labels in self._plain_labels()}
                reject("labels", where, f"a dict of labels by axis, e.g. {example}")
            where = {self.dims[0]: where}
        known = dict(self._plain_labels())
        found = {}
        for dim, label in where.items():
            if dim not in known:
                reject("axis", dim, f"one of {', '.join(known)}")
            read = label if label in known[dim] else brief(label)
            if read not in known[dim]:
                listed = [*map(repr, known[dim][:20]), *(["..."] if len(known[dim]) > 20 else [])]
                reject(dim, label, f"a label of that axis: {', '.join(listed)}")
            found[dim] = known[dim].index(read)
        return found

    def run(self, **options: Any) -> SweepResult:
        """Run the sweep; see `fastsched.run` for the options."""
        from fastsched.run import run

        return run(self, **options)

    def estimate(self, device: str = "auto") -> Estimate:
        """Return what a run of all members takes; see `Study.estimate`."""
        from fastsched.estimate import estimate

        return estimate(self, device)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data (dicts, lists, numbers, strings) that `from_dict` reads back."""
        axes: dict[str, Any] = {}
        for axis in self.axes:
            entries = [plain(entry) for entry in axis.entries]
            axes[", ".join(axis.paths)] = (
                _ordered(dict(zip(axis.names, entries, strict=True))) if axis.names else entries
            )
        return {**self.study.to_dict(), "type": "Sweep", "sweep": _ordered(axes)}

    def to_toml(self) -> str:
        """Return the sweep as TOML text, which `from_toml` reads back."""
        return to_toml(self)

    @classmethod
    def from_toml(cls, text: str) -> Sweep:
        """Return the sweep that TOML `text` describes: a study with a table `sweep`.

        Raises
        ------
        FastschedError
            The text is not TOML or has no such table, a key is unknown or missing, or a value is
            not allowed.
        """
        asked = read(text)
        if not isinstance(asked, Sweep):
            raise FastschedError("the study has no table [sweep]")
        return asked

    def _plain_labels(self) -> Iterator[tuple[str, list[Any]]]:
        for dim, labels in zip(self.dims, self.labels, strict=True):
            yield dim, labels.tolist()

    def _paths(self) -> list[str]:
        return [path for axis in self.axes for path in axis.paths]

    def _short(self, path: str) -> str:
        parts, paths = path.split("."), self._paths()
        for first in reversed(range(len(parts))):
            name = ".".join(parts[first:])
            alike = sum(other == name or other.endswith(f".{name}") for other in paths)
            if alike == 1 and name not in _TAKEN and not name[0].isdigit():
                return name
        return path

    def _member(self, index: Sequence[int]) -> Study:
        changes: dict[str, Any] = {}
        for axis, entry in zip(self.axes, index, strict=True):
            changes |= axis.changes(entry)
        try:
            return changed(self.study, changes)
        except FastschedError as error:
            settings = ", ".join(f"{p} = {brief(v)}" for p, v in changes.items())
            raise FastschedError(f"the member with {settings}: {error}") from None

    def _normalised(self, position: int, axis: Axis) -> Axis:
        """Return an axis with its values as the members have them."""
        stride = math.prod(self.shape[position + 1 :])
        values = tuple(
            tuple(value_at(self.members[entry * stride], path) for path in axis.paths)
            for entry in range(len(axis.values))
        )
        return axis._replace(values=values)


def sweep(study: Study, axes: Mapping[str, Any]) -> Sweep:
    """Return variants of a study, to be run together.

    Members share random numbers, unless `seed` varies; where they differ in numbers only they
    share a compiled kernel. `fastsched.run` gives a result with a labelled dimension for each
    axis, and compares members trajectory by trajectory.

    Parameters
    ----------
    study : Study
        What varies.
    axes : mapping
        For each axis a path, and its values. A path is a field of the study, with dots into its
        parts: ``"batch_size"``, ``"optimizer.lr"``, ``"optimizer.lr.initial"``,
        ``"landscape.noise"``, ``"measures.0.level"``. Values are a list, or a dict that names
        them. Members are the product of all axes. Fields that vary together are one axis, their
        paths joined by commas: ``{"optimizer.lr, optimizer.momentum": [(0.1, 0.0), (0.01, 0.9)]}``.

    Returns
    -------
    Sweep
        With `members`, `shape`, and the names `dims` and the `labels` of its axes.

    Raises
    ------
    FastschedError
        A path is not there, a member is not allowed, labels are not unique, or there are more
        than 65,536 members; `trajectories` cannot vary.

    Examples
    --------
    >>> import fastsched as fs
    >>> study = fs.Study(fs.Quadratic([1.0, 0.1]), fs.SGD(lr=0.1), steps=100, trajectories=64)
    >>> rates = {"constant": 0.1, "cosine": fs.Cosine(0.1, 100)}
    >>> sweep = fs.sweep(study, {"optimizer.lr": rates, "batch_size": [1, 4, 16]})
    >>> sweep.dims, sweep.shape
    (('lr', 'batch_size'), (2, 3))
    """
    return Sweep(study, axes)  # type: ignore[arg-type]


def read(text: str) -> Study | Sweep:
    """Return the study, or with a table `sweep` the sweep, that TOML `text` describes.

    Raises
    ------
    FastschedError
        As `Study.from_toml` and `sweep`.
    """
    data = read_toml(text)
    axes = data.pop("sweep", None)
    study = Study.from_table(data)
    if axes is None:
        return study
    named = _entries_of("sweep", axes)
    if named is None:
        reject("sweep", axes, 'a table of paths with their values, e.g. "optimizer.lr" = [0.1, 1]')
    return sweep(study, {path: _parsed_entries(path, entries) for path, entries in named.items()})


def _ordered(table: dict[str, Any]) -> Any:
    """Return a table, as a list of tables of one entry where TOML would order it otherwise."""
    return table if len(table) == 1 else [{name: value} for name, value in table.items()]


def _entries_of(name: str, tables: Any) -> dict[str, Any] | None:
    """Return the entries of a table or of a list of tables; None if it is neither."""
    if isinstance(tables, Mapping):
        tables = [tables]
    if not isinstance(tables, list) or not all(
        isinstance(table, Mapping) and "type" not in table for table in tables
    ):
        return None
    result: dict[str, Any] = {}
    for key, value in (pair for table in tables for pair in table.items()):
        if key in result:
            raise FastschedError(f"{name} has {key!r} twice")
        result[key] = value
    return result


def _parsed_entries(path: str, entries: Any) -> Any:
    where = f"sweep.{path}"
    named = _entries_of(where, entries)
    if named:
        return {name: parsed(value, Spec, where) for name, value in named.items()}
    if isinstance(entries, list):
        return parsed(entries, Spec, where)
    reject(where, entries, "a list of values, or a table of names with values")


def _axis(path: Any, entries: Any) -> Axis:
    if not isinstance(path, str) or not path.strip():
        reject("axes", path, 'named by paths, e.g. "optimizer.lr"')
    paths = tuple(part.strip() for part in path.split(","))
    names = None
    if isinstance(entries, Mapping):
        names = tuple(map(str, entries))
        if "type" in names:
            reject(f"axes[{path!r}]", names, 'without the name "type", a word of study files')
        entries = list(entries.values())
    entries = items(f"axes[{path!r}]", entries, "a list of values, or a dict that names them")
    if not entries:
        reject(f"axes[{path!r}]", entries, "at least one value")
    if len(paths) == 1:
        return Axis(paths, tuple((_number(entry),) for entry in entries), names)
    allowed = f"tuples of {len(paths)} values, one for each path"
    rows = [items(f"axes[{path!r}]", entry, allowed) for entry in entries]
    if any(len(row) != len(paths) for row in rows):
        reject(f"axes[{path!r}]", next(row for row in rows if len(row) != len(paths)), allowed)
    return Axis(paths, tuple(tuple(map(_number, row)) for row in rows), names)


def _number(value: Any) -> Any:
    """Return a number or a vector of any library as one of Python's or NumPy's."""
    given = unwrapped(value)
    return given.item() if isinstance(given, np.generic) else given


def _labels(dim: str, axis: Axis) -> NDArray[Any]:
    labels = np.array(axis.names) if axis.names else _texts_or_numbers(axis.values)
    seen, counts = np.unique(labels, return_counts=True)
    if np.any(counts > 1):
        twice = seen[np.argmax(counts > 1)].item()
        raise FastschedError(
            f"axes: two entries along {dim} read {twice!r}: name the entries, in a dict"
        )
    return labels


def _short_texts(labels: NDArray[Any]) -> list[str]:
    texts = [str(label) for label in labels.tolist()]
    short = [f"{label:.6g}" for label in labels] if labels.dtype.kind == "f" else texts
    return short if len(set(short)) == len(short) else texts


def _texts_or_numbers(entries: Sequence[tuple[Any, ...]]) -> NDArray[Any]:
    """Return labels of entries: numbers where all are, else texts."""
    if all(
        len(entry) == 1 and isinstance(entry[0], numbers.Real) and not isinstance(entry[0], bool)
        for entry in entries
    ):
        values = np.array([entry[0] for entry in entries])
        # Integers beyond 64 bits, or of which some need the sign, would become floats.
        if values.dtype.kind in "iu" or not all(isinstance(e[0], int) for e in entries):
            return values
    return np.array([", ".join(map(brief, entry)) for entry in entries])


def _shown(axes: Sequence[Axis]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for axis in axes:
        entries, names = axis.entries, axis.names
        shown[", ".join(axis.paths)] = dict(zip(names, entries, strict=True)) if names else entries
    return shown
