"""Moments and histograms of blocks against NumPy, and their merging."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fastsched.kernels import reduce


def naive_moments(values):
    """Return count, mean and central power sums of what has not diverged."""
    x = values[np.abs(values) <= reduce.DIVERGED_ABOVE]
    if x.size == 0:
        return np.zeros(5)
    d = x - x.mean()
    return np.array([x.size, x.mean(), *(np.sum(d**k) for k in (2, 3, 4))])


def padded(values):
    columns = -(-values.shape[1] // reduce.LANES) * reduce.LANES
    return np.pad(values, ((0, 0), (0, columns - values.shape[1])), constant_values=np.nan)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(1, 200), st.integers(0, 2**32), st.sampled_from(["gamma", "far", "diverged"]))
def test_moments(n, seed, kind):
    rng = np.random.default_rng(seed)
    values = rng.gamma(0.5, size=(3, n)) + (1e4 if kind == "far" else 0)
    if kind == "diverged":
        values[:, rng.random(n) < 0.3] = np.inf
        values[1, rng.random(n) < 0.3] = np.nan
        values[2, rng.random(n) < 0.3] = 1e35
    moments = reduce.block_moments(padded(values), n)
    with np.errstate(invalid="ignore"):
        expected = np.stack([naive_moments(row) for row in values], axis=1)
    np.testing.assert_allclose(moments, expected, rtol=1e-7, atol=1e-7)


def test_moments_of_equal_values_are_exact():
    value = 0.1
    moments = reduce.block_moments(np.full((1, 48), value), 45)
    np.testing.assert_array_equal(moments, np.array([[45, value, 0, 0, 0]]).T)


@pytest.mark.parametrize("n", [16, 100, 1000, 1024])
def test_tree_gives_the_same_bits_for_any_block(n):
    values = padded(np.random.default_rng(n).gamma(0.5, size=(5, n)))
    whole = reduce.block_moments(values, n)
    for tiles in (1, 2, 8):
        size = tiles * reduce.LANES
        nodes = [
            (0, reduce.block_moments(values[:, k : k + size].copy(), min(size, n - k)))
            for k in range(0, n, size)
        ]
        stack = []
        for level, node in nodes:
            while stack and stack[-1][0] == level:
                node = reduce.merge_moments(stack.pop()[1], node)
                level += 1
            stack.append((level, node))
        total = stack.pop()[1]
        while stack:
            total = reduce.merge_moments(stack.pop()[1], total)
        np.testing.assert_array_equal(total, whole)


def histogram(values):
    return reduce.block_histogram(padded(values), values.shape[1])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.sampled_from(["loss", "signed", "wide"]))
def test_quantiles(seed, kind):
    rng = np.random.default_rng(seed)
    n = 4000
    values = rng.gamma(2.0, size=(3, n))
    if kind == "signed":
        values = rng.normal(size=(3, n))
    if kind == "wide":
        values = np.exp(20 * rng.normal(size=(3, n)))
    orders = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    found, _ = reduce.histogram_quantiles(*histogram(values), n, orders)
    ordered = np.sort(values, axis=1)
    rank = (orders * n).astype(int)
    low, high = ordered[:, rank - 1].T, ordered[:, rank + 1].T
    assert np.all(found >= low - 0.002 * np.abs(low))
    assert np.all(found <= high + 0.002 * np.abs(high))


def test_histograms_merge_exactly():
    values = np.random.default_rng(0).gamma(0.5, size=(4, 3000))
    whole = histogram(values)
    parts = [histogram(values[:, k : k + 1000])[:2] for k in (0, 1000, 2000)]
    for order in ((0, 1, 2), (2, 0, 1)):
        a, b, c = (parts[k] for k in order)
        merged = reduce.merge_histograms(*reduce.merge_histograms(*a, *b), *c)
        np.testing.assert_array_equal(merged[0], whole[0])
        np.testing.assert_array_equal(merged[1], whole[1])
    assert whole[1].sum() == values.size


@pytest.mark.parametrize("count", [1, 16, 100, 250])
def test_histograms_of_few_values_are_those_of_bins(count):
    rng = np.random.default_rng(count)
    values = rng.choice([0.0, -1.0, 2.0, 1e31, np.nan, np.inf], (5, 256))
    values[2:] *= rng.lognormal(0, 3, (3, 256))
    values[4] = np.nan
    few = reduce._sorted_histogram(values, count)
    for found, expected in zip(few, reduce._dense_histogram(values, count), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_diverged_values_are_infinite_in_quantiles():
    values = np.arange(1.0, 101.0)[None, :].copy()
    values[0, 90:] = np.nan
    orders = np.array([0.5, 0.89, 0.95])
    found = reduce.histogram_quantiles(*histogram(values), 100, orders)[0][:, 0]
    np.testing.assert_allclose(found[:2], [50, 89], rtol=0.02)
    assert found[2] == np.inf
    everything = np.full((2, 32), np.inf)
    nothing, _ = reduce.histogram_quantiles(*histogram(everything), 32, orders)
    assert np.all(nothing == np.inf)


def test_quantiles_of_a_large_sample():
    n = 1_000_000
    values = np.random.default_rng(1).chisquare(1, size=(1, n))
    orders = np.array([0.001, 0.05, 0.5, 0.95, 0.999])
    found = reduce.histogram_quantiles(*histogram(values), n, orders)[0][:, 0]
    exact = stats.chi2.ppf(orders, 1)
    error = np.sqrt(orders * (1 - orders) / n) / stats.chi2.pdf(exact, 1)
    assert np.max(np.abs((found - exact) / error)) < 4
