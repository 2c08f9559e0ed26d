"""Tiles on the processor: work space, kernel calls, and where they can be stopped.

Every thread runs blocks of its own in single-threaded kernels that release the interpreter
lock. Compared with one kernel over `prange`, this compiles in half the time, needs no
threading layer that is safe to enter from several threads, and balances uneven blocks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels.body import GROUP, Arguments
from fastsched.kernels.reduce import LANES

_CACHE_LINE = 64


class TileRunner:
    """Runs tiles in the calling thread; each thread has work space of its own.

    Parameters
    ----------
    kernel : module
        From `load_kernel`.
    arguments : Arguments
        What the kernel is fed with.
    tiles : int
        The largest number of tiles of a call to `run`.
    groups_per_call : int
        Groups of four steps of one kernel call; less than all of them for single tiles only.
    """

    def __init__(
        self, kernel: ModuleType, arguments: Arguments, tiles: int, groups_per_call: int
    ) -> None:
        self._kernel = kernel
        self._arguments = arguments
        self._tiles = tiles
        self._groups_per_call = groups_per_call
        self._local = threading.local()

    def run(
        self,
        first_tile: int,
        tiles: int,
        proceed: Callable[[], bool],
        progress: Callable[[int], None],
    ) -> NDArray[np.float64] | None:
        """Return the recorded losses of some tiles, shape (measures, records, columns).

        The array is this thread's work space, valid until the next call. Before each kernel
        call `proceed` is asked, and where it says no the result is None; after each, `progress`
        is told the number of coordinate updates done.
        """
        a = self._arguments
        state, scratch, observed = self._workspace()
        for begin in range(0, a.groups, self._groups_per_call):
            if not proceed():
                return None
            end = min(begin + self._groups_per_call, a.groups)
            self._kernel.run_tiles(
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
                a.record_at,
                a.data,
                observed,
            )
            progress(tiles * (end - begin) * GROUP * LANES * state.shape[1])
        return observed

    def _workspace(self) -> tuple[Any, ...]:
        if not hasattr(self._local, "arrays"):
            a = self._arguments
            arrays = [_aligned(shape, dtype) for shape, dtype in a.scratch]
            self._local.arrays = (
                _aligned(a.state_shape, a.table.dtype),
                # A coupled landscape's own work space is a tuple within the tuple.
                (*arrays[:2], tuple(arrays[2:])) if a.coupled else tuple(arrays),
                _aligned((a.measures, a.records, self._tiles * LANES), np.dtype(np.float64)),
            )
        return self._local.arrays


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an uninitialised array that starts at a cache line, so that no vector straddles."""
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.empty(size + _CACHE_LINE, np.uint8)
    begin = -raw.ctypes.data % _CACHE_LINE
    return raw[begin : begin + size].view(dtype).reshape(shape)
