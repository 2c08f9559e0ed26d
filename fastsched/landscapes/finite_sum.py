"""Device functions of finite sums over rows of data."""

from __future__ import annotations

import math

import numpy as np

from fastsched.kernels.curvature import largest_eigenvalue
from fastsched.kernels.dense import ROWS, multiply
from fastsched.kernels.device import device
from fastsched.kernels.philox import STREAM_BATCH, philox

SQUARED, LOGISTIC = 0, 1
LOSSES = {"squared": SQUARED, "logistic": LOGISTIC}

# Samples whose rows are drawn at once, an even number.
SAMPLES = 32

_BATCH = np.uint32(STREAM_BATCH)
_SHIFT = np.uint64(32)
_U = np.uint64
_1, _2, _3, _4 = _U(1), _U(2), _U(3), _U(4)


@device
def _below(high, low, count):
    """Return floor(u count) for the 64-bit uniform u of two words, high half first."""
    n = np.uint64(count)
    return np.int32((np.uint64(high) * n + ((np.uint64(low) * n) >> _SHIFT)) >> _SHIFT)


@device
def _shuffle(first, last, trajectory, t, permutation, index, keys):
    """Fill each lane's column with a random permutation (Fisher & Yates), drawn for step t."""
    rows = permutation.shape[0]
    for i in range(rows):
        for lane in range(first, last):
            permutation[i, lane - first] = i
    for i in range(rows - 1, 0, -2):
        for lane in range(first, last):
            a, b, c, d = philox(
                np.uint32(i), np.uint32(t), np.uint32(trajectory + lane), _BATCH, keys
            )
            index[0, lane - first] = _below(a, b, i + 1)
            index[1, lane - first] = _below(c, d, i)
        for k in range(min(2, i)):
            for lane in range(first, last):
                j = index[k, lane - first]
                chosen = permutation[j, lane - first]
                permutation[j, lane - first] = permutation[i - k, lane - first]
                permutation[i - k, lane - first] = chosen


@device
def _draw_rows(first, last, trajectory, t, begin, end, rows, index, keys):
    """Write rows drawn for samples begin ... end - 1 of step t; `begin` is even."""
    for b in range(begin, end, 2):
        for lane in range(first, last):
            high, low, next_high, next_low = philox(
                np.uint32(b), np.uint32(t), np.uint32(trajectory + lane), _BATCH, keys
            )
            index[b - begin, lane - first] = _below(high, low, rows)
            index[b - begin + 1, lane - first] = _below(next_high, next_low, rows)


@device
def _slope(kind, margin, label):
    """Return the derivative of a row's loss by its margin."""
    if kind == SQUARED:
        return margin - label
    return -label / (1 + math.exp(label * margin))


@device
def dataset_gradient(normals, first, last, trajectory, t, k, state, field, table, data, work, keys):
    """Write the mean gradient of step t's rows, and of the penalty, to field[k]."""
    design, labels, origin, l2 = data[0], data[1], data[2], data[3][0]
    kind, reshuffled = data[4][0], data[4][1]
    rows, slopes, index, permutation = work
    dim, share = _U(design.shape[1]), table[t, 2]
    begin, count = np.int64(table[t, 0]), np.int64(table[t, 1])
    if reshuffled and begin == 0:
        _shuffle(first, last, trajectory, t, permutation, index, keys)
    for i in range(dim):
        pull = l2 * origin[i]
        for lane in range(first, last):
            field[k, i, lane] = l2 * state[0, i, lane] + pull
    for b in range(count):
        drawn = b % SAMPLES
        if reshuffled:
            drawn = 0
            for lane in range(first, last):
                index[0, lane - first] = permutation[begin + b, lane - first]
        elif drawn == 0:
            end = min(b + SAMPLES, count)
            _draw_rows(first, last, trajectory, t, b, end, labels.shape[0], index, keys)
        for lane in range(first, last):
            row = design[_U(index[drawn, lane - first])]
            for i in range(dim):
                rows[i, _U(lane - first)] = row[i]
            slopes[0, lane - first] = 0
        for i in range(_U(0), dim - dim % _4, _4):
            for lane in range(first, last):
                slopes[0, lane - first] += (
                    rows[i, lane - first] * state[0, i, lane]
                    + rows[i + _1, lane - first] * state[0, i + _1, lane]
                    + rows[i + _2, lane - first] * state[0, i + _2, lane]
                    + rows[i + _3, lane - first] * state[0, i + _3, lane]
                )
        for i in range(dim - dim % _4, dim):
            for lane in range(first, last):
                slopes[0, lane - first] += rows[i, lane - first] * state[0, i, lane]
        for lane in range(first, last):
            label = labels[index[drawn, lane - first]]
            slopes[0, lane - first] = share * _slope(kind, slopes[0, lane - first], label)
        for i in range(dim):
            for lane in range(first, last):
                field[k, i, lane] += slopes[0, lane - first] * rows[i, lane - first]


@device
def _mean_loss(first, last, x, matrix, offset, kind, scale, constant, block, totals):
    """Write to `totals` the mean loss at x: scale |matrix x + offset|^2 + constant, or by rows."""
    for lane in range(first, last):
        totals[0, lane - first] = 0
    for begin in range(0, matrix.shape[0], ROWS):
        end = min(begin + ROWS, matrix.shape[0])
        columns = end if kind == SQUARED else matrix.shape[1]
        multiply(first, last, begin, end, columns, matrix, x, block)
        for j in range(end - begin):
            value = offset[begin + j]
            for lane in range(first, last):
                if kind == SQUARED:
                    residual = block[j, lane - first] + value
                    totals[0, lane - first] += residual * residual
                else:
                    margin = block[j, lane - first] * value
                    totals[0, lane - first] += math.log1p(math.exp(-abs(margin))) - min(margin, 0)
    for lane in range(first, last):
        totals[0, lane - first] = totals[0, lane - first] * scale + constant


@device
def dataset_loss(first, last, slot, state, data, work, totals):
    """Write the full-batch loss, with its penalty, to `totals`."""
    numbers, kind = data[3], data[4][0]
    x = state[slot]
    _mean_loss(first, last, x, data[5], data[6], kind, numbers[1], numbers[2], work[0], totals)
    if kind == LOGISTIC:
        half = np.float64(numbers[0]) / 2
        for i in range(x.shape[0]):
            for lane in range(first, last):
                totals[0, lane - first] += half * (x[i, lane] * x[i, lane])


@device
def dataset_test_loss(first, last, slot, state, origin, data, work, own, space, totals):
    """Write the mean loss of the test split, without the penalty, to `totals`."""
    numbers = data[3]
    _mean_loss(
        first,
        last,
        state[slot],
        data[7],
        data[8],
        data[4][0],
        numbers[3],
        numbers[4],
        work[0],
        totals,
    )


@device
def _weighted_margins(first, last, x, rows, margins):
    """Write to `margins` the second derivative of each row's logistic loss at x."""
    multiply(first, last, np.int64(0), rows.shape[0], rows.shape[1], rows, x, margins)
    for r in range(rows.shape[0]):
        for lane in range(first, last):
            e = math.exp(-abs(margins[r, lane]))
            margins[r, lane] = e / ((1 + e) * (1 + e))


@device
def logistic_trace(first, last, slot, state, origin, data, work, own, space, totals):
    """Write the sum of the Hessian's eigenvalues to `totals`."""
    squares, margins = own[0], space[0]
    _weighted_margins(first, last, state[slot], data[0], margins)
    for lane in range(first, last):
        totals[0, lane - first] = state.shape[1] * data[3][0]
    for r in range(squares.shape[0]):
        for lane in range(first, last):
            totals[0, lane - first] += squares[r] * margins[r, lane]


@device
def _logistic_product(context, first, last, vector, image):
    """Write the Hessian times `vector` to `image`."""
    rows, columns, l2, weights, products = context
    multiply(first, last, np.int64(0), rows.shape[0], rows.shape[1], rows, vector, products)
    for r in range(rows.shape[0]):
        for lane in range(first, last):
            products[r, lane] *= weights[r, lane]
    multiply(first, last, np.int64(0), columns.shape[0], rows.shape[0], columns, products, image)
    for i in range(columns.shape[0]):
        for lane in range(first, last):
            image[i, lane] += l2 * vector[i, lane]


@device
def logistic_largest(first, last, slot, state, origin, data, work, own, space, totals):
    """Write the largest of the Hessian's eigenvalues to `totals`."""
    weights, products = space[4:]
    _weighted_margins(first, last, state[slot], data[0], weights)
    context = (data[0], own[0], data[3][0], weights, products)
    largest_eigenvalue(_logistic_product, context, first, last, space[:4], totals)
