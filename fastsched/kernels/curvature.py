"""The largest eigenvalue of a Hessian, for each lane, by Lanczos' method."""

from __future__ import annotations

import math

import numpy as np

from fastsched.kernels.device import subroutine
from fastsched.kernels.probe import Work

# Lanczos steps; below 20 dimensions there are 2 d, where d are exact but for rounding.
_STEPS = 40

# Halvings of an interval some hundred times as wide as the spectrum, down to double precision.
_HALVINGS = 64

# Parts of the golden ratio: a start that no symmetry makes orthogonal to an eigenvector.
_GOLDEN = 0.6180339887498949


def eigenvalue_work(dim: int) -> tuple[Work, ...]:
    """Return the work space of `largest_eigenvalue` for d coordinates."""
    steps = min(2 * dim, _STEPS)
    return Work(dim), Work(dim), Work(dim), Work(2 * steps + 1, np.float64)


@subroutine
def largest_eigenvalue(product, context, first, last, space, totals):
    """Write the algebraically largest eigenvalue of a symmetric matrix to `totals`.

    Lanczos' recurrence without orthogonalisation, whose loss only repeats eigenvalues; then
    bisection of its tridiagonal matrix by the signs of Sturm's sequence.

    Parameters
    ----------
    product : device function
        `(context, first, last, vector, image)` writes the matrix times `vector` to `image`.
    context : tuple
        What the product needs.
    first, last : int
        The lanes.
    space : tuple of arrays
        Of `eigenvalue_work`.
    totals : array of shape (1, lanes)
    """
    vector, image, rest, recurrence = space
    dim, steps = vector.shape[0], recurrence.shape[0] // 2
    diagonal, squares, factor = recurrence[:steps], recurrence[steps:-1], recurrence[-1]
    for i in range(dim):
        part = (i + 1) * _GOLDEN
        for lane in range(first, last):
            vector[i, lane] = 0
            rest[i, lane] = part - math.floor(part) + 0.5
    for k in range(steps):
        for lane in range(first, last):
            diagonal[k, lane - first] = 0
            squares[k, lane - first] = 0
        for i in range(dim):
            for lane in range(first, last):
                squares[k, lane - first] += rest[i, lane] * rest[i, lane]
        for lane in range(first, last):
            square = squares[k, lane - first]
            factor[lane - first] = 0 if square == 0 else 1 / math.sqrt(square)
        for i in range(dim):
            for lane in range(first, last):
                before = vector[i, lane]
                vector[i, lane] = factor[lane - first] * rest[i, lane]
                rest[i, lane] = -math.sqrt(squares[k, lane - first]) * before
        product(context, first, last, vector, image)
        for i in range(dim):
            for lane in range(first, last):
                rest[i, lane] += image[i, lane]
                diagonal[k, lane - first] += vector[i, lane] * rest[i, lane]
        for i in range(dim):
            for lane in range(first, last):
                rest[i, lane] -= diagonal[k, lane - first] * vector[i, lane]
        # Where all of the space is used up, a number that is no more than the largest eigenvalue.
        for lane in range(first, last):
            if squares[k, lane - first] == 0:
                diagonal[k, lane - first] = diagonal[0, lane - first]
    for lane in range(first, last):
        squares[0, lane - first] = 0
        high = 0.0
        for k in range(steps):
            high += abs(diagonal[k, lane - first]) + math.sqrt(squares[k, lane - first])
        low = -high
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            above = True
            pivot = -np.inf
            for k in range(steps):
                pivot = diagonal[k, lane - first] - middle - squares[k, lane - first] / pivot
                above &= pivot < 0
            low, high = (low, middle) if above else (middle, high)
        totals[0, lane - first] = (low + high) / 2
