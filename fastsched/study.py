"""Studies: what is asked, as a value."""

from __future__ import annotations

import functools
import tomllib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import FastschedError, choice, increasing, integer, is_number, reject
from fastsched.kernels.body import PRECISIONS
from fastsched.kernels.probe import Probe
from fastsched.landscapes import Landscape
from fastsched.measures import Loss, Measure
from fastsched.memory import require_memory
from fastsched.optimizers import Optimizer
from fastsched.schedules import Schedule
from fastsched.spec import Spec, from_dict, spec

if TYPE_CHECKING:
    from fastsched.estimate import Estimate
    from fastsched.result import Result

# Steps, trajectories and coordinates are 32-bit words of the random numbers' counter.
_LARGEST_STEPS = 4 * (2**32 - 1)
_LARGEST_COUNT = 2**32

# Hyper-parameters and coefficients of a step, about ten numbers in double precision.
_BYTES_PER_STEP = 100

# Start, origin and constants of a coordinate, in double precision.
_BYTES_PER_COORDINATE = 50


@spec
class Study(Spec):
    """A Monte Carlo study: an optimizer on a landscape, many times over.

    Parameters
    ----------
    landscape : Landscape
        The loss and its gradient noise, with the start.
    optimizer : Optimizer
        The update rule with its hyper-parameters, each a number or a schedule.
    steps : int
        Number of updates of each trajectory, at least 1.
    trajectories : int
        Number of independent trajectories, at least 1. The first n trajectories of a larger
        study are the same trajectories.
    batch_size : int or Schedule, default 1
        Samples averaged in each stochastic gradient; a schedule's values are rounded to the
        nearest integer (halves to even). The variance of the gradient noise is divided by it.
    seed : int, default 0
        Any non-negative 64-bit integer. Studies that share it share their random numbers.
    record : int or array of int, default 64
        Steps to record at: that many log-spaced ones, always with 0 and `steps` (consecutive
        where they would repeat; every step if there are no more), or the steps themselves,
        increasing, to which `steps` is added if it is missing. What is recorded at t is the state
        after t updates.
    measures : tuple of Measure, default (Loss(),)
        What to measure.
    precision : {"single", "double"}, default "single"
        Precision of the trajectories. Double precision refines the same random numbers and takes
        three times as long. In single precision a coordinate does not see changes of a step
        below 6e-8 of its distance from the minimum: for tiny rates, or for losses wanted to more
        than four digits, compare with double.

    Raises
    ------
    FastschedError
        A parameter is not allowed; the message names it, its value and what is allowed.

    Examples
    --------
    >>> import fastsched as fs
    >>> study = fs.Study(fs.Quadratic([1.0, 0.1]), fs.SGD(lr=0.1), steps=100, trajectories=64)
    >>> study.record_steps[:4]
    array([0, 1, 2, 3])
    """

    landscape: Landscape
    optimizer: Optimizer
    steps: int
    trajectories: int
    batch_size: int | Schedule = 1
    seed: int = 0
    record: int | NDArray[np.int64] = 64
    measures: tuple[Measure, ...] = (Loss(),)
    precision: str = "single"

    def __post_init__(self) -> None:
        if not isinstance(self.landscape, Landscape):
            reject("landscape", self.landscape, "a Landscape, e.g. fs.Quadratic([1.0, 0.1])")
        if not isinstance(self.optimizer, Optimizer):
            reject("optimizer", self.optimizer, "an Optimizer, e.g. fs.SGD(lr=0.1)")
        self._refuse_rotated()
        measures = (self.measures,) if isinstance(self.measures, Measure) else self.measures
        if not isinstance(measures, (tuple, list)) or not all(
            isinstance(measure, Measure) for measure in measures
        ):
            reject("measures", self.measures, "a tuple of measures, e.g. (fs.Loss(),)")
        if not measures or len({type(measure) for measure in measures}) < len(measures):
            reject("measures", self.measures, "at least one measure, and each kind once")
        self._set(
            steps=integer("steps", self.steps, minimum=1, maximum=_LARGEST_STEPS),
            trajectories=integer(
                "trajectories", self.trajectories, minimum=1, maximum=_LARGEST_COUNT
            ),
            seed=integer("seed", self.seed, minimum=0, maximum=2**64 - 1),
            measures=tuple(measures),
            precision=choice("precision", self.precision, tuple(PRECISIONS)),
        )
        if self.landscape.dim > _LARGEST_COUNT:
            reject("landscape.dim", self.landscape.dim, f"at most {_LARGEST_COUNT}")
        if not isinstance(self.batch_size, Schedule):
            self._set(batch_size=integer("batch_size", self.batch_size, minimum=1))
        if is_number(self.record) or isinstance(self.record, str):
            self._set(record=integer("record", self.record, minimum=2))
        else:
            allowed = f"increasing integers from 0 to steps = {self.steps}"
            self._set(record=increasing("record", self.record, allowed, maximum=self.steps))
        require_memory(_BYTES_PER_STEP * self.steps, "steps")
        require_memory(_BYTES_PER_COORDINATE * self.landscape.dim, "the landscape's dimension")
        self.batch_sizes()
        self.optimizer.hyperparameters(self.steps)
        for measure in self.measures:
            if not (measure.SEEKS and self.landscape.SEARCHED):
                self._probe(measure)

    def _refuse_rotated(self) -> None:
        remedy = self.landscape.rotated
        if remedy is not None and not self.optimizer.ROTATION_EQUIVARIANT:
            name, landscape = type(self.optimizer).__name__, type(self.landscape).__name__
            raise FastschedError(
                f"optimizer = {self.optimizer!r}: {name} acts coordinate by coordinate, and this "
                f"{landscape} runs in the eigenvectors of its Hessian: {remedy}, or take SGD"
            )

    @functools.cached_property
    def probes(self) -> tuple[Probe, ...]:
        """What each measure asks of the kernels."""
        return tuple(self._probe(measure) for measure in self.measures)

    def _probe(self, measure: Measure) -> Probe:
        try:
            return measure.probe(self.landscape, self.optimizer, self.steps)
        except FastschedError as error:
            raise FastschedError(f"measures: {type(measure).__name__}: {error}") from None

    @property
    def members(self) -> tuple[Study, ...]:
        """The studies to run: this one. A sweep has more."""
        return (self,)

    def with_trajectories(self, trajectories: int) -> Study:
        """Return the same study with another number of trajectories."""
        return self.replace(trajectories=trajectories)

    @functools.cached_property
    def record_steps(self) -> NDArray[np.int64]:
        """The recorded steps, increasing; the last one is always `steps`."""
        if isinstance(self.record, np.ndarray):
            return np.union1d(self.record, self.steps)
        if self.record > self.steps:
            return np.arange(self.steps + 1)
        # Rounded log-spaced steps repeat near 1: there each takes the next free integer.
        wanted = np.rint(np.geomspace(self.steps, 1, self.record - 1)[::-1]).astype(np.int64)
        index = np.arange(self.record - 1)
        return np.concatenate([[0], index + np.maximum.accumulate(wanted - index)])

    def batch_sizes(self) -> NDArray[np.float64]:
        """Return the batch size of every step, shape (steps,)."""
        if not isinstance(self.batch_size, Schedule):
            return np.full(self.steps, float(self.batch_size))
        values = np.rint(self.batch_size.values(self.steps))
        if np.any(values < 1):
            t = int(np.argmax(values < 1))
            raise FastschedError(
                f"batch_size = {self.batch_size!r} is {values[t]:g} at step {t}: batch_size must "
                f"be at least 1"
            )
        return values

    def run(self, **options: Any) -> Result:
        """Run the study; see `fastsched.run` for the options."""
        from fastsched.run import run

        return run(self, **options)

    def estimate(self, device: str = "auto") -> Estimate:
        """Return how many updates a run takes, how much memory, and about how many seconds.

        Compiles the kernel and runs a calibrating call of it, which takes seconds at most.

        Parameters
        ----------
        device : {"auto", "cpu", "cuda"}, default "auto"
            As for `fastsched.run`.

        Raises
        ------
        FastschedError
            As `fastsched.run` before any kernel starts.
        """
        from fastsched.estimate import estimate

        return estimate(self, device)

    def to_toml(self) -> str:
        """Return the study as TOML text, which `from_toml` reads back."""
        return to_toml(self)

    @classmethod
    def from_toml(cls, text: str) -> Study:
        """Return the study that TOML `text` describes.

        Raises
        ------
        FastschedError
            The text is not TOML, a key is unknown or missing, or a value is not allowed.
        """
        data = read_toml(text)
        if "sweep" in data:
            raise FastschedError("study has a table [sweep]: fs.Sweep.from_toml reads it")
        return cls.from_table(data)

    @classmethod
    def from_table(cls, data: dict[str, Any]) -> Study:
        """Return the study of what `read_toml` returned."""
        if "type" in data:
            raise FastschedError("study has the unknown key 'type'")
        return from_dict({"type": "Study", **data}, cls, "study")


def to_toml(asked: Spec) -> str:
    """Return a study or sweep as TOML text."""
    import tomli_w

    data = asked.to_dict()
    del data["type"]
    return tomli_w.dumps(data)


def read_toml(text: str) -> dict[str, Any]:
    """Return the plain data of TOML text, which may begin with a byte-order mark.

    Raises
    ------
    FastschedError
        It is not TOML.
    """
    if not isinstance(text, str):
        reject("text", text, "the text of a study, a str")
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise FastschedError(f"the study is not valid TOML: {error}") from None
