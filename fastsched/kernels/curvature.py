"""The largest eigenvalue of a Hessian, for each lane, by power iteration."""

from __future__ import annotations

import numpy as np

from fastsched.kernels.device import subroutine

# The Rayleigh quotient of n iterations misses an eigenvalue by about (second / first)^(2 n).
_ITERATIONS = 40

# Parts of the golden ratio: a start that no symmetry makes orthogonal to an eigenvector.
_GOLDEN = 0.6180339887498949


@subroutine
def largest_eigenvalue(product, context, first, last, vector, image, squares, totals):
    """Write the algebraically largest eigenvalue of a symmetric matrix to `totals`.

    Power iteration finds the eigenvalue of largest magnitude. Where that is negative, a second
    one on the matrix less that number finds the largest.

    Parameters
    ----------
    product : device function
        `(context, first, last, vector, image)` writes the matrix times `vector` to `image`.
    context : tuple
        What the product needs.
    first, last : int
        The lanes.
    vector, image : arrays of shape (d, lanes)
        Work space.
    squares : float64 array of shape (2, lanes)
        Work space.
    totals : array of shape (1, lanes)
    """
    dim = vector.shape[0]
    for i in range(dim):
        part = (i + 1) * _GOLDEN
        for lane in range(first, last):
            vector[i, lane] = part - np.floor(part) + 0.5
    for lane in range(first, last):
        totals[0, lane - first] = 0
        squares[1, lane - first] = 0
    for _ in range(2):
        for lane in range(first, last):
            squares[1, lane - first] = max(-totals[0, lane - first], 0.0)
        for _ in range(_ITERATIONS):
            for lane in range(first, last):
                squares[0, lane - first] = 0
            for i in range(dim):
                for lane in range(first, last):
                    squares[0, lane - first] += vector[i, lane] * vector[i, lane]
            for lane in range(first, last):
                squares[0, lane - first] = 1 / np.sqrt(squares[0, lane - first])
            for i in range(dim):
                for lane in range(first, last):
                    vector[i, lane] *= squares[0, lane - first]
            product(context, first, last, vector, image)
            for lane in range(first, last):
                totals[0, lane - first] = 0
            for i in range(dim):
                for lane in range(first, last):
                    totals[0, lane - first] += vector[i, lane] * image[i, lane]
                    vector[i, lane] = image[i, lane] + squares[1, lane - first] * vector[i, lane]
