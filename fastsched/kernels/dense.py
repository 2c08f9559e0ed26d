"""Small matrix products over the lanes of a tile.

Four rows of the matrix meet four rows of the lanes' vectors in each visit, so that a loaded
vector serves four multiplications and the sums stay in registers: as fast as BLAS for the few
columns of a tile. That takes unsigned indices and row views: with the wrap-around of signed
ones it is four times slower.
"""

from __future__ import annotations

import numpy as np

from fastsched.kernels.device import device, on_gpu, subroutine
from fastsched.kernels.reduce import LANES

ROWS = 64
"""Rows of the matrix that callers with many of them compute at once."""

_U = np.uint64
_1, _2, _3 = np.uint64(1), np.uint64(2), np.uint64(3)


@device
def _multiply(first, last, begin, end, columns, matrix, x, out):
    rows = end - begin
    blocked_rows, blocked_columns = rows - rows % 4, columns - columns % 4
    for j in range(rows):
        for lane in range(first, last):
            out[j, lane] = 0
    for j in range(0, blocked_rows, 4):
        m0, m1 = matrix[begin + j], matrix[begin + j + 1]
        m2, m3 = matrix[begin + j + 2], matrix[begin + j + 3]
        y0, y1, y2, y3 = out[j], out[j + 1], out[j + 2], out[j + 3]
        for i in range(0, blocked_columns, 4):
            i0 = _U(i)
            i1, i2, i3 = i0 + _1, i0 + _2, i0 + _3
            a0, a1, a2, a3 = m0[i0], m0[i1], m0[i2], m0[i3]
            b0, b1, b2, b3 = m1[i0], m1[i1], m1[i2], m1[i3]
            c0, c1, c2, c3 = m2[i0], m2[i1], m2[i2], m2[i3]
            d0, d1, d2, d3 = m3[i0], m3[i1], m3[i2], m3[i3]
            for lane in range(first, last):
                k = _U(lane)
                x0, x1, x2, x3 = x[i0, k], x[i1, k], x[i2, k], x[i3, k]
                y0[k] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                y1[k] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
                y2[k] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
                y3[k] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3
        for i in range(blocked_columns, columns):
            a0, a1, a2, a3 = m0[i], m1[i], m2[i], m3[i]
            for lane in range(first, last):
                k = _U(lane)
                x0 = x[_U(i), k]
                y0[k] += a0 * x0
                y1[k] += a1 * x0
                y2[k] += a2 * x0
                y3[k] += a3 * x0
    for j in range(blocked_rows, rows):
        m0, y0 = matrix[begin + j], out[j]
        for i in range(0, blocked_columns, 4):
            i0 = _U(i)
            i1, i2, i3 = i0 + _1, i0 + _2, i0 + _3
            a0, a1, a2, a3 = m0[i0], m0[i1], m0[i2], m0[i3]
            for lane in range(first, last):
                k = _U(lane)
                y0[k] += a0 * x[i0, k] + a1 * x[i1, k] + a2 * x[i2, k] + a3 * x[i3, k]
        for i in range(blocked_columns, columns):
            a0 = m0[_U(i)]
            for lane in range(first, last):
                y0[_U(lane)] += a0 * x[_U(i), _U(lane)]


@device
def _multiply_alone(lane, begin, end, columns, matrix, x, out):
    """As `_multiply`, for a single lane: the sums of four rows are four numbers."""
    rows = end - begin
    zero = type(matrix[0, 0])(0)
    blocked = rows - rows % 4
    for j in range(0, blocked, 4):
        m0, m1 = matrix[begin + j], matrix[begin + j + 1]
        m2, m3 = matrix[begin + j + 2], matrix[begin + j + 3]
        y0 = y1 = y2 = y3 = zero
        for i in range(_U(0), _U(columns)):
            x0 = x[i, lane]
            y0 += m0[i] * x0
            y1 += m1[i] * x0
            y2 += m2[i] * x0
            y3 += m3[i] * x0
        out[j, lane], out[j + 1, lane], out[j + 2, lane], out[j + 3, lane] = y0, y1, y2, y3
    for j in range(blocked, rows):
        m0, y0 = matrix[begin + j], zero
        for i in range(_U(0), _U(columns)):
            y0 += m0[i] * x[i, lane]
        out[j, lane] = y0


@subroutine
def multiply(first, last, begin, end, columns, matrix, x, out):
    """Write rows begin ... end - 1 of the product of a matrix with each lane's vector.

    Parameters
    ----------
    first, last : int
        The lanes.
    begin, end : int
        The rows of the matrix; row `begin` of the product is row 0 of `out`.
    columns : int
        The columns from there on count as 0.
    matrix : array of shape (rows, at least `columns`)
    x : array of shape (at least `columns`, lanes)
    out : array of shape (at least end - begin, lanes)
    """
    # A thread of a GPU has one lane. A whole tile's number of them is a constant, which keeps the
    # sums in registers.
    if on_gpu():
        _multiply_alone(first, begin, end, columns, matrix, x, out)
    elif first == 0 and last == LANES:
        _multiply(0, LANES, begin, end, columns, matrix, x, out)
    else:
        _multiply(first, last, begin, end, columns, matrix, x, out)
