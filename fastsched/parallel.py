"""Ordered maps over threads that Ctrl-C ends at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")

Check = Callable[[], None]
"""A function that raises `Abandoned` once nobody waits for the result."""


class Abandoned(Exception):
    """The iteration that a call belongs to has ended."""


def ordered_map(
    function: Callable[[S, Check], T], items: Iterable[S], threads: int
) -> Generator[T, None, None]:
    """Yield function(item, check) for every item, in order.

    Wrap the iteration in `contextlib.closing`: when it ends early, calls that have not started
    are cancelled, and those that run end at their next `check()`.

    Parameters
    ----------
    function : callable
        Takes an item and `check`, which it calls several times a second.
    items : iterable
    threads : int
        Number of threads; 1 runs the calls in the calling thread. At most 2 threads + 2 results
        wait to be yielded.
    """
    if threads == 1:
        for item in items:
            yield function(item, lambda: None)
        return
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise Abandoned

    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(function, item, check))
            if len(waiting) > 2 * threads + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
