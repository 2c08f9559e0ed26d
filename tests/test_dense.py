"""Products of a matrix with the vectors of a tile's lanes."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from fastsched.kernels.dense import _multiply_alone, multiply


@numba.njit
def _product(first, last, begin, end, columns, matrix, x, out):
    multiply(first, last, begin, end, columns, matrix, x, out)


@numba.njit
def _product_alone(lane, begin, end, columns, matrix, x, out):
    _multiply_alone(lane, begin, end, columns, matrix, x, out)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 3, 4, 7, 64])
@pytest.mark.parametrize("columns", [1, 2, 4, 9, 130])
def test_against_numpy(dtype, rows, columns):
    rng = np.random.default_rng(rows * columns)
    matrix = rng.normal(size=(rows + 5, columns + 3)).astype(dtype)
    x = rng.normal(size=(columns + 1, 16)).astype(dtype)
    for lanes in (16, 1):
        out = np.full((rows + 2, 16), np.nan, dtype)
        _product(0, lanes, 2, 2 + rows, columns, matrix, x, out)
        expected = matrix[2 : 2 + rows, :columns] @ x[:columns, :lanes]
        tolerance = 1e-4 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(out[:rows, :lanes], expected, rtol=tolerance, atol=tolerance)
        assert np.all(np.isnan(out[rows:]))
    out = np.full((rows + 2, 16), np.nan, dtype)
    _product_alone(3, 2, 2 + rows, columns, matrix, x, out)
    expected = matrix[2 : 2 + rows, :columns] @ x[:columns, 3]
    np.testing.assert_allclose(out[:rows, 3], expected, rtol=tolerance, atol=tolerance)
    assert np.count_nonzero(~np.isnan(out)) == rows
