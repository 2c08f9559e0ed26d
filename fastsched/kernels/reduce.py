"""From the recorded values of a block's trajectories to statistics that merge.

Moments are floating-point sums, so their order matters: they are combined along the perfect
binary tree over tiles, whose shape depends on the trajectory index alone. A block of 2^k
tiles at a multiple of 2^k is a node of that tree, hence the same bits for any block size,
thread count or machine. Histograms are integer counts and merge exactly in any order.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from fastsched.disk_cache import cached
from fastsched.kernels.device import float_to_bits64

LANES = 16
"""Trajectories of one tile: the leaves of the tree of moments."""

DIVERGED_ABOVE = 1e30
"""A recorded value that is not finite or beyond this bound counts as diverged."""

MOMENTS = 5
COUNT, MEAN, M2, M3, M4 = range(MOMENTS)

# A bin is a power of two split into 2^9 equal parts, so at most 0.2 % wide.
_MANTISSA_BITS = 9
_BIN_SHIFT = 52 - _MANTISSA_BITS
_ZERO_BIN = 1 << (11 + _MANTISSA_BITS)
BINS = 2 * _ZERO_BIN
# Up to so many values a histogram is made by sorting.
_FEW = 256

_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)


# Inlined, without fast-math: a loop over tiles runs as vector code with a scalar remainder,
# and contracted or reordered sums could differ in their last bits between the two.
_strict = numba.njit(forceinline=True, error_model="numpy")


@_strict
def combine(left, i, right, j, out, k):
    """Write to column k the moments of columns i and j together.

    Pebay 2008, SAND2008-6212, eqs. 2.1-2.4; an empty set changes nothing.
    """
    na, ma, a2, a3, a4 = left[0, i], left[1, i], left[2, i], left[3, i], left[4, i]
    nb, mb, b2, b3, b4 = right[0, j], right[1, j], right[2, j], right[3, j], right[4, j]
    n = na + nb
    delta = mb - ma if na > 0.0 and nb > 0.0 else 0.0
    part = delta / max(n, 1.0)
    product = na * nb
    out[COUNT, k] = n
    out[MEAN, k] = (ma if na > 0.0 else mb) + part * nb
    out[M2, k] = a2 + b2 + delta * part * product
    out[M3, k] = (
        a3 + b3 + delta * part * part * product * (na - nb) + 3.0 * part * (na * b2 - nb * a2)
    )
    out[M4, k] = (
        a4
        + b4
        + delta * part * part * part * product * (na * na - product + nb * nb)
        + 6.0 * part * part * (na * na * b2 + nb * nb * a2)
        + 4.0 * part * (na * b3 - nb * a3)
    )


@_strict
def leaf(values, begin, count):
    """Return the moments of a tile's values that have not diverged.

    Without branches, so that it becomes vector code. Sums are of differences from the first
    value, which makes the moments of equal values exact.
    """
    shift = values[begin] if abs(values[begin]) <= DIVERGED_ABOVE else 0.0
    n, total = 0.0, 0.0
    for lane in range(LANES):
        x = values[begin + lane]
        valid = (abs(x) <= DIVERGED_ABOVE) & (begin + lane < count)
        n += 1.0 if valid else 0.0
        total += x - shift if valid else 0.0
    mean = shift + total / max(n, 1.0)
    m2, m3, m4 = 0.0, 0.0, 0.0
    for lane in range(LANES):
        x = values[begin + lane]
        valid = (abs(x) <= DIVERGED_ABOVE) & (begin + lane < count)
        d = x - mean if valid else 0.0
        square = d * d
        m2 += square
        m3 += square * d
        m4 += square * square
    return n, mean, m2, m3, m4


@cached(nogil=True, error_model="numpy")
def block_moments(observed, count):
    """Return the moments of each row over its first `count` columns, shape (5, rows).

    The columns are the trajectories of a block, whole tiles of them. The five numbers are the
    count of values that have not diverged, their mean, and the central sums of powers 2, 3, 4.
    """
    rows = observed.shape[0]
    tiles = (count + LANES - 1) // LANES
    result = np.empty((MOMENTS, rows))
    nodes = np.empty((MOMENTS, tiles))
    parents = np.empty((MOMENTS, tiles))
    for row in range(rows):
        for k in range(tiles):
            nodes[0, k], nodes[1, k], nodes[2, k], nodes[3, k], nodes[4, k] = leaf(
                observed[row], k * LANES, count
            )
        remaining = tiles
        while remaining > 1:
            pairs = remaining // 2
            for k in range(pairs):
                combine(nodes, 2 * k, nodes, 2 * k + 1, parents, k)
            if remaining % 2:
                for m in range(MOMENTS):
                    parents[m, pairs] = nodes[m, remaining - 1]
            remaining -= pairs
            nodes, parents = parents, nodes
        for m in range(MOMENTS):
            result[m, row] = nodes[m, 0]
    return result


@cached(nogil=True, error_model="numpy")
def merge_moments(left, right):
    """Return the moments of two neighbouring nodes of the tree, row by row."""
    result = np.empty_like(left)
    for row in range(left.shape[1]):
        combine(left, row, right, row, result, row)
    return result


@_strict
def bin_of(x):
    """Return the logarithmic bin of a number, 0 ... BINS - 1; it grows with the number."""
    bits = float_to_bits64(x)
    magnitude = (bits & _MAGNITUDE) >> _BIN_SHIFT
    return _ZERO_BIN + magnitude if bits >= 0 else _ZERO_BIN - 1 - magnitude


def block_histogram(
    observed: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Count the values of each row that have not diverged, in fixed logarithmic bins.

    Returns
    -------
    keys, counts : int64 arrays
        The occupied bins only, ascending; a key is row * 2^21 + bin.
    extrema : array of shape (rows, 2)
        The smallest and the largest value of each row.
    """
    return (_sorted_histogram if count <= _FEW else _dense_histogram)(observed, count)


@cached(nogil=True, error_model="numpy")
def _sorted_histogram(observed, count):
    """As `block_histogram`, for few values: sorting them is faster than looking through bins."""
    rows = observed.shape[0]
    keys = np.empty(rows * count, np.int64)
    counts = np.empty(rows * count, np.int64)
    extrema = np.empty((rows, 2))
    bins = np.empty(count, np.int64)
    used = 0
    for row in range(rows):
        valid = 0
        smallest, largest = np.inf, -np.inf
        for k in range(count):
            x = observed[row, k]
            if abs(x) <= DIVERGED_ABOVE:
                bins[valid] = bin_of(x)
                valid += 1
                smallest = min(smallest, x)
                largest = max(largest, x)
        extrema[row, 0], extrema[row, 1] = smallest, largest
        bins[:valid].sort()
        for k in range(valid):
            if k > 0 and bins[k] == bins[k - 1]:
                counts[used - 1] += 1
            else:
                keys[used] = row * BINS + bins[k]
                counts[used] = 1
                used += 1
    return keys[:used].copy(), counts[:used].copy(), extrema


@cached(nogil=True, error_model="numpy")
def _dense_histogram(observed, count):
    """As `block_histogram`."""
    rows = observed.shape[0]
    keys = np.empty(rows * count, np.int64)
    counts = np.empty(rows * count, np.int64)
    extrema = np.empty((rows, 2))
    dense = np.zeros(BINS, np.int32)
    used = 0
    for row in range(rows):
        low, high = BINS, -1
        smallest, largest = np.inf, -np.inf
        for k in range(count):
            x = observed[row, k]
            if abs(x) <= DIVERGED_ABOVE:
                index = bin_of(x)
                dense[index] += 1
                low = min(low, index)
                high = max(high, index)
                smallest = min(smallest, x)
                largest = max(largest, x)
        extrema[row, 0], extrema[row, 1] = smallest, largest
        for index in range(low, high + 1):
            if dense[index] > 0:
                keys[used] = row * BINS + index
                counts[used] = dense[index]
                dense[index] = 0
                used += 1
    return keys[:used].copy(), counts[:used].copy(), extrema


@cached(nogil=True, error_model="numpy")
def merge_histograms(left_keys, left_counts, right_keys, right_counts):
    """Return the sum of two sparse histograms, keys ascending."""
    keys = np.empty(left_keys.size + right_keys.size, np.int64)
    counts = np.empty(keys.size, np.int64)
    i = j = used = 0
    while i < left_keys.size or j < right_keys.size:
        if j == right_keys.size or (i < left_keys.size and left_keys[i] < right_keys[j]):
            keys[used], counts[used] = left_keys[i], left_counts[i]
            i += 1
        elif i == left_keys.size or right_keys[j] < left_keys[i]:
            keys[used], counts[used] = right_keys[j], right_counts[j]
            j += 1
        else:
            keys[used], counts[used] = left_keys[i], left_counts[i] + right_counts[j]
            i += 1
            j += 1
        used += 1
    return keys[:used].copy(), counts[:used].copy()


def histogram_quantiles(
    keys: NDArray[np.int64],
    counts: NDArray[np.int64],
    extrema: NDArray[np.float64],
    trajectories: int,
    probabilities: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the quantiles of every row and the widths of their bins.

    The quantile of order p of n values is where the cumulated count is p n; values are taken as
    evenly spread over the part of their bin between the row's extrema. Diverged trajectories
    count as infinite. Both arrays have the shape (probabilities, rows).
    """
    rows = len(extrema)
    total = np.concatenate([[0], np.cumsum(counts)])
    row_begin = np.searchsorted(keys, np.arange(rows + 1, dtype=np.int64) * BINS)
    below = total[row_begin[:-1]]
    rank = np.maximum(probabilities[:, None] * trajectories, 0.5)
    position = np.searchsorted(total[1:], below + rank, side="left")
    infinite = position >= row_begin[1:]
    position = np.minimum(position, max(keys.size - 1, 0))
    if keys.size == 0:
        return np.full(position.shape, np.inf), np.zeros(position.shape)
    index = keys[position] - np.arange(rows) * BINS
    low = np.maximum(_bin_edge(index), extrema[:, 0])
    high = np.minimum(_bin_edge(index + 1), extrema[:, 1])
    inside = (below + rank - total[position]) / counts[position]
    with np.errstate(invalid="ignore"):  # rows of which every value has diverged
        width = high - low
        values = np.clip(low + width * inside, low, high)
    return np.where(infinite, np.inf, values), np.where(infinite, 0.0, width)


def _bin_edge(index: NDArray[np.int64]) -> NDArray[np.float64]:
    magnitude = np.where(index >= _ZERO_BIN, index - _ZERO_BIN, _ZERO_BIN - index)
    edge = (magnitude.astype(np.int64) << _BIN_SHIFT).view(np.float64)
    return np.where(index >= _ZERO_BIN, edge, -edge)
