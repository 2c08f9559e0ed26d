"""The reduction of linear random features, against SGD on the features themselves."""

import numpy as np
import pytest

import fastsched as fs
from fastsched.theory import reduce_linear_features
from fastsched.theory.least_squares import least_squares_risk

RNG = np.random.default_rng(7)
INPUTS, FEATURES = 12, 5
SPECTRUM, TARGET = np.arange(1, INPUTS + 1) ** -1.5, RNG.normal(size=INPUTS)
WEIGHTS = RNG.normal(size=(INPUTS, FEATURES)) / np.sqrt(FEATURES)


def risk(theta):
    """Full population risk without the labels' own noise, for each row of theta."""
    return 0.5 * (TARGET - theta @ WEIGHTS.T) ** 2 @ SPECTRUM


def test_the_risk_is_the_same_function():
    start = RNG.normal(size=FEATURES)
    problem = reduce_linear_features(SPECTRUM, TARGET, WEIGHTS, start)
    reduced = 0.5 * (problem.spectrum @ problem.error**2 + problem.label_noise**2)
    assert reduced == pytest.approx(risk(start[None])[0], rel=1e-12)
    moved = problem.minimum + 1e-4 * RNG.normal(size=(50, FEATURES))
    assert np.all(risk(moved) > risk(problem.minimum[None]))


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_one_pass_sgd(momentum):
    n, steps, batch, noise = 100_000, 25, 2, 0.4
    optimizer = fs.SGD(fs.Linear(0.15, steps), momentum)
    theta, state = np.zeros((n, FEATURES)), (np.zeros((n, FEATURES)),) * optimizer.slots
    values = optimizer.hyperparameters(steps)
    for t in range(steps):
        x = RNG.normal(size=(batch, n, INPUTS)) * np.sqrt(SPECTRUM)
        phi = x @ WEIGHTS
        residual = np.sum(phi * theta, axis=2) - x @ TARGET - noise * RNG.normal(size=(batch, n))
        gradient = np.mean(phi * residual[..., None], axis=0)
        theta, *state = optimizer.reference_step(theta, state, gradient, values, t)
    problem = reduce_linear_features(SPECTRUM, TARGET, WEIGHTS, label_noise=noise)
    exact = least_squares_risk(
        problem.spectrum, problem.error, optimizer, steps, batch, problem.label_noise
    )[-1] + 0.5 * (problem.label_noise**2 - noise**2)
    losses = risk(theta)
    se = losses.std() / np.sqrt(n)
    assert abs(losses.mean() - exact) <= 4 * se
    assert 0.01 * exact > 4 * se


def test_more_features_than_inputs():
    weights = RNG.normal(size=(3, 6))
    problem = reduce_linear_features([1.0, 0.5, 0.2], [1.0, 2.0, 3.0], weights)
    assert np.count_nonzero(problem.spectrum) == 3
    assert problem.label_noise == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([-1.0], [1.0], [[1.0]]), "input_spectrum .* at least 0"),
        (([1.0], [1.0, 2.0], [[1.0]]), "target .* of the input spectrum's shape"),
        (([1.0], [1.0], [[1.0], [2.0]]), "weights .* a matrix with 1 rows"),
        (([1.0], [1.0], [[1.0]], [1.0, 2.0]), "start"),
    ],
)
def test_bad_parameters(arguments, message):
    with pytest.raises(fs.FastschedError, match=message):
        reduce_linear_features(*arguments)
