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

from fastsched.kernels.device import float_to_bits64

LANES = 16
"""Trajectories of one tile: the leaves of the tree of moments."""

DIVERGED_ABOVE = 1e30
"""A recorded value that is not finite or beyond this bound counts as diverged."""

COUNT, MEAN, M2, M3, M4, MINIMUM, MAXIMUM = range(7)

# A bin is a power of two split into 2^7 equal parts, so at most 0.8 % wide.
_MANTISSA_BITS = 7
_BIN_SHIFT = 52 - _MANTISSA_BITS
_ZERO_BIN = 1 << (11 + _MANTISSA_BITS)
_BINS = 2 * _ZERO_BIN
_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _combine(nodes, i, j):
    """Add node j to node i (Pebay 2008, SAND2008-6212, eqs. 2.1-2.4 for two sets)."""
    nb = nodes[j, COUNT]
    if nb == 0.0:
        return
    na = nodes[i, COUNT]
    if na == 0.0:
        nodes[i] = nodes[j]
        return
    n = na + nb
    delta = nodes[j, MEAN] - nodes[i, MEAN]
    part = delta / n
    a2, b2 = nodes[i, M2], nodes[j, M2]
    a3, b3 = nodes[i, M3], nodes[j, M3]
    nodes[i, M4] += (
        nodes[j, M4]
        + delta * part * part * part * na * nb * (na * na - na * nb + nb * nb)
        + 6.0 * part * part * (na * na * b2 + nb * nb * a2)
        + 4.0 * part * (na * b3 - nb * a3)
    )
    nodes[i, M3] = a3 + b3 + delta * part * part * na * nb * (na - nb)
    nodes[i, M3] += 3.0 * part * (na * b2 - nb * a2)
    nodes[i, M2] = a2 + b2 + delta * part * na * nb
    nodes[i, MEAN] += part * nb
    nodes[i, COUNT] = n
    nodes[i, MINIMUM] = min(nodes[i, MINIMUM], nodes[j, MINIMUM])
    nodes[i, MAXIMUM] = max(nodes[i, MAXIMUM], nodes[j, MAXIMUM])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _leaf(values, begin, end, node):
    """Write the moments of the values that have not diverged."""
    count, total = 0.0, 0.0
    low, high = np.inf, -np.inf
    for k in range(begin, end):
        x = values[k]
        if abs(x) <= DIVERGED_ABOVE:
            count += 1.0
            total += x
            low = min(low, x)
            high = max(high, x)
    mean = total / max(count, 1.0)
    if low == high:
        mean = low
    m2 = m3 = m4 = 0.0
    for k in range(begin, end):
        x = values[k]
        if abs(x) <= DIVERGED_ABOVE:
            d = x - mean
            m2 += d * d
            m3 += d * d * d
            m4 += d * d * d * d
    node[COUNT], node[MEAN], node[M2], node[M3], node[M4] = count, mean, m2, m3, m4
    node[MINIMUM], node[MAXIMUM] = low, high


@numba.njit(cache=True, nogil=True, error_model="numpy")
def block_moments(observed, count):
    """Return the moments of each row over its first `count` columns, shape (rows, 7).

    The columns are the trajectories of a block, which starts at a multiple of `LANES`. The
    seven numbers are the count of values that have not diverged, their mean, the central sums
    of powers 2, 3 and 4, the minimum and the maximum.
    """
    rows = observed.shape[0]
    tiles = (count + LANES - 1) // LANES
    nodes = np.empty((tiles, 7))
    result = np.empty((rows, 7))
    for row in range(rows):
        for tile in range(tiles):
            begin = tile * LANES
            _leaf(observed[row], begin, min(begin + LANES, count), nodes[tile])
        stride = 1
        while stride < tiles:
            for tile in range(0, tiles - stride, 2 * stride):
                _combine(nodes, tile, tile + stride)
            stride *= 2
        result[row] = nodes[0]
    return result


@numba.njit(cache=True, nogil=True, error_model="numpy")
def merge_moments(left, right):
    """Return the moments of two neighbouring nodes of the tree, row by row."""
    pair = np.empty((2, 7))
    result = np.empty_like(left)
    for row in range(left.shape[0]):
        pair[0] = left[row]
        pair[1] = right[row]
        _combine(pair, 0, 1)
        result[row] = pair[0]
    return result


@numba.njit(cache=True, nogil=True, error_model="numpy")
def block_histogram(observed, count):
    """Count the values of each row that have not diverged, in fixed logarithmic bins.

    Returns
    -------
    keys, counts : int64 arrays
        The occupied bins only, ascending; a key is row * 2^19 + bin.
    """
    rows = observed.shape[0]
    keys = np.empty(rows * count, np.int64)
    counts = np.empty(rows * count, np.int64)
    dense = np.zeros(_BINS, np.int32)
    used = 0
    for row in range(rows):
        low, high = _BINS, -1
        for k in range(count):
            x = observed[row, k]
            if abs(x) <= DIVERGED_ABOVE:
                bits = float_to_bits64(x)
                magnitude = (bits & _MAGNITUDE) >> _BIN_SHIFT
                index = _ZERO_BIN + magnitude if bits >= 0 else _ZERO_BIN - 1 - magnitude
                dense[index] += 1
                low = min(low, index)
                high = max(high, index)
        for index in range(low, high + 1):
            if dense[index] > 0:
                keys[used] = row * _BINS + index
                counts[used] = dense[index]
                dense[index] = 0
                used += 1
    return keys[:used].copy(), counts[:used].copy()


@numba.njit(cache=True, nogil=True, error_model="numpy")
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
    rows: int,
    trajectories: int,
    probabilities: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the quantiles of every row, shape (probabilities, rows).

    Diverged trajectories count as infinite. Inside a bin the values are taken as evenly spread.
    """
    total = np.concatenate([[0], np.cumsum(counts)])
    row_begin = np.searchsorted(keys, np.arange(rows + 1, dtype=np.int64) * _BINS)
    below = total[row_begin[:-1]]
    rank = np.maximum(probabilities[:, None] * trajectories, 0.5)
    position = np.searchsorted(total[1:], below + rank, side="left")
    infinite = position >= row_begin[1:]
    position = np.minimum(position, max(keys.size - 1, 0))
    if keys.size == 0:
        return np.full(position.shape, np.inf)
    index = keys[position] - np.arange(rows) * _BINS
    low, high = _bin_edge(index), _bin_edge(index + 1)
    inside = (below + rank - total[position]) / counts[position]
    return np.where(infinite, np.inf, low + (high - low) * inside)


def _bin_edge(index: NDArray[np.int64]) -> NDArray[np.float64]:
    magnitude = np.where(index >= _ZERO_BIN, index - _ZERO_BIN, _ZERO_BIN - index)
    edge = (magnitude.astype(np.int64) << _BIN_SHIFT).view(np.float64)
    return np.where(index >= _ZERO_BIN, edge, -edge)
