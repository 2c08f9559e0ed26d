"""Running a study: blocks to threads, statistics merged in order, progress, interruption."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType

import numba

from fastsched.devices import chosen_gpus
from fastsched.errors import FastschedError, reject
from fastsched.measures.base import Partial
from fastsched.plan import Block, Plan, Runner, make_plan
from fastsched.result import Result
from fastsched.study import Study


class RunFailed(FastschedError):
    """A block failed after others were finished.

    Attributes
    ----------
    result : Result
        What was finished, marked as incomplete.
    """

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


def run(
    study: Study,
    device: str = "auto",
    *,
    devices: Sequence[int] | None = None,
    progress: bool = True,
) -> Result:
    """Run a study and return its statistics.

    On the processor it uses `numba.get_num_threads()` threads. The numbers depend on the study
    and the kind of machine alone: not on the number of threads or GPUs, nor on how the work is
    divided. Processor and GPU draw the same random numbers and agree to rounding.

    Ctrl-C ends the run within a fraction of a second; the finished blocks become a result with
    `complete=False`. Blocks at work end first, unless a single tile of trajectories takes longer
    than that: then it is given up. A second Ctrl-C, or one before any block is finished, raises
    KeyboardInterrupt.

    Parameters
    ----------
    study : Study
        What to run.
    device : {"auto", "cpu", "cuda"}, default "auto"
        Where to run: on the processor, or on an NVIDIA GPU; "auto" takes a GPU where there is
        one, and numba-cuda is installed.
    devices : sequence of int, optional
        The numbers of the GPUs, among which blocks of trajectories are divided; by default the
        first alone.
    progress : bool, default True
        Show a progress bar, where the output is a terminal.

    Returns
    -------
    Result

    Raises
    ------
    FastschedError
        A parameter is not allowed, there is no GPU, or the memory does not suffice; before any
        kernel starts.
    RunFailed
        A block failed after others were finished.
    """
    if not isinstance(study, Study):
        reject("study", study, "a Study")
    gpus = chosen_gpus(device, devices)
    started = time.perf_counter()
    if gpus:
        from fastsched.gpu_plan import make_gpu_plan

        plan: Plan = make_gpu_plan(study, gpus)
    else:
        plan = make_plan(study, numba.get_num_threads())
    with _interrupts() as stop, _progress_bar(plan.work, progress) as advance:
        merger, error = _run_blocks(plan, stop, advance)
    if merger.trajectories == 0:
        raise error if error else KeyboardInterrupt
    result = Result.from_partials(
        study, merger.total(), merger.trajectories, time.perf_counter() - started, len(gpus)
    )
    if error:
        raise RunFailed(
            f"the run failed after {merger.trajectories} of {study.trajectories} trajectories, "
            f"which are in the attribute `result` of this error: {error}",
            result,
        ) from error
    return result


class _Merger:
    """Merges blocks' statistics, in order, along the tree of `kernels.reduce`."""

    def __init__(self, study: Study) -> None:
        self._measures = study.measures
        self._nodes: list[tuple[int, list[Partial]]] = []
        self.trajectories = 0

    def add(self, partials: list[Partial], count: int) -> None:
        self.trajectories += count
        level = 0
        while self._nodes and self._nodes[-1][0] == level:
            partials = self._merge(self._nodes.pop()[1], partials)
            level += 1
        self._nodes.append((level, partials))

    def total(self) -> list[Partial]:
        *nodes, (_, total) = self._nodes
        for _, left in reversed(nodes):
            total = self._merge(left, total)
        return total

    def _merge(self, left: list[Partial], right: list[Partial]) -> list[Partial]:
        return [m.merge(a, b) for m, a, b in zip(self._measures, left, right, strict=True)]


def _run_blocks(
    plan: Plan, stop: threading.Event, advance: Callable[[int], None]
) -> tuple[_Merger, Exception | None]:
    """Run the blocks in threads; return what is finished and the error that ended it."""
    merger = _Merger(plan.study)
    runner = plan.runner()
    blocks = plan.blocks()
    waiting: deque[tuple[Block, Future[list[Partial] | None]]] = deque()
    error: Exception | None = None
    with ThreadPoolExecutor(plan.workers) as pool:
        try:
            while True:
                for block in itertools.islice(blocks, 2 * plan.workers + 2 - len(waiting)):
                    task = pool.submit(_run_block, plan, runner, block, stop, advance)
                    waiting.append((block, task))
                if not waiting:
                    break
                block, task = waiting.popleft()
                partials = task.result()
                if partials is None:
                    break
                merger.add(partials, block.count)
        except Exception as exception:
            error = exception
        finally:
            stop.set()
    return merger, error


def _run_block(
    plan: Plan,
    runner: Runner,
    block: Block,
    stop: threading.Event,
    advance: Callable[[int], None],
) -> list[Partial] | None:
    rows = runner.run(block.first_tile, block.count, lambda: not stop.is_set(), advance)
    if rows is None:
        return None
    observed, kept = rows
    partials, reading, row = [], 0, 0
    for measure, probe in zip(plan.study.measures, plan.study.probes, strict=True):
        readings = len(probe.readings) * plan.arguments.records
        partials.append(
            measure.reduce(observed[reading : reading + readings], kept[row : row + probe.kept])
        )
        reading += readings
        row += probe.kept
    return partials


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


@contextlib.contextmanager
def _progress_bar(work: int, show: bool) -> Iterator[Callable[[int], None]]:
    """Yield what worker threads call with the coordinate updates they have done."""
    if not show:
        yield lambda updates: None
        return
    from tqdm.auto import tqdm

    lock = threading.Lock()
    # disable=None shows no bar where the output is not a terminal.
    with tqdm(
        total=work, unit=" updates", unit_scale=True, disable=None, delay=0.5, leave=False
    ) as bar:

        def advance(updates: int) -> None:
            with lock:
                bar.update(updates)

        yield advance
