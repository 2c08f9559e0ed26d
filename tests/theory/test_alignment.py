"""Expected inner products and cosines against closed forms and Monte Carlo."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln, hyp2f1

import fastsched as fs
from fastsched.theory.alignment import (
    expected_cosine,
    expected_inner_product,
    one_pass_alignment,
    successive_gradients,
)
from fastsched.theory.rule import linear_rule
from fastsched.theory.stationary import stationary_moments


def correlated(dim, correlation, first=1.0, second=1.0):
    cross = correlation * np.sqrt(first * second)
    return np.tile([[first, cross], [cross, second]], (dim, 1, 1))


def isotropic_cosine(dim, correlation):
    """Return the mean cosine of two centred isotropic Gaussian vectors."""
    factor = 2 / dim * np.exp(2 * (gammaln((dim + 1) / 2) - gammaln(dim / 2)))
    return correlation * factor * hyp2f1(0.5, 0.5, dim / 2 + 1, correlation**2)


@pytest.mark.parametrize("correlation", [0.0, 0.3, -0.9, 0.999, 1 - 1e-9, 1.0, -1.0])
@pytest.mark.parametrize("dim", [1, 2, 5, 100])
def test_isotropic_vectors(dim, correlation):
    cosine = expected_cosine(np.zeros((dim, 2)), correlated(dim, correlation, 0.01, 400.0))
    assert cosine == pytest.approx(isotropic_cosine(dim, correlation), abs=1e-10)


def test_equal_and_opposite_vectors():
    h = np.arange(1.0, 21) ** -2
    mean = np.stack([h, h], axis=1)
    covariance = h[:, None, None] * np.ones((2, 2))
    assert expected_cosine(mean, covariance) == pytest.approx(1, abs=1e-10)
    flip = np.array([1.0, -2.0])
    assert expected_cosine(mean * flip, covariance * np.outer(flip, flip)) == pytest.approx(
        -1, abs=1e-10
    )


@pytest.mark.parametrize("variance", [0.0, 1e-14])
def test_deterministic_vectors(variance):
    mean = np.array([[1.0, 2.0], [3.0, -1.0], [0.0, 0.5]])
    expected = -1 / np.sqrt(10 * 5.25)
    assert expected_cosine(mean, correlated(3, 0.0, variance, variance)) == pytest.approx(
        expected, abs=1e-10
    )


def test_one_deterministic_vector():
    """The cosine of a fixed direction with N(m, I) in two dimensions, in polar coordinates."""
    mean = np.array([[5.0, 1.2], [0.0, 0.0]])
    covariance = correlated(2, 0.0, 0.0, 1.0)
    angle = np.arange(4000) * 2 * np.pi / 4000
    shift = 1.2 * np.cos(angle)
    mills = stats.norm.cdf(shift) / stats.norm.pdf(shift)
    density = np.exp(-(1.2**2) / 2) / (2 * np.pi) * (1 + shift * mills)
    expected = np.mean(2 * np.pi * density * np.cos(angle))
    assert expected_cosine(mean, covariance) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    ("mean", "covariance"),
    [
        ([0.3, -0.5], [[1.0, 0.4], [0.4, 0.7]]),
        ([3.0, 1.0], [[1.0, -0.9], [-0.9, 1.0]]),
        ([6.0, 0.01], [[1.0, 0.9], [0.9, 1.0]]),
    ],
)
def test_one_dimension_is_the_mean_product_of_signs(mean, covariance):
    below = stats.norm.cdf(-np.array(mean) / np.sqrt(np.diagonal(covariance))).sum()
    both = stats.multivariate_normal.cdf([0, 0], mean, covariance, abseps=1e-13, releps=1e-13)
    cosine = expected_cosine([mean], [covariance])
    assert cosine == pytest.approx(1 - 2 * (below - 2 * both), abs=1e-10)


@pytest.mark.parametrize("spread", [0.0, 1.2, 3.0])
@pytest.mark.parametrize("dim", [2, 3, 10, 40])
def test_general_vectors_by_monte_carlo(dim, spread):
    rng = np.random.default_rng([dim, int(10 * spread)])
    scale = np.arange(1, dim + 1) ** -spread
    factors = rng.normal(size=(dim, 2, 2)) * np.sqrt(scale)[:, None, None]
    mean = rng.normal(size=(dim, 2)) * np.sqrt(scale)[:, None] * 0.7
    covariance = factors @ factors.transpose(0, 2, 1)
    samples = 200_000
    a, b = np.zeros(samples), np.zeros(samples)
    inner = np.zeros(samples)
    for m, factor in zip(mean, factors, strict=True):
        x, y = m[:, None] + factor @ rng.normal(size=(2, samples))
        a, b, inner = a + x * x, b + y * y, inner + x * y
    for value, drawn in [
        (expected_cosine(mean, covariance), inner / np.sqrt(a * b)),
        (expected_inner_product(mean, covariance), inner),
    ]:
        error = drawn.std() / np.sqrt(samples)
        assert abs(value - drawn.mean()) < 4 * error


def test_many_coordinates_need_no_more_than_their_mean_square():
    dim = 1000
    cosine = expected_cosine(np.zeros((dim, 2)), correlated(dim, 0.5))
    assert cosine == pytest.approx(0.5 * (1 - 0.75 / (2 * dim)), abs=1e-5)


def test_ratio_of_means_is_not_the_mean_cosine():
    covariance = correlated(3, 0.5)
    assert expected_inner_product(np.zeros((3, 2)), covariance) / 3 == pytest.approx(0.5)
    assert expected_cosine(np.zeros((3, 2)), covariance) < 0.46


OPTIMIZERS = [
    fs.SGD(0.3),
    fs.SGD(0.3, momentum=0.9),
    fs.SGD(0.3, momentum=0.9, nesterov=True),
    fs.SGD(fs.Linear(0.3, 4), momentum=0.7, nesterov=True, velocity="classical"),
    fs.SGD(fs.Linear(0.3, 4), momentum=0.7, weight_decay=0.1),
    fs.SGD(fs.Linear(0.3, 4), momentum=0.7, weight_decay=0.1, decay="lr"),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_successive_gradients_by_differences_of_the_plain_rule(optimizer):
    rng = np.random.default_rng(6)
    dim, n, t, batches = 3, 1 + optimizer.slots, 2, (4.0, 9.0)
    h, c, minimum = rng.uniform(0.2, 2, dim), rng.uniform(0, 2, dim), rng.normal(size=dim)
    mean = rng.normal(size=(dim, n))
    factor = rng.normal(size=(dim, n, n))
    covariance = factor @ factor.transpose(0, 2, 1)
    values = optimizer.hyperparameters(4)

    def gradients(inputs):
        """Return (g_t, g_{t+1}) of every coordinate from its state and two unit normals."""
        noise = np.sqrt(c) * inputs[:, n:].T
        g = h * inputs[:, 0] + noise[0] / np.sqrt(batches[0])
        state = tuple(inputs[:, 1:n].T)
        theta, *_ = optimizer.reference_step(inputs[:, 0] + minimum, state, g, values, t)
        return np.stack([g, h * (theta - minimum) + noise[1] / np.sqrt(batches[1])], axis=1)

    centre = np.concatenate([mean, np.zeros((dim, 2))], axis=1)
    slopes = np.stack([gradients(centre + e) - gradients(centre) for e in np.eye(n + 2)], axis=2)
    full = np.zeros((dim, n + 2, n + 2))
    full[:, :n, :n], full[:, n:, n:] = covariance, np.eye(2)
    rule = linear_rule(optimizer, 4, np.full(4, batches[0])).per_step()
    m, v = successive_gradients(
        mean, covariance, rule, h, c, stretch=t, minimum=minimum, batch_sizes=batches
    )
    np.testing.assert_allclose(m, gradients(centre), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(v, slopes @ full @ slopes.transpose(0, 2, 1), atol=1e-12)


def test_sgd_inner_product_on_the_noisy_quadratic():
    rng = np.random.default_rng(7)
    h, c, m, s = rng.uniform(0.1, 2, (4, 6))
    gradients = successive_gradients(
        m[:, None], s[:, None, None], linear_rule(fs.SGD(0.4), 1, 5.0), h, c, batch_sizes=(5.0, 1.0)
    )
    expected = np.sum(h**2 * (1 - 0.4 * h) * (s + m**2) - 0.4 * h * c / 5)
    assert expected_inner_product(*gradients) == pytest.approx(expected, rel=1e-13)


def test_stationary_sgd_gradients_are_anticorrelated_by_half_the_rate():
    h = np.array([0.01, 0.5, 3.0])
    optimizer = fs.SGD(0.5)
    mean, covariance = stationary_moments(optimizer, h, h)
    _, v = successive_gradients(mean, covariance, linear_rule(optimizer, 1), h, h)
    np.testing.assert_allclose(v[:, 0, 0], v[:, 1, 1], rtol=1e-13)
    np.testing.assert_allclose(v[:, 0, 1] / v[:, 0, 0], -0.5 * h / 2, rtol=1e-12)


def test_one_pass_golden_values_and_simulation():
    spectrum, lr, batch = np.arange(1, 21) ** -1.2, 0.2, 2
    exact = one_pass_alignment(spectrum, np.ones(20), lr, 0.25, batch_size=batch)
    assert exact == pytest.approx((0.61137, 6.50305), abs=5e-6)
    rng, samples = np.random.default_rng(8), 50_000
    features = rng.normal(size=(samples, batch, 20)) * np.sqrt(spectrum)
    residual = features.sum(axis=2) + 0.5 * rng.normal(size=(samples, batch))
    g = np.mean(features * residual[:, :, None], axis=1)
    inner = np.sum(g * spectrum * (1 - lr * g), axis=1)
    for value, drawn in zip(exact, (inner, np.sum(g * g, axis=1)), strict=True):
        assert abs(value - drawn.mean()) < 4 * drawn.std() / np.sqrt(samples)


ZERO, UNIT = np.zeros((2, 2)), correlated(2, 0.0)
RULE = linear_rule(fs.SGD(0.1), 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: expected_cosine(np.zeros((2, 3)), UNIT), r"mean .* of shape \(2, 2\), got"),
        (lambda: expected_cosine(ZERO, np.zeros((3, 2, 2))), r"covariance .* \(2, 2, 2\), got"),
        (lambda: expected_cosine(ZERO * np.nan, UNIT), "mean .* all finite"),
        (lambda: expected_cosine(ZERO, -UNIT), "covariance .* semidefinite"),
        (lambda: expected_cosine(ZERO, correlated(2, 1.1)), "covariance .* semidefinite"),
        (lambda: expected_inner_product(ZERO, UNIT + np.eye(2, k=1)), "covariance .* symm"),
        (lambda: expected_cosine(ZERO, correlated(2, 0.0, 0.0)), "mean .* surely zero"),
        (
            lambda: successive_gradients([[1.0, 0.0]], [[[1.0]]], RULE, [1.0], 1.0),
            r"mean .* of shape \(1, 1\), got shape \(1, 2\)",
        ),
        (
            lambda: successive_gradients([[1.0]], [[[1.0]]], RULE, [1.0], 1.0, stretch=1),
            "stretch = 1: .* at most 0",
        ),
        (
            lambda: successive_gradients([[1.0]], [[[1.0]]], RULE, [1.0], 1.0, batch_sizes=2.0),
            "batch_sizes = 2.0: .* two batch sizes",
        ),
        (lambda: one_pass_alignment([1.0], [1.0, 2.0], 0.1, 0.0), "second_moment .* got shape"),
        (lambda: one_pass_alignment([-1.0], [1.0], 0.1, 0.0), "spectrum .* positive"),
        (lambda: one_pass_alignment([1.0], [-1.0], 0.1, 0.0), "second_moment .* at least 0"),
        (lambda: one_pass_alignment([1.0], [1.0], "0.1", 0.0), "lr = '0.1': .* finite number"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(fs.FastschedError, match=message):
        call()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-250, 1e-150, 1e150, 1e250])
def test_cosines_do_not_depend_on_the_vectors_lengths(scale):
    mean = np.array([[0.3, 0.1], [1.0, -0.5]])
    covariance = np.zeros((2, 2, 2))
    covariance[:, 1, 1] = 1.0, 2.0
    scaled = expected_cosine(mean * [scale, 1.0], covariance)
    assert scaled == pytest.approx(expected_cosine(mean, covariance), rel=1e-10)
