"""Who runs the blocks: threads of this process, or an executor's workers elsewhere."""

from __future__ import annotations

import concurrent.futures
import functools
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from typing import Any, Protocol, Self

from fastsched.errors import FastschedError
from fastsched.executors import connected, require_portable, submitted
from fastsched.plan import Block, Plan, Runner, make_plan
from fastsched.progress import Bar
from fastsched.statistics import Statistics, block_statistics
from fastsched.store import Store
from fastsched.study import Study
from fastsched.sweep import Sweep

# How often a block is tried elsewhere, and how long is waited before Ctrl-C is heeded.
_TRIES = 3
_PATIENCE = 0.1


class Workers(Protocol):
    """Those who run blocks.

    Attributes
    ----------
    ahead : int
        How many blocks are given to them before the first one is wanted.
    """

    ahead: int

    def submit(self, block: Block) -> Future[Statistics | None]:
        """Have a block run."""

    def outcome(self, block: Block, task: Future[Statistics | None]) -> Statistics | None:
        """Return its statistics, None where the run was stopped."""


class Threads:
    """Threads of this process, while in this context."""

    def __init__(self, plan: Plan, store: Store | None, stop: threading.Event, bar: Bar) -> None:
        self.ahead = 2 * plan.workers + 2
        self._plan, self._store, self._stop, self._bar = plan, store, stop, bar
        self._runner = plan.runner()
        self._pool = ThreadPoolExecutor(plan.workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown()

    def submit(self, block: Block) -> Future[Statistics | None]:
        return self._pool.submit(self._run, block)

    def outcome(self, block: Block, task: Future[Statistics | None]) -> Statistics | None:
        return task.result()

    def _run(self, block: Block) -> Statistics | None:
        stored = None if self._store is None else self._store.load(block)
        if stored is not None:
            self._bar.advance(_work(self._plan, block))
            return stored
        statistics = _reduced(
            self._plan, self._runner, block, lambda: not self._stop.is_set(), self._bar.advance
        )
        if statistics is not None and self._store is not None:
            self._store.save(block, statistics)
        return statistics


class Remote:
    """Workers of an executor, each with its own kernels and memory."""

    def __init__(
        self, executor: Any, plan: Plan, store: Store | None, stop: threading.Event, bar: Bar
    ) -> None:
        self._executor, workers = connected(executor, _TRIES)
        require_portable(plan.asked, self._executor)
        self.ahead = 2 * workers + 2
        self._plan, self._store, self._stop, self._bar = plan, store, stop, bar
        self._loaded: set[int] = set()

    def submit(self, block: Block) -> Future[Statistics | None]:
        stored = None if self._store is None else self._store.load(block)
        if stored is not None:
            self._loaded.add(block.first_tile)
            known: Future[Statistics | None] = Future()
            known.set_result(stored)
            return known
        return submitted(self._executor, run_elsewhere, self._plan.asked, block)

    def outcome(self, block: Block, task: Future[Statistics | None]) -> Statistics | None:
        for attempt in range(1, _TRIES + 1):
            while not concurrent.futures.wait([task], timeout=_PATIENCE).done:
                if self._stop.is_set():
                    return None
            try:
                statistics = task.result()
                break
            except (FastschedError, BrokenExecutor):
                raise
            except Exception:
                if attempt == _TRIES:
                    raise
                task = submitted(self._executor, run_elsewhere, self._plan.asked, block)
        self._bar.advance(_work(self._plan, block))
        new = block.first_tile not in self._loaded
        if statistics is not None and self._store is not None and new:
            self._store.save(block, statistics)
        return statistics


def run_elsewhere(asked: Study | Sweep, block: Block) -> Statistics | None:
    """Return the statistics of a block, in a process that knows nothing of the study yet."""
    plan, runner = _prepared(asked)
    return _reduced(plan, runner, block, lambda: True, lambda updates: None)


@functools.lru_cache(maxsize=4)
def _prepared(asked: Study | Sweep) -> tuple[Plan, Runner]:
    plan = make_plan(asked, 1, steady=True)
    return plan, plan.runner()


def _work(plan: Plan, block: Block) -> int:
    """Return the coordinate updates of a block."""
    return block.tiles * plan.tile_work


def _reduced(
    plan: Plan,
    runner: Runner,
    block: Block,
    proceed: Callable[[], bool],
    progress: Callable[[int], None],
) -> Statistics | None:
    """Run a block, and return its statistics."""
    return block_statistics(
        plan.asked,
        block.count,
        lambda member: runner.run(member, block.first_tile, block.count, proceed, progress),
    )
