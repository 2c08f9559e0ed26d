"""Tiles on the processor: work space, kernel calls, and where they can be stopped.

Every thread runs blocks of its own in single-threaded kernels that release the interpreter
lock. Compared with one kernel over `prange`, this compiles in half the time, needs no
threading layer that is safe to enter from several threads, and balances uneven blocks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels.body import GROUP, Arguments, Feed, Space
from fastsched.kernels.reduce import LANES
from fastsched.kernels.rows import HostRows

_CACHE_LINE = 64


class TileRunner:
    """Runs tiles in the calling thread; each thread has work space of its own.

    Parameters
    ----------
    feed : function
        From the number of a member to its `Feed`; of a study alone it is 0.
    tiles : int
        The largest number of tiles of a call to `run`.
    """

    def __init__(self, feed: Callable[[int], Feed], tiles: int) -> None:
        self._feed = feed
        self._tiles = tiles
        self._local = threading.local()

    def run(
        self,
        member: int,
        first_tile: int,
        count: int,
        proceed: Callable[[], bool],
        progress: Callable[[int], None],
    ) -> tuple[HostRows, HostRows] | None:
        """Return what is recorded of some trajectories, and what is kept after their last step.

        The first has a row for each reading and recorded step. Both are this thread's work space,
        valid until the next call. What is not known (yet) at a recorded step is NaN.

        Parameters
        ----------
        member : int
            The number of the member.
        first_tile, count : int
            The first tile of `LANES` trajectories, and the number of trajectories.
        proceed : function
            Asked before each kernel call; where it says no, the result is None.
        progress : function
            Told after each the number of coordinate updates done.
        """
        kernel, a, groups_per_call, _ = self._feed(member)
        tiles = -(-count // LANES)
        state, scratch, observed, kept = self._workspace(a)
        for begin in range(0, a.groups, groups_per_call):
            if not proceed():
                return None
            end = min(begin + groups_per_call, a.groups)
            kernel.run_tiles(
                first_tile,
                tiles,
                begin,
                end,
                state,
                scratch,
                a.constants,
                a.start_moments,
                a.table,
                a.keys,
                a.data,
                a.own,
                a.ledger,
                observed,
                kept,
            )
            progress(tiles * (end - begin) * GROUP * LANES * state.shape[1])
        columns = observed.shape[-1]
        return HostRows(observed.reshape(-1, columns), count), HostRows(kept, count)

    def _workspace(self, a: Arguments) -> tuple[Any, ...]:
        local = self._local
        if getattr(local, "shape", None) != a.workspace:
            columns = self._tiles * LANES
            terms, *others = _allocated(a.scratch)
            local.arrays = (
                _allocated(a.state),
                (terms.reshape(-1), *others),
                _aligned((len(a.ledger.readings), a.records, columns), np.float64),
                _aligned((len(a.ledger.kept), columns), np.float64),
            )
            local.shape, local.arguments = a.workspace, None
        if local.arguments is not a:
            local.arrays[2].fill(np.nan)
            local.arguments = a
        return local.arrays


def _allocated(scratch: Any) -> Any:
    """Return arrays for nested tuples of spaces."""
    if isinstance(scratch, Space):
        return _aligned(scratch.shape_for(LANES), scratch.dtype)
    return tuple(_allocated(part) for part in scratch)


def _aligned(shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
    """Return an uninitialised array that starts at a cache line, so that no vector straddles."""
    dtype = np.dtype(kind)
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.empty(size + _CACHE_LINE, np.uint8)
    begin = -raw.ctypes.data % _CACHE_LINE
    return raw[begin : begin + size].view(dtype).reshape(shape)
