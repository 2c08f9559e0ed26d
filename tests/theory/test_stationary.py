"""The stationary law against closed formulas, Lyapunov equations and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import solve_discrete_lyapunov

import fastsched as fs
from fastsched.errors import NoExactTheory
from fastsched.theory.rule import linear_rule
from fastsched.theory.stability import mean_limit, one_pass_stability
from fastsched.theory.stationary import (
    dissipation_ratio,
    nesterov_iterate_variance,
    noise_floor,
    small_rate_noise_floor,
    stationary_moments,
)

H = np.array([2.0, 1.0, 0.3, 0.05])
C = np.array([0.5, 2.0, 0.0, 1.0])
FORMS = [
    fs.SGD(0.3),
    fs.SGD(0.3, momentum=0.9),
    fs.SGD(fs.Constant(0.3), momentum=-0.5),
    fs.SGD(0.3, momentum=0.9, nesterov=True),
    fs.SGD(0.3, momentum=-0.4, nesterov=True),
    fs.SGD(0.3, momentum=0.7, velocity="classical"),
    fs.SGD(0.3, momentum=0.7, velocity="classical", nesterov=True),
    fs.SGD(0.3, weight_decay=0.1),
    fs.SGD(0.3, momentum=0.7, weight_decay=0.1),
    fs.SGD(0.3, momentum=0.7, weight_decay=0.1, decay="lr"),
    fs.SGD(0.3, momentum=0.7, weight_decay=0.1, decay="schedule", nesterov=True),
    fs.SGD(0.3, momentum=0.7, weight_decay=0.1, decay="constant", velocity="classical"),
]


def heavy_ball(lr, mu, h, c):
    q = (1 - mu) * (2 * (1 + mu) - lr * h)
    return np.array([[lr * c * (1 + mu) / (h * q), -lr * c / q], [-lr * c / q, 2 * c / q]])


def nesterov_denominator(lr, mu, h):
    return h * (1 - mu + lr * h * mu) * (2 * (1 + mu) - lr * h * (1 + 2 * mu))


def nesterov_variance(lr, mu, h, c):
    return lr * c * (1 + mu + lr * h * mu * (1 + 2 * mu)) / nesterov_denominator(lr, mu, h)


@pytest.mark.parametrize("optimizer", FORMS)
def test_covariance_solves_the_lyapunov_equation(optimizer):
    rule = linear_rule(optimizer, 1, 3.0)
    _, covariance = stationary_moments(optimizer, H, C, batch_size=3)
    for h, c, value in zip(H, C, covariance, strict=True):
        matrix = rule.base[0] + h * rule.slope[0]
        noise = c * np.outer(rule.noise[0], rule.noise[0])
        expected = solve_discrete_lyapunov(matrix, noise)
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("optimizer", FORMS)
def test_mean_is_where_the_noise_free_run_ends(optimizer):
    minimum = np.array([1.0, -2.0, 3.0, 0.5])
    mean, _ = stationary_moments(optimizer, H, C, minimum=minimum)
    values = optimizer.hyperparameters(3000)
    theta, *state = np.zeros(4), *[np.zeros(4)] * optimizer.slots
    for t in range(3000):
        theta, *state = optimizer.reference_step(theta, state, H * (theta - minimum), values, t)
    np.testing.assert_allclose(np.stack([theta - minimum, *state], axis=1), mean, atol=1e-12)
    displaced = bool(values["weight_decay"][0])
    assert np.any(mean != 0) == displaced


@pytest.mark.parametrize("mu", [-0.5, 0.5, 0.9])
def test_heavy_ball_closed_formulas(mu):
    x = np.concatenate([np.geomspace(1e-14, 0.01, 30), np.linspace(0.01, 0.99, 30) * 2 * (1 + mu)])
    lr = 0.125
    _, covariance = stationary_moments(fs.SGD(lr, momentum=mu), x / lr, 2.0, batch_size=5)
    expected = heavy_ball(lr, mu, x / lr, np.full(len(x), 0.4)).transpose(2, 0, 1)
    np.testing.assert_allclose(covariance, expected, rtol=1e-12)


@pytest.mark.parametrize("mu", [-0.5, 0.5, 0.9])
def test_nesterov_closed_formulas(mu):
    limit = mean_limit(mu, nesterov=True)
    x = np.concatenate([np.geomspace(1e-14, 0.01, 30), np.linspace(0.01, 0.99, 30) * limit])
    lr, h, c = 0.125, x / 0.125, 0.4
    for velocity in ("pytorch", "classical"):
        optimizer = fs.SGD(lr, momentum=mu, nesterov=True, velocity=velocity)
        _, covariance = stationary_moments(optimizer, h, 2.0, batch_size=5)
        np.testing.assert_allclose(covariance[:, 0, 0], nesterov_variance(lr, mu, h, c), rtol=1e-12)
        iterate = nesterov_iterate_variance(optimizer, h, 2.0, batch_size=5)
        expected = lr * c * (1 + mu - x * mu) / nesterov_denominator(lr, mu, h)
        np.testing.assert_allclose(iterate, expected, rtol=1e-12)


@pytest.mark.parametrize("form", [{}, {"momentum": 0.8}, {"momentum": 0.8, "nesterov": True}])
def test_gains_of_one_pass_stability_are_stationary_variances(form):
    _, covariance = stationary_moments(fs.SGD(0.3, **form), H, 1.0)
    gains = one_pass_stability(H, 0.3, **form).gains
    np.testing.assert_allclose(gains, H**2 * covariance[:, 0, 0], rtol=1e-13)


@pytest.mark.parametrize("nesterov", [False, True])
def test_covariance_by_simulation(nesterov):
    rng = np.random.default_rng(5)
    optimizer = fs.SGD(0.4, momentum=0.6, nesterov=nesterov)
    chains, steps = 40_000, 60
    _, covariance = stationary_moments(optimizer, [1.0], 2.0, batch_size=4)
    values = optimizer.hyperparameters(steps)
    start = rng.multivariate_normal(np.zeros(2), covariance[0], size=chains).T
    theta, velocity = start
    for t in range(steps):
        gradient = theta + np.sqrt(0.5) * rng.normal(size=chains)
        theta, velocity = optimizer.reference_step(theta, (velocity,), gradient, values, t)
    variance = np.array([np.mean(theta**2), np.mean(velocity**2)])
    expected = np.diagonal(covariance[0])
    assert np.max(np.abs(variance / expected - 1)) < 4 * np.sqrt(2 / chains)
    if nesterov:
        iterate = np.mean((theta + 0.4 * 0.6 * velocity) ** 2)
        ratio = iterate / nesterov_iterate_variance(optimizer, [1.0], 2.0, batch_size=4)[0]
        assert abs(ratio - 1) < 4 * np.sqrt(2 / chains)


def test_without_momentum_nesterov_iterate_is_the_parameter():
    np.testing.assert_array_equal(
        nesterov_iterate_variance(fs.SGD(0.3, nesterov=True), H, C),
        stationary_moments(fs.SGD(0.3), H, C)[1][:, 0, 0],
    )


def test_noise_floor_of_sgd():
    expected = 0.5 * np.sum(0.3 * C / (4 * (2 - 0.3 * H)))
    assert noise_floor(fs.SGD(0.3), H, C, batch_size=4) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    "form",
    [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"momentum": -0.5}],
)
def test_small_rate_noise_floor_is_the_limit(form):
    mu = form.get("momentum", 0.0)

    def excess(lr):
        exact = noise_floor(fs.SGD(lr, **form), H, C, batch_size=4)
        return exact / small_rate_noise_floor(lr, C, momentum=mu, batch_size=4) - 1

    assert abs(excess(1e-4)) < 1e-2
    assert excess(1e-4) / excess(1e-6) == pytest.approx(100, rel=0.05)


@pytest.mark.parametrize("optimizer", FORMS[:7])
def test_dissipation_ratio(optimizer):
    ratio = dissipation_ratio(optimizer, H, C)
    if not optimizer.nesterov:
        assert ratio == pytest.approx(1, rel=1e-13)
    else:
        lr, mu = 0.3, optimizer.momentum
        _, covariance = stationary_moments(fs.SGD(lr, mu, nesterov=True), H, C)
        dissipated = np.sum(H * nesterov_variance(lr, mu, H, C))
        expected = 2 * dissipated / (lr * (1 + mu) * np.sum(covariance[:, 1, 1]))
        assert ratio == pytest.approx(expected, rel=1e-12)
        assert abs(ratio - 1) > 0.01


@pytest.mark.parametrize("form", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_unstable_rates_are_refused_by_their_limit(form):
    limit = mean_limit(**form)
    stationary_moments(fs.SGD(0.999 * limit / 2, **form), H, C)
    with pytest.raises(fs.FastschedError, match=f"at curvature 2, .* less than {limit:g}"):
        stationary_moments(fs.SGD(1.001 * limit / 2, **form), H, C)


def test_flat_directions_have_no_stationary_law_without_decay():
    with pytest.raises(fs.FastschedError, match=r"at curvature 0, .* greater than 0"):
        stationary_moments(fs.SGD(0.1, momentum=0.5), [1.0, 0.0], 1.0)
    _, covariance = stationary_moments(fs.SGD(0.1, weight_decay=0.5), [0.0], 1.0)
    assert covariance[0, 0, 0] == pytest.approx(0.01 / (1 - 0.95**2), rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stationary_moments(fs.SGD(0.1), [[1.0]], 1.0), "curvature .* got shape"),
        (lambda: stationary_moments(fs.SGD(0.1), ["a"], 1.0), r"curvature .* shape \(d,\)"),
        (lambda: stationary_moments(fs.SGD(0.1), H, -1.0), "noise_variance .* at least 0"),
        (lambda: stationary_moments(fs.SGD(0.1), H, [1.0, 2.0]), r"noise_variance .* \(4,\)"),
        (lambda: noise_floor(fs.SGD(0.1), H, C, batch_size=0.5), "batch_size = 0.5: .* least 1"),
        (lambda: nesterov_iterate_variance(fs.SGD(0.1), H, C), "optimizer .* nesterov=True"),
        (lambda: small_rate_noise_floor(-0.1, C), "lr = -0.1: .* greater than 0"),
        (lambda: small_rate_noise_floor(0.1, C, momentum=1.0), r"momentum = 1.0: .* \(-1, 1\)"),
        (lambda: dissipation_ratio(fs.SGD(0.1), H, 0.0), "noise_variance .* greater than 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(fs.FastschedError, match=message):
        call()


def test_no_stationary_law_is_said():
    with pytest.raises(NoExactTheory, match=r"lr = .* changes with the step"):
        stationary_moments(fs.SGD(fs.Cosine(0.1, 10)), H, C)
    with pytest.raises(NoExactTheory, match="weight decay"):
        dissipation_ratio(fs.SGD(0.1, weight_decay=0.1), H, C)
