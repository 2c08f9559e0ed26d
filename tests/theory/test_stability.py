"""Stability limits against eigenvalues, recursions and enumerated batches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

import fastsched as fs
from fastsched.errors import NoExactTheory
from fastsched.theory.rule import linear_rule
from fastsched.theory.stability import (
    finite_sum_limit,
    mean_limit,
    one_pass_excess_risk,
    one_pass_limit,
    one_pass_stability,
)
from fastsched.theory.tails import (
    tail_index,
)

SPECTRUM = np.arange(1, 9) ** -1.5
FORMS = [
    {},
    {"momentum": 0.8},
    {"momentum": 0.8, "nesterov": True},
    {"momentum": -0.6},
    {"momentum": -0.25, "nesterov": True},
    {"momentum": -0.6, "nesterov": True},
]


def spectral_radius(matrix):
    return np.max(np.abs(np.linalg.eigvals(matrix)))


def second_moment_operator(lr, spectrum, batch_size, momentum=0.0, nesterov=False):
    """Return the matrix of one step of all E z z^T in one-pass least squares."""
    rule = linear_rule(fs.SGD(lr, momentum=momentum, nesterov=nesterov), 1, batch_size)
    n, dim = rule.order, len(spectrum)
    operator = np.zeros((dim, n * n, dim, n * n))
    noise = np.outer(rule.noise[0], rule.noise[0]).ravel()
    for i, h in enumerate(spectrum):
        matrix = rule.base[0] + h * rule.slope[0]
        operator[i, :, i, :] = np.kron(matrix, matrix)
        operator[i, :, i, 0] += noise * h * h
        operator[i, :, :, 0] += noise[:, None] * h * spectrum
    return operator.reshape(dim * n * n, dim * n * n)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("mu", [-0.99, -0.7, -0.4, -1 / 3, -0.2, 0.0, 0.3, 0.9, 0.999])
def test_mean_limit_is_where_an_eigenvalue_leaves_the_unit_disc(mu, nesterov):
    rule = linear_rule(fs.SGD(1.0, momentum=mu, nesterov=nesterov), 1)
    limit = mean_limit(mu, nesterov)
    below, above = (
        spectral_radius(rule.base[0] + f * limit * rule.slope[0]) for f in (0.999, 1.001)
    )
    assert below < 1 < above


@pytest.mark.parametrize(
    ("form", "limit"),
    [
        ({}, 2.0),
        ({"momentum": 0.9}, 3.8),
        ({"momentum": 0.9, "nesterov": True}, 1.357142857142857),
        ({"momentum": -0.5, "nesterov": True}, 3.0),
    ],
)
def test_mean_limit_by_iteration(form, limit):
    assert mean_limit(**form) == pytest.approx(limit, rel=1e-15)
    for factor, diverges in [(0.999, False), (1.001, True)]:
        optimizer = fs.SGD(factor * limit, **form)
        values = optimizer.hyperparameters(20_000)
        theta, *state = np.ones(1), *[np.zeros(1)] * optimizer.slots
        for t in range(20_000):
            theta, *state = optimizer.reference_step(theta, state, theta, values, t)
            if abs(theta[0]) > 1e6:
                break
        assert (abs(theta[0]) > 1e6) == diverges
        assert diverges or abs(theta[0]) < 1


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("form", FORMS)
def test_one_pass_limit_is_where_the_second_moments_leave(form, batch_size):
    limit = one_pass_limit(SPECTRUM, batch_size=batch_size, **form)
    for factor in (0.999, 1.001):
        radius = spectral_radius(
            second_moment_operator(factor * limit, SPECTRUM, batch_size, **form)
        )
        stability = one_pass_stability(SPECTRUM, factor * limit, batch_size=batch_size, **form)
        assert (radius < 1) == stability.stable == (stability.feedback < 1) == (factor < 1)


@pytest.mark.parametrize("dim", [1, 3, 50])
@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("mu", [0.0, 0.9, -0.5])
def test_isotropic_one_pass_limit(dim, batch_size, mu):
    gain = batch_size / (dim + 1)
    expected = 2 * gain * (1 - mu**2) / (1 + mu + gain * (1 - mu)) / 0.5
    limit = one_pass_limit(np.full(dim, 0.5), momentum=mu, batch_size=batch_size)
    assert limit == pytest.approx(expected, rel=1e-13)
    if mu == 0:
        assert limit == pytest.approx(2 * batch_size / (0.5 * (batch_size + dim + 1)), rel=1e-13)


def test_large_batches_leave_the_limit_of_the_mean():
    limit = one_pass_limit(SPECTRUM, momentum=0.9, batch_size=10**9)
    assert limit == pytest.approx(3.8, rel=1e-6)
    unstable = one_pass_stability(SPECTRUM, 4.0, momentum=0.9, batch_size=10**9)
    assert not unstable.stable
    assert unstable.feedback == unstable.gains[0] == np.inf


def heavy_ball_excess_risk(lr, mu, batch_size, variance, steps):
    p, q, r = (np.zeros(len(SPECTRUM)) for _ in range(3))
    for _ in range(steps):
        total = SPECTRUM @ p + variance
        g = (1 + 1 / batch_size) * SPECTRUM**2 * p + SPECTRUM / batch_size * total
        r = mu**2 * r + 2 * mu * SPECTRUM * q + g
        u = mu * q + SPECTRUM * p
        p, q = p - 2 * lr * u + lr**2 * r, u - lr * r
    return SPECTRUM @ p / 2


def nesterov_excess_risk(lr, mu, batch_size, variance, steps):
    p, q, r = (np.zeros(len(SPECTRUM)) for _ in range(3))
    h = SPECTRUM
    for _ in range(steps):
        g = (1 + 1 / batch_size) * h**2 * p + h / batch_size * (h @ p + variance)
        square = (1 + mu) ** 2 * g + mu**4 * r + 2 * (1 + mu) * mu**2 * h * q
        cross = (1 + mu) * (mu * h * q + g) + mu**2 * (mu * r + h * q)
        p, q, r = (
            p + lr**2 * square - 2 * lr * ((1 + mu) * h * p + mu**2 * q),
            mu * q + h * p - lr * cross,
            mu**2 * r + 2 * mu * h * q + g,
        )
    return h @ p / 2


@pytest.mark.parametrize(
    ("recursion", "form"),
    [
        (heavy_ball_excess_risk, {"momentum": 0.0}),
        (heavy_ball_excess_risk, {"momentum": 0.8}),
        (heavy_ball_excess_risk, {"momentum": -0.6}),
        (nesterov_excess_risk, {"momentum": 0.8, "nesterov": True}),
    ],
)
def test_excess_risk_is_the_fixed_point_of_the_recursion(recursion, form):
    lr = 0.5 * one_pass_limit(SPECTRUM, batch_size=4, **form)
    risk = one_pass_excess_risk(SPECTRUM, lr, 0.09, batch_size=4, **form)
    assert risk == pytest.approx(recursion(lr, form["momentum"], 4, 0.09, 20_000), rel=1e-10)


def test_excess_risk_names_the_limit():
    with pytest.raises(fs.FastschedError, match=r"lr = 0.41: .* less than 0\.4 "):
        one_pass_excess_risk(np.ones(3), 0.41, 1.0)


@pytest.mark.parametrize(("n", "dim"), [(5, 3), (4, 6), (5, 1)])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_finite_sum_limit_against_all_batches(n, dim, batch_size):
    rows = np.random.default_rng(n).normal(size=(n, dim))
    limit = finite_sum_limit(rows, batch_size)
    null = np.eye(dim) - np.linalg.pinv(rows) @ rows
    radius = []
    for factor in (0.999, 1.001):
        mean = np.zeros((dim**2, dim**2))
        batches = list(itertools.combinations(range(n), batch_size))
        for batch in batches:
            hessian = rows[list(batch)].T @ rows[list(batch)] / batch_size
            # Directions that no sample sees never move.
            step = np.eye(dim) - null - factor * limit * hessian
            mean += np.kron(step, step) / len(batches)
        radius.append(spectral_radius(mean))
    assert radius[0] < 1 < radius[1]
    hessians = rows[:, :, None] * rows[:, None, :]
    assert finite_sum_limit(hessians, batch_size) == pytest.approx(limit, rel=1e-12)


def test_finite_sum_limit_of_full_hessians():
    rng = np.random.default_rng(2)
    factors = rng.normal(size=(6, 4, 4))
    hessians = factors @ factors.transpose(0, 2, 1)
    mean = hessians.mean(axis=0)
    limits = [finite_sum_limit(hessians, batch) for batch in range(1, 7)]
    assert np.all(np.diff(limits) > 0)
    assert limits[-1] == pytest.approx(2 / np.linalg.eigvalsh(mean)[-1], rel=1e-12)
    p = 4 / (2 * 5)
    c = (np.kron(mean, np.eye(4)) + np.kron(np.eye(4), mean)) / 2
    d = (1 - p) * np.kron(mean, mean) + p / 6 * sum(np.kron(h, h) for h in hessians)
    largest = np.max(np.linalg.eigvals(np.linalg.pinv(c) @ d).real)
    assert limits[1] == pytest.approx(2 / largest, rel=1e-12)


def test_many_samples_approach_the_one_pass_limit():
    rows = np.random.default_rng(3).normal(size=(200_000, 3))
    assert finite_sum_limit(rows, 1) == pytest.approx(one_pass_limit(np.ones(3)), rel=0.02)


@pytest.mark.parametrize("dim", [1, 2, 3, 10, 100, 1000])
def test_tail_index_is_two_at_the_mean_square_limit(dim):
    assert tail_index(2 / (dim + 2), dim) == pytest.approx(2, abs=1e-10)
    assert one_pass_limit(np.ones(dim)) == pytest.approx(2 / (dim + 2), rel=1e-13)


@pytest.mark.parametrize("dim", [2, 3, 10])
@pytest.mark.parametrize("power", [2, 3, 5])
def test_even_tail_indices_by_exact_polynomial_moments(dim, power):
    z, z_weight = special.roots_hermitenorm(40)
    y, y_weight = special.roots_genlaguerre(40, (dim - 3) / 2)
    u, rest = z[:, None] ** 2, 2 * y
    weight = np.outer(z_weight / z_weight.sum(), y_weight / y_weight.sum())

    def excess(rate):
        squared = 1 - 2 * rate * u + rate**2 * u * (u + rest)
        return np.sum(weight * squared**power) - 1

    rate = optimize.brentq(excess, 1e-3, 2 / (dim + 2), xtol=1e-15)
    assert tail_index(rate, dim) == pytest.approx(2 * power, rel=1e-9)


@pytest.mark.parametrize("rate", [0.05, 0.3, 1.0, 1.7])
def test_tail_index_in_one_dimension(rate):
    alpha = tail_index(rate, 1)

    def integrand(z):
        return 2 * abs(1 - rate * z**2) ** alpha * stats.norm.pdf(z)

    kink = rate**-0.5
    pieces = [(0, kink), (kink, kink + 4), (kink + 4, kink + 40)]
    total = sum(integrate.quad(integrand, *piece, epsabs=1e-12)[0] for piece in pieces)
    assert total == pytest.approx(1, abs=1e-8)


def test_small_tail_index_in_two_dimensions():
    rate, alpha = 0.9, tail_index(0.9, 2)
    assert 0 < alpha < 1

    def radial(square):
        angle = np.arange(0.5, 20_000) * np.pi / 40_000  # uniform in (0, pi / 2)
        cosine = np.cos(angle) ** 2
        factor = 1 - cosine + cosine * (1 - rate * square) ** 2
        return np.mean(factor ** (alpha / 2)) * np.exp(-square / 2) / 2

    pieces = [(0, 1 / rate), (1 / rate, 4), (4, 80)]
    total = sum(integrate.quad(radial, *piece, epsabs=1e-9, epsrel=1e-9)[0] for piece in pieces)
    assert total == pytest.approx(1, abs=1e-7)


def test_tail_index_decreases_with_the_rate_and_ends():
    values = [tail_index(rate, 5) for rate in (0.01, 0.05, 0.1, 0.2, 0.3, 0.35)]
    assert np.all(np.diff(values) < 0)
    with pytest.raises(NoExactTheory, match=r"lr = 0\.4 with dim = 5 has no tail index"):
        tail_index(0.4, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_limit(1.0), r"momentum = 1.0: .* \(-1, 1\)"),
        (lambda: mean_limit("0.9"), "momentum = '0.9': .* finite number"),
        (lambda: mean_limit(0.9, nesterov=1), "nesterov = 1: .* True or False"),
        (lambda: one_pass_limit([1.0, 0.0]), "spectrum .* positive eigenvalues"),
        (lambda: one_pass_limit([[1.0]]), "spectrum .* got shape"),
        (lambda: one_pass_stability([1.0], 0.0), "lr = 0.0: .* greater than 0"),
        (lambda: one_pass_stability([1.0], 0.1, batch_size=1.5), "batch_size = 1.5: .* integer"),
        (lambda: one_pass_excess_risk([1.0], 0.1, -1.0), "label_noise_variance = -1.0: .* least 0"),
        (lambda: finite_sum_limit(np.eye(3), 4), "batch_size = 4: .* at most 3"),
        (lambda: finite_sum_limit(np.ones((2, 3, 2)), 1), "hessians .* got shape"),
        (lambda: finite_sum_limit([[[1.0, 1.0], [0.0, 1.0]]], 1), "hessians .* symmetric"),
        (lambda: finite_sum_limit([[[1.0, 0.0], [0.0, -1.0]]], 1), "hessians .* semidefinite"),
        (lambda: finite_sum_limit(np.zeros((2, 2)), 1), "hessians .* not all zero"),
        (lambda: tail_index(0.0, 3), "lr = 0.0: .* at least 0.001"),
        (lambda: tail_index(0.1, 2.5), "dim = 2.5: .* integer"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(fs.FastschedError, match=message):
        call()
