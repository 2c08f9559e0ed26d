"""Running studies and sweeps: blocks to workers, statistics merged in order, interruption."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any, overload

from fastsched.devices import chosen_gpus
from fastsched.errors import FastschedError, reject
from fastsched.plan import Block, Plan, planned
from fastsched.progress import Bar, progress_bar
from fastsched.result import Result
from fastsched.statistics import Statistics, merged
from fastsched.store import Store, opened
from fastsched.study import Study
from fastsched.sweep import Sweep
from fastsched.sweep_result import SweepResult
from fastsched.target import Limits, Target
from fastsched.workers import Remote, Threads, Workers


class RunFailed(FastschedError):
    """A block failed after others were finished.

    Attributes
    ----------
    result : Result
        What was finished, marked as incomplete; of a sweep a `SweepResult`.
    """

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.result), vars(self)


@overload
def run(
    study: Study,
    device: str = ...,
    *,
    devices: Sequence[int] | None = ...,
    executor: Any = ...,
    store: str | os.PathLike[str] | None = ...,
    target_se: Limits | None = ...,
    confidence: float | None = ...,
    progress: bool = ...,
) -> Result: ...


@overload
def run(
    study: Sweep,
    device: str = ...,
    *,
    devices: Sequence[int] | None = ...,
    executor: Any = ...,
    store: str | os.PathLike[str] | None = ...,
    target_se: Limits | None = ...,
    confidence: float | None = ...,
    progress: bool = ...,
) -> SweepResult: ...


def run(
    study: Study | Sweep,
    device: str = "auto",
    *,
    devices: Sequence[int] | None = None,
    executor: Any = None,
    store: str | os.PathLike[str] | None = None,
    target_se: Limits | None = None,
    confidence: float | None = None,
    progress: bool = True,
) -> Result:
    """Run a study or a sweep and return its statistics.

    On the processor it uses `numba.get_num_threads()` threads. The numbers depend on the study
    and the kind of machine alone: not on the number of threads or GPUs, nor on how the work is
    divided. Processor and GPU draw the same random numbers and agree to rounding.

    Ctrl-C ends the run within a fraction of a second; the finished blocks become a result with
    `complete=False`. Blocks at work end first, unless a single tile of trajectories takes longer
    than that: then it is given up. A second Ctrl-C, or one before any block is finished, raises
    KeyboardInterrupt.

    Parameters
    ----------
    study : Study or Sweep
        What to run; a sweep's members run together, block by block.
    device : {"auto", "cpu", "cuda"}, default "auto"
        Where to run: on the processor, or on an NVIDIA GPU; "auto" takes a GPU where there is
        one, and numba-cuda is installed.
    devices : sequence of int, optional
        The numbers of the GPUs, among which blocks of trajectories are divided; by default the
        first alone.
    executor : optional
        Where to run the blocks instead of in threads of this process: a `dask.distributed` client
        or cluster, or any executor whose futures are those of `concurrent.futures`, such as a
        `ProcessPoolExecutor` or those of mpi4py and Ray. A block that fails is tried three times.
        The bits are those of a run without it. The processes of a `ProcessPoolExecutor` need
        functions of the study in a module that they can import; Dask sends any function.
    store : path-like, optional
        A folder that keeps the finished blocks, a new one or that of an earlier run of the same
        study or sweep, which then goes on where it was when it ended or was killed. With more
        `trajectories` it adds to them, with the same bits as one run of all. Damaged files are
        run again, with a warning.
    target_se : float or dict, optional
        Stop as soon as standard errors are small enough, and at the study's `trajectories` at
        the latest; the result's study has the number that it took. A number is the largest
        relative error of `loss` at any recorded step of any member; a dict has such a number, or
        ("absolute", error), for each variable. The bits are those of a run of so many
        trajectories. That chance decides when to stop makes the estimates a little biased and
        their errors a little too small, by the order of 1/n of n trajectories; at least 256 are
        run.
    confidence : float, optional
        With `target_se`: the probability with which the estimates are to be within the target, by
        a normal law, e.g. 0.95 for 1.96 standard errors. By default the targets are those of the
        standard errors themselves.
    progress : bool, default True
        Show a progress bar on a terminal or in a notebook.

    Returns
    -------
    Result
        Of a sweep a `SweepResult`.

    Raises
    ------
    FastschedError
        A parameter is not allowed, there is no GPU, the memory does not suffice, or the store is
        of another study or in use; before any kernel starts. A variable that `target_se` names
        is not there; after the first block.
    RunFailed
        A block failed after others were finished.
    """
    if not isinstance(study, (Study, Sweep)):
        reject("study", study, "a Study or a Sweep")
    if executor is not None and (device == "cuda" or devices is not None):
        raise FastschedError("executor: the blocks of an executor run on processors, not on GPUs")
    gpus = () if executor is not None else chosen_gpus(device, devices)
    if confidence is not None and target_se is None:
        reject("confidence", confidence, "left out without target_se")
    target = None if target_se is None else Target(target_se, confidence)
    started = time.perf_counter()
    plan = planned(study, gpus, steady=(store, target, executor) != (None, None, None))
    keeping = contextlib.nullcontext() if store is None else opened(store, study, plan.division)
    with (
        keeping as blocks,
        _interrupts() as stop,
        progress_bar(plan.work, progress, " updates") as bar,
        _workers(executor, plan, blocks, stop, bar) as workers,
    ):
        merger, error = _run_blocks(workers, plan, stop, bar, target)
    if merger.trajectories == 0:
        raise error if error else KeyboardInterrupt
    result = merger.result(time.perf_counter() - started, len(gpus))
    if error:
        raise RunFailed(
            f"the run failed after {merger.trajectories} of {study.trajectories} trajectories, "
            f"which are in the attribute `result` of this error: {error}",
            result,
        ) from error
    return result


def _workers(
    executor: Any, plan: Plan, store: Store | None, stop: threading.Event, bar: Bar
) -> AbstractContextManager[Workers]:
    if executor is None:
        return Threads(plan, store, stop, bar)
    return contextlib.nullcontext(Remote(executor, plan, store, stop, bar))


class _Merger:
    """Merges blocks' statistics, in order, along the tree of `kernels.reduce`."""

    def __init__(self, asked: Study | Sweep) -> None:
        self._asked = asked
        self._nodes: list[tuple[int, Statistics]] = []
        self.trajectories = 0

    def add(self, partials: Statistics, count: int) -> None:
        self.trajectories += count
        level = 0
        while self._nodes and self._nodes[-1][0] == level:
            partials = merged(self._asked, self._nodes.pop()[1], partials)
            level += 1
        self._nodes.append((level, partials))

    def total(self) -> Statistics:
        *nodes, (_, total) = self._nodes
        for _, left in reversed(nodes):
            total = merged(self._asked, left, total)
        return total

    def settle(self) -> None:
        """Let the study be one of the trajectories that there are."""
        self._asked = self._asked.with_trajectories(self.trajectories)

    def result(self, seconds: float, gpus: int = 0) -> Result:
        found = self.total(), self.trajectories, seconds, gpus
        if isinstance(self._asked, Sweep):
            return SweepResult.from_statistics(self._asked, *found)
        return Result.from_statistics(self._asked, *found)


def _run_blocks(
    workers: Workers, plan: Plan, stop: threading.Event, bar: Bar, target: Target | None
) -> tuple[_Merger, Exception | None]:
    """Run the blocks; return what is finished, in order, and the error that ended it."""
    merger = _Merger(plan.asked)
    blocks = plan.blocks()
    waiting: deque[tuple[Block, Future[Statistics | None]]] = deque()
    error: Exception | None = None
    try:
        while True:
            for block in itertools.islice(blocks, workers.ahead - len(waiting)):
                waiting.append((block, workers.submit(block)))
            if not waiting:
                break
            block, task = waiting.popleft()
            statistics = workers.outcome(block, task)
            if statistics is None:
                break
            merger.add(statistics, block.count)
            if target is not None:
                excess = target.excess(merger.result(0.0))
                bar.say(f"error {excess:.2f} x target")
                if excess <= 1:
                    merger.settle()
                    break
    except Exception as exception:
        error = exception
    finally:
        stop.set()
        for _, task in waiting:
            task.cancel()
    return merger, error


@contextlib.contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event; a second one raises KeyboardInterrupt."""
    stop = threading.Event()
    previous = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or previous in (signal.SIG_IGN, None):
        yield stop
        return
    interrupts = itertools.count(1)

    def handle(signum: int, frame: FrameType | None) -> None:
        stop.set()
        if next(interrupts) > 1:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)
