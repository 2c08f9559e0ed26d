"""Random numbers: known answers, agreement with the reference, and their distribution."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from scipy import stats

from fastsched.kernels import reference
from fastsched.kernels.philox import (
    STREAM_NOISE,
    STREAM_START,
    normals_double,
    normals_single,
    philox,
    round_keys,
)


@numba.njit
def _philox(a, b, c, d, keys):
    return philox(np.uint32(a), np.uint32(b), np.uint32(c), np.uint32(d), keys)


@numba.njit(nogil=True)
def _fill_single(out, first_coordinate, first_group, first_trajectory, stream, keys):
    """Write normals to out[coordinate, group, trajectory, step]."""
    for i in range(out.shape[0]):
        for g in range(out.shape[1]):
            for n in range(out.shape[2]):
                z = normals_single(
                    np.uint32(first_coordinate + i),
                    np.uint32(first_group + g),
                    np.uint32(first_trajectory + n),
                    np.uint32(stream),
                    keys,
                )
                out[i, g, n, 0], out[i, g, n, 1], out[i, g, n, 2], out[i, g, n, 3] = z


@numba.njit(nogil=True)
def _fill_double(out, first_coordinate, first_group, first_trajectory, stream, keys):
    """As `_fill_single`, in double precision."""
    for i in range(out.shape[0]):
        for g in range(out.shape[1]):
            for n in range(out.shape[2]):
                z = normals_double(
                    np.uint32(first_coordinate + i),
                    np.uint32(first_group + g),
                    np.uint32(first_trajectory + n),
                    np.uint32(stream),
                    keys,
                )
                out[i, g, n, 0], out[i, g, n, 1], out[i, g, n, 2], out[i, g, n, 3] = z


FILL = {"single": (_fill_single, np.float32), "double": (_fill_double, np.float64)}


def draw(shape, seed=0, origin=(0, 0, 0), stream=STREAM_NOISE, precision="single"):
    fill, dtype = FILL[precision]
    out = np.empty((*shape, 4), dtype)
    fill(out, *origin, stream, round_keys(seed))
    return out


# Random123 1.14, kat_vectors, "philox4x32 10".
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_known_answers(counter, key, words):
    seed = key[0] | key[1] << 32
    assert tuple(int(w) for w in _philox(*counter, round_keys(seed))) == words
    reference_words = reference.philox(tuple(np.uint64(c) for c in counter), seed)
    assert tuple(int(w) for w in reference_words) == words


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**63, 2**64 - 1])
def test_normals_agree_with_reference(precision, seed):
    origin, shape = (3, 2, 2**32 - 40), (7, 5, 33)
    fast = draw(shape, seed, origin, precision=precision)
    trajectories = np.arange(origin[2], origin[2] + shape[2], dtype=np.uint64)
    tolerance = 2e-6 if precision == "single" else 1e-14
    for g in range(shape[1]):
        for k in range(4):
            draws = reference.Draws(seed, 4 * (origin[1] + g) + k, trajectories, precision)
            slow = draws.normals(10)
            np.testing.assert_allclose(
                fast[:, g, :, k].T, slow[:, origin[0] :], rtol=tolerance, atol=tolerance
            )


def test_double_refines_single():
    single, double = (draw((50, 50, 100), seed=5, precision=p) for p in ("single", "double"))
    assert np.max(np.abs(single - double)) < 2e-3  # at |z| near 0 the 32-bit radius is coarse
    assert np.quantile(np.abs(single - double), 0.999) < 2e-6


def test_tails_and_extremes():
    """The radius has 32 bits in single precision (6.76) and 64 in double (9.4)."""

    @numba.njit
    def pair_single(u):
        from_words = _pair_single(np.uint32(u), np.uint32(0))
        return from_words[0]

    from fastsched.kernels import philox as module

    _pair_single = module._normal_pair_single
    _pair_double = module._normal_pair_double
    assert float(pair_single(0)) == pytest.approx(np.sqrt(66 * np.log(2)), rel=1e-6)
    assert float(pair_single(2**32 - 1)) == 0.0
    zero = np.uint32(0)
    largest = numba.njit(lambda: _pair_double(zero, zero, zero, zero)[0])()
    assert largest == pytest.approx(np.sqrt(2 * 65 * np.log(2)), rel=1e-12)


def _moment_z_scores(z):
    """Return the z-score of each raw moment from 1 to 6."""
    n = z.size
    powers = [np.mean(z.astype(np.float64) ** k) for k in range(1, 7)]
    exact = [0, 1, 0, 3, 0, 15, 0, 105, 0, 945, 0, 10395]
    return [
        (powers[k - 1] - exact[k - 1]) / np.sqrt((exact[2 * k - 1] - exact[k - 1] ** 2) / n)
        for k in range(1, 7)
    ]


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("stream", [STREAM_NOISE, STREAM_START])
def test_distribution(precision, stream):
    z = draw((100, 50, 400), seed=11, stream=stream, precision=precision).ravel()
    assert np.max(np.abs(_moment_z_scores(z))) < 4
    assert stats.kstest(z[:1_000_000], "norm").pvalue > 1e-3
    for step in range(4):
        assert stats.kstest(z[step::4][:500_000], "norm").pvalue > 1e-3


def _neighbour_correlations(z):
    """Return z-scores of products of neighbours: of values and of squares, along each axis."""
    scores = {}
    for axis, name in enumerate(("coordinate", "group", "trajectory", "step")):
        a = np.moveaxis(z, axis, 0)[:-1].astype(np.float64)
        b = np.moveaxis(z, axis, 0)[1:].astype(np.float64)
        scores[name] = np.sum(a * b) / np.sqrt(a.size)
        scores[name + "^2"] = np.sum((a * a - 1) * (b * b - 1)) / np.sqrt(4 * a.size)
    return scores


@pytest.mark.parametrize("precision", ["single", "double"])
def test_neighbours_are_uncorrelated(precision):
    z = draw((60, 60, 200), seed=3, precision=precision)
    scores = _neighbour_correlations(z)
    assert max(map(abs, scores.values())) < 4, scores
    for other in (
        draw((60, 60, 200), seed=4, precision=precision),
        draw((60, 60, 200), seed=3 + 2**32, precision=precision),
        draw((60, 60, 200), seed=3, stream=STREAM_START, precision=precision),
    ):
        assert abs(np.sum(z.astype(float) * other) / np.sqrt(z.size)) < 4


def test_correlation_test_can_fail():
    z = draw((60, 60, 200), seed=3)
    z[1:] = np.sqrt(0.9999) * z[1:] + 0.01 * z[:-1]
    assert abs(_neighbour_correlations(z)["coordinate"]) > 4


@numba.njit(nogil=True, parallel=False)
def _accumulate(
    first_trajectory, trajectories, coordinates, groups, keys, other_keys, sums, histogram
):
    """Add moments, neighbour products and tail counts of many normals to `sums`."""
    previous_group = np.zeros((coordinates, 4))
    previous_trajectory = np.zeros((groups, coordinates, 4))
    for n in range(first_trajectory, first_trajectory + trajectories):
        previous_group[:] = 0.0
        for g in range(groups):
            last = 0.0
            for i in range(coordinates):
                z0, z1, z2, z3 = normals_single(
                    np.uint32(i), np.uint32(g), np.uint32(n), np.uint32(0), keys
                )
                s = normals_single(np.uint32(i), np.uint32(g), np.uint32(n), np.uint32(1), keys)
                w = normals_single(
                    np.uint32(i), np.uint32(g), np.uint32(n), np.uint32(0), other_keys
                )
                sums[9] += z0 * s[0] + z1 * s[1] + z2 * s[2] + z3 * s[3]
                sums[10] += z0 * w[0] + z1 * w[1] + z2 * w[2] + z3 * w[3]
                for k in range(4):
                    z = np.float64(z0 if k == 0 else z1 if k == 1 else z2 if k == 2 else z3)
                    z2_ = z * z
                    sums[0] += z
                    sums[1] += z2_
                    sums[2] += z2_ * z
                    sums[3] += z2_ * z2_
                    sums[4] += z2_ * z2_ * z
                    sums[5] += z2_ * z2_ * z2_
                    sums[6] += z * last
                    sums[7] += z * previous_group[i, k]
                    sums[8] += 1.0 if abs(z) > 5.0 else 0.0
                    histogram[min(max(int((z + 7.0) * 100.0), 0), 1399)] += 1
                    last = z
                    previous_group[i, k] = z
                    sums[11] += z * previous_trajectory[g, i, k]
                    previous_trajectory[g, i, k] = z


@pytest.mark.slow
def test_a_billion_normals():
    """Moments to order 6, Kolmogorov-Smirnov, tails beyond 5 sigma, neighbours: 1e9 numbers."""
    from concurrent.futures import ThreadPoolExecutor

    coordinates, groups, trajectories, chunks = 100, 25, 1000, 100
    keys = round_keys(20261123)
    sums = np.zeros((chunks, 12))
    histograms = np.zeros((chunks, 1400), np.int64)
    with ThreadPoolExecutor(2) as pool:
        list(
            pool.map(
                lambda c: _accumulate(
                    c * trajectories,
                    trajectories,
                    coordinates,
                    groups,
                    keys,
                    round_keys(20261124),
                    sums[c],
                    histograms[c],
                ),
                range(chunks),
            )
        )
    n = chunks * trajectories * coordinates * groups * 4
    assert n >= 1e9
    total = sums.sum(axis=0)
    exact = [0, 1, 0, 3, 0, 15, 0, 105, 0, 945, 0, 10395]
    for k in range(1, 7):
        error = np.sqrt((exact[2 * k - 1] - exact[k - 1] ** 2) / n)
        assert abs(total[k - 1] / n - exact[k - 1]) < 4 * error, f"moment {k}"
    assert abs(total[6]) < 4 * np.sqrt(n), "neighbouring coordinates and steps"
    assert abs(total[7]) < 4 * np.sqrt(n), "neighbouring groups"
    assert abs(total[9]) < 4 * np.sqrt(n), "streams"
    assert abs(total[10]) < 4 * np.sqrt(n), "neighbouring seeds"
    assert abs(total[11]) < 4 * np.sqrt(n), "neighbouring trajectories, which are lanes"
    tail = n * 2 * stats.norm.sf(5)
    assert abs(total[8] - tail) < 4 * np.sqrt(tail), "beyond 5 sigma"
    # The binned distance is below the true one; the bound is the 1e-3 point of Kolmogorov's law.
    edges = np.arange(1, 1401) / 100 - 7
    distance = np.max(np.abs(np.cumsum(histograms.sum(axis=0)) / n - stats.norm.cdf(edges)))
    assert distance * np.sqrt(n) < stats.kstwobign.isf(1e-3)
