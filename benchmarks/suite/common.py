"""What the benchmarks share: studies of a given size, checks of answers, taking turns.

The suite of the newest version runs on older ones too: what these lack is named by `needs`.
"""

from __future__ import annotations

import abc
import functools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

import fastsched as fs
from fastsched.kernels import reference

WORK = 64 * 10**7


def needs(*names: str) -> None:
    """Skip a benchmark where the installed version lacks something."""
    for name in names:
        if not hasattr(fs, name):
            raise NotImplementedError(f"this version has no {name}")


class Runs(abc.ABC):
    """The time of whole runs; `setup` chooses and checks a study.

    Four processes, that `--interleave-rounds` spreads over the time of all: what a machine does
    besides lasts longer than one of them.
    """

    rounds = 4
    repeat = (2, 5, 2.0)

    @abc.abstractmethod
    def setup(self, *parameters):
        """Set `self.study`, check its answer, and so compile its kernel."""

    def time_run(self, *parameters):
        fs.run(self.study, progress=False)


def study(dim=1000, trajectories=None, steps=200, momentum=0.0, **options):
    """Return a study of about `WORK` coordinate updates."""
    trajectories = trajectories or max(1, WORK // (dim * steps * 16)) * 16
    h = 1 / np.arange(1, dim + 1)
    landscape = fs.Quadratic(h, noise="hessian", start=fs.Normal())
    optimizer = fs.SGD(fs.Cosine(0.5 * (1 - momentum), steps), momentum=momentum)
    return fs.Study(landscape, optimizer, steps, trajectories, **options)


def exact_loss(value):
    """Return the exact mean of the last loss, by the recursion of second moments."""
    h = value.landscape.eigenvalues
    xx, xv, vv = np.ones_like(h), np.zeros_like(h), np.zeros_like(h)
    values = value.optimizer.hyperparameters(value.steps)
    for rate, mu in zip(values["lr"], values["momentum"], strict=True):
        # v' = mu v + h x + noise, x' = x - rate v'
        new_vv = mu**2 * vv + 2 * mu * h * xv + h**2 * xx + h
        x_new_v = mu * xv + h * xx
        xx, xv, vv = xx - 2 * rate * x_new_v + rate**2 * new_vv, x_new_v - rate * new_vv, new_vv
    return np.sum(h * xx) / 2


# Checked once a process, although asv calls `setup` before each repetition.
@functools.cache
def check(value):
    """Compare the last loss with the exact one."""
    data = fs.run(value, progress=False).data.isel(step=-1)
    z = (float(data["loss"]) - exact_loss(value)) / float(data["loss_se"])
    assert abs(z) < 5, z


@functools.cache
def check_start(value):
    """Compare the first steps of the first trajectories with plain NumPy."""
    steps = min(value.steps, 100)
    few = value.replace(trajectories=16, steps=steps, record=[0, steps], measures=fs.Loss(()))
    slow = reference.simulate(
        few.landscape,
        few.optimizer,
        few.batch_sizes(),
        few.record_steps,
        np.arange(16),
        few.seed,
        few.precision,
    )
    fast = fs.run(few, progress=False)["loss"].values
    np.testing.assert_allclose(fast, slow.mean(axis=1), rtol=1e-3)


def seconds_of(action: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def seconds_of_run(value: fs.Study) -> float:
    """Return the seconds of a run."""
    return seconds_of(lambda: fs.run(value, progress=False))


def take_turns(
    variants: Mapping[str, Callable[[int], float]], rounds: int
) -> dict[str, list[float]]:
    """Return what each variant measures in rounds 1, 2, ..., of which it is told the number."""
    values: dict[str, list[float]] = {name: [] for name in variants}
    for k in range(1, rounds + 1):
        # In another order every round: what ran before leaves the machine idle, hot or busy.
        for name in np.random.default_rng(k).permutation(list(variants)).tolist():
            values[name].append(variants[name](k))
    return values


def median_ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """Return the median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(values, base, strict=True))
