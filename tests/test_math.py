"""Polynomial functions against the library's."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from fastsched.kernels import math


@numba.njit
def _log_single(x, shift):
    out = np.empty_like(x)
    for k in range(x.size):
        out[k] = math.log_single(x[k], np.int32(shift))
    return out


@numba.njit
def _log_double(x, shift):
    out = np.empty_like(x)
    for k in range(x.size):
        out[k] = math.log_double(x[k], np.int64(shift))
    return out


@numba.njit
def _circle_single(words):
    out = np.empty((words.size, 2), np.float32)
    for k in range(words.size):
        out[k, 0], out[k, 1] = math.cos_sin_single(words[k])
    return out


@numba.njit
def _circle_double(words, fractions):
    out = np.empty((words.size, 2))
    for k in range(words.size):
        out[k, 0], out[k, 1] = math.cos_sin_double(words[k], fractions[k])
    return out


@numba.njit
def _cos_turns(t):
    out = np.empty_like(t)
    for k in range(t.size):
        out[k] = math.cos_turns(t[k])
    return out


@pytest.mark.parametrize(
    ("function", "dtype", "tolerance"),
    [(_log_single, np.float32, 3e-7), (_log_double, np.float64, 5e-16)],
)
def test_log(function, dtype, tolerance):
    x = np.concatenate([np.geomspace(0.5, 2.0**32, 100_001), 1 + np.linspace(-0.5, 1, 100_001)])
    x = x.astype(dtype)
    exact = np.log(x.astype(np.longdouble))
    error = np.abs(function(x, 0) - exact) / np.maximum(np.abs(exact), np.finfo(dtype).tiny)
    assert np.max(np.where(exact == 0, 0, error)) < tolerance
    shifted = np.log(x[:1000].astype(np.longdouble)) - 32 * np.log(np.longdouble(2))
    np.testing.assert_allclose(function(x, 32)[:1000], shifted.astype(float), rtol=tolerance)


@pytest.mark.parametrize("precision", ["single", "double"])
def test_unit_circle(precision):
    rng = np.random.default_rng(0)
    words = np.concatenate(
        [rng.integers(0, 2**32, 100_000), np.arange(0, 2**32, 2**29), [2**32 - 1]]
    ).astype(np.uint32)
    fractions = np.zeros(words.size)
    points = _circle_single(words) if precision == "single" else _circle_double(words, fractions)
    low = (words & 0x3FFFFFFF).astype(np.int64)
    angle = np.where(low < 2**29, low, low - 2**30) * (np.pi / 2**31)
    first, second = np.cos(angle), np.sin(angle)
    swap, flip = words >> 30 & 1, words >> 31
    expected = np.stack([np.where(swap, second, first), np.where(swap, first, second)], axis=1)
    expected *= np.where(flip, -1, 1)[:, None]
    tolerance = 2e-7 if precision == "single" else 4e-16
    np.testing.assert_allclose(points, expected, atol=tolerance, rtol=0)
    # Every angle once: the four quadrants are equally filled by equally spaced words.
    grid = np.arange(0, 2**32, 2**20, dtype=np.uint64).astype(np.uint32)
    p = _circle_single(grid)
    quadrant = np.floor_divide(np.arctan2(p[:, 1], p[:, 0]) + np.pi, np.pi / 2).astype(int) % 4
    assert np.ptp(np.bincount(quadrant)) <= 4


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-7), (np.float64, 5e-16)])
def test_cosine_of_turns(dtype, tolerance):
    rng = np.random.default_rng(0)
    edges = np.arange(-8, 9) / 8
    t = np.concatenate([rng.uniform(-1, 1, 200_000), edges, np.nextafter(edges, 2), [1e20, -1e9]])
    t = t.astype(dtype)
    found = _cos_turns(t)
    assert found.dtype == dtype
    fraction = (t - np.rint(t)).astype(np.longdouble)
    expected = np.cos(2 * np.pi * fraction + fraction * 2.4492935982947064e-16)
    assert np.max(np.abs(found - expected)) < tolerance
    assert np.isnan(_cos_turns(np.array([np.inf, -np.inf, np.nan], dtype))).all()
