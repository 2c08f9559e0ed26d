"""Statistics of a block on the GPU that ran it: only they come back.

Moments go through the same tree, by the same functions, as on the processor. Histograms are
counted in shared memory, those of rarer large numbers in global memory; counts are integers, so
that their order does not matter.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from fastsched.disk_cache import cached
from fastsched.kernels import gpu
from fastsched.kernels.reduce import (
    BINS,
    DIVERGED_ABOVE,
    LANES,
    MOMENTS,
    bin_of,
    combine,
    leaf,
)
from fastsched.kernels.rows import Counts, Rows

# Counters of a block in shared memory, 16 KiB of them.
_WINDOW = 4096
_HALF = _WINDOW // 2

# The most counters in global memory at once.
_COUNTERS = 2**24

# Blocks that share a row.
_PARTS = 1 if gpu.SIMULATED else 64

_LOGARITHMIC = 0


class CudaRows(Rows):
    """Rows in the memory of a GPU.

    Parameters
    ----------
    values : device array of shape (rows, columns)
        The columns are trajectories, whole tiles of them.
    count : int
        How many of them are trajectories of the study.
    stream : gpu.Stream
        In which the values were made.
    """

    def __init__(self, values: Any, count: int, stream: gpu.Stream) -> None:
        self._values = values
        self._count = count
        self._stream = stream

    def __len__(self) -> int:
        return int(self._values.shape[0])

    def __getitem__(self, rows: slice) -> CudaRows:
        return CudaRows(self._values[rows], self._count, self._stream)

    def map(self, function: Any, other: Rows) -> CudaRows:
        assert isinstance(other, CudaRows)
        result = self._stream.empty(function, self._values.shape, np.float64)
        kernel = _map(function)[gpu.blocks(self._values.size), gpu.THREADS, self._stream.handle]
        kernel((self._values, other._values, result))
        return CudaRows(result, self._count, self._stream)

    def host(self) -> NDArray[np.float64]:
        return self._stream.downloaded(self._values)[:, : self._count]

    def moments(self) -> NDArray[np.float64]:
        rows, tiles = len(self), -(-self._count // LANES)
        nodes = self._stream.empty("nodes", (rows, MOMENTS, tiles), np.float64)
        spare = "parents", "nodes"
        if rows:
            leaves = _leaves[gpu.blocks(rows * tiles), gpu.THREADS, self._stream.handle]
            leaves(self._count, tiles, (self._values, nodes))
        while rows and tiles > 1:
            above = -(-tiles // 2)
            parents = self._stream.empty(spare[0], (rows, MOMENTS, above), np.float64)
            level = _pairs[gpu.blocks(rows * above), gpu.THREADS, self._stream.handle]
            level(tiles, (nodes, parents))
            nodes, tiles, spare = parents, above, spare[::-1]
        return np.ascontiguousarray(self._stream.downloaded(nodes)[:, :, 0].T)

    def histogram(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        extrema = self._extrema(_LOGARITHMIC)
        bins = np.array([_bin(x) for x in extrema.ravel().tolist()], np.int64)
        limits = np.stack([extrema[:, ::2].min(axis=1), extrema[:, 1::2].max(axis=1)], axis=1)
        return *self._counted(bins.reshape(-1, 2), _LOGARITHMIC, BINS), limits

    def occurrences(self, bound: int) -> Counts:
        extrema = self._extrema(bound).reshape(-1, 2)
        numbers = np.where(np.isfinite(extrema), extrema, [0, -1]).astype(np.int64)
        return self._counted(numbers, bound, bound)

    def _extrema(self, bound: int) -> NDArray[np.float64]:
        """Return the limits of the numbers below 0, and of the others, that count in each row."""
        rows = len(self)
        none = np.tile([np.inf, -np.inf, np.inf, -np.inf], (rows, 1))
        extrema = self._stream.uploaded("extrema", none)
        if rows:
            kernel = _find_extrema[(_PARTS, rows), gpu.THREADS, self._stream.handle]
            kernel(self._count, bound, (self._values, extrema))
        return self._stream.downloaded(extrema)

    def _counted(self, limits: NDArray[np.int64], bound: int, stride: int) -> Counts:
        """Return keys row * stride + bin and their counts.

        The bins of a row lie in two ranges, of numbers below 0 and of others, whose limits these
        are: what lies between may be many empty bins.
        """
        widths = np.maximum(limits[:, 1] - limits[:, 0] + 1, 0)
        keys, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        begin = 0
        while begin < len(self):
            offsets = np.concatenate([[0], np.cumsum(widths[2 * begin :])])
            fitting = int(np.searchsorted(offsets, _COUNTERS, side="right")) - 1
            end = begin + max(1, fitting // 2)
            ranges = slice(2 * begin, 2 * end)
            offsets = offsets[: 2 * (end - begin) + 1]
            lows = limits[ranges, 0]
            counters = self._count_rows(begin, end, lows, offsets, bound)
            used = np.flatnonzero(counters)
            place = np.searchsorted(offsets, used, side="right") - 1
            keys.append((begin + place // 2) * stride + lows[place] + used - offsets[place])
            counts.append(counters[used].astype(np.int64))
            begin = end
        return np.concatenate(keys), np.concatenate(counts)

    def _count_rows(
        self,
        begin: int,
        end: int,
        lows: NDArray[np.int64],
        offsets: NDArray[np.int64],
        bound: int,
    ) -> NDArray[np.int32]:
        if not offsets[-1]:
            return np.zeros(0, np.int32)
        stream = self._stream
        counters = stream.uploaded("counters", np.zeros(offsets[-1], np.int32))
        kernel = _count[(_PARTS, end - begin), gpu.THREADS, self._stream.handle]
        limits = stream.uploaded("lows", lows), stream.uploaded("offsets", offsets)
        kernel(self._count, bound, (self._values[begin:end], *limits, counters))
        return stream.downloaded(counters)


def _bin(x: float) -> int:
    """Return the bin of an extremum; none counts as an empty range."""
    if np.isfinite(x):
        return int(bin_of(x))
    return 0 if x > 0 else -1


@cached(cuda.jit)
def _leaves(count, tiles, arrays):
    values, nodes = arrays
    k = cuda.grid(1)
    row, tile = k // tiles, k % tiles
    if row < values.shape[0]:
        n, mean, m2, m3, m4 = leaf(values[row], tile * LANES, count)
        node = nodes[row]
        node[0, tile], node[1, tile], node[2, tile] = n, mean, m2
        node[3, tile], node[4, tile] = m3, m4


@cached(cuda.jit)
def _pairs(tiles, arrays):
    nodes, parents = arrays
    above = (tiles + 1) // 2
    k = cuda.grid(1)
    row, parent = k // above, k % above
    if row < nodes.shape[0]:
        node, result = nodes[row], parents[row]
        if 2 * parent + 1 < tiles:
            combine(node, 2 * parent, node, 2 * parent + 1, result, parent)
        else:
            for m in range(MOMENTS):
                result[m, parent] = node[m, 2 * parent]


@gpu.device
def _counts_as(x, bound):
    """Return the bin of a number, or -1 where it is left out."""
    if bound == _LOGARITHMIC:
        return bin_of(x) if abs(x) <= DIVERGED_ABOVE else np.int64(-1)
    return np.int64(x) if x >= 0 and x < bound else np.int64(-1)


@cached(cuda.jit)
def _find_extrema(count, bound, arrays):
    values, extrema = arrays
    row = cuda.blockIdx.y
    low, negative, positive, high = np.inf, -np.inf, np.inf, -np.inf
    first = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    for column in range(first, count, cuda.gridDim.x * cuda.blockDim.x):
        # A negative zero would be in a bin of its own.
        x = values[row, column] + 0.0
        if _counts_as(x, bound) >= 0:
            if x < 0:
                low = min(low, x)
                negative = max(negative, x)
            else:
                positive = min(positive, x)
                high = max(high, x)
    if low <= negative:
        cuda.atomic.min(extrema, (row, 0), low)
        cuda.atomic.max(extrema, (row, 1), negative)
    if positive <= high:
        cuda.atomic.min(extrema, (row, 2), positive)
        cuda.atomic.max(extrema, (row, 3), high)


@cached(cuda.jit)
def _count(count, bound, arrays):
    values, lows, offsets, counters = arrays
    row = cuda.blockIdx.y
    window = cuda.shared.array(_WINDOW, np.int32)
    for k in range(cuda.threadIdx.x, _WINDOW, cuda.blockDim.x):
        window[k] = 0
    cuda.syncthreads()
    first = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    for column in range(first, count, cuda.gridDim.x * cuda.blockDim.x):
        x = values[row, column] + 0.0
        index = _counts_as(x, bound)
        if index >= 0:
            side = 0 if x < 0 else 1
            k = index - lows[2 * row + side]
            if k < _HALF:
                cuda.atomic.add(window, side * _HALF + k, 1)
            else:
                cuda.atomic.add(counters, offsets[2 * row + side] + k, 1)
    cuda.syncthreads()
    for k in range(cuda.threadIdx.x, _WINDOW, cuda.blockDim.x):
        if window[k] > 0:
            side = k // _HALF
            cuda.atomic.add(counters, offsets[2 * row + side] + k - side * _HALF, window[k])


@functools.cache
def _map(function: Any) -> Any:
    @cuda.jit
    def kernel(arrays):
        x, y, result = arrays
        k = cuda.grid(1)
        row, column = k // x.shape[1], k % x.shape[1]
        if row < x.shape[0]:
            result[row, column] = function(x[row, column], y[row, column])

    return kernel
