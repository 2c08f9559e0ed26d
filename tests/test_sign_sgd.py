"""SignSGD: by hand, against its stationary law, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import fastsched as fs


def path(optimizer, gradients, start=0.0):
    theta, state = start, [0.0] * optimizer.slots
    visited = []
    for row, gradient in zip(optimizer.coefficients(len(gradients)), gradients, strict=True):
        theta, *state = optimizer.update_function.py_func(theta, *state, 0.0, gradient, *row)
        visited.append(theta)
    return visited


def test_steps_by_hand():
    optimizer = fs.SignSGD(fs.Table([0.5, 0.25, 0.125]))
    assert path(optimizer, [3.0, -1e-9, 0.0]) == [-0.5, -0.25, -0.25]


def test_momentum_by_hand():
    """m = .5, -.25, -.125: the mean of gradients 1, -1, 0 at mu = 1/2."""
    optimizer = fs.SignSGD(0.5, momentum=0.5)
    assert path(optimizer, [1.0, -1.0, 0.0]) == [-0.5, 0.0, 0.5]


def test_what_is_not_a_number_stays_so():
    assert np.isnan(path(fs.SignSGD(0.5), [np.nan])[0])
    assert np.isnan(path(fs.SignSGD(0.5, momentum=0.9), [np.nan, 1.0])[1])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_coefficients_are_the_reference_rule(momentum):
    optimizer = fs.SignSGD(fs.Cosine(0.1, 30), momentum=momentum)
    gradients = np.random.default_rng(0).normal(size=30)
    values = optimizer.hyperparameters(30)
    theta, state = np.array(1.3), (np.array(0.0),) * optimizer.slots
    fast = path(optimizer, gradients, 1.3)
    for t, gradient in enumerate(gradients):
        theta, *state = optimizer.reference_step(theta, state, np.array(gradient), values, t)
        assert fast[t] == pytest.approx(float(theta), rel=1e-12)


def test_a_walk_on_a_lattice_has_the_law_of_its_chain():
    """From 0 on steps of 1/4, theta is a birth-death chain: right with P(h theta + xi < 0)."""
    from scipy.stats import norm

    rate, steps, n = 0.25, 24, 1_300_000
    points = rate * np.arange(-steps, steps + 1)
    right = norm.cdf(-points / 0.8)
    law = (points == 0).astype(float)
    for _ in range(steps):
        moved = np.zeros_like(law)
        moved[1:] += (law * right)[:-1]
        moved[:-1] += (law * (1 - right))[1:]
        law = moved
    exact = law @ points**2 / 2
    error = np.sqrt((law @ (points**2 / 2) ** 2 - exact**2) / n)
    study = fs.Study(
        fs.Quadratic([1.0], noise=0.8, start=0.0), fs.SignSGD(rate), steps, n, record=[steps]
    )
    z = (float(fs.run(study, progress=False)["loss"][0]) - exact) / error
    assert 0.01 * exact / error > 8
    assert abs(z) <= 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0.0}, "lr = 0.0: lr must be greater than 0"),
        ({"lr": 0.1, "momentum": 1.0}, r"momentum = 1.0: momentum must be in the interval \[0, 1"),
        ({"lr": 0.1, "momentum": -0.1}, "momentum = -0.1"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.SignSGD(**arguments)
