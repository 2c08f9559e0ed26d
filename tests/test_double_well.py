"""The double well against its exact chain."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import fast_losses
from numpy.polynomial import hermite_e
from scipy import interpolate

import fastsched as fs


def chain_loss(lr, noise, steps):
    """Return mean and standard deviation of the loss after some steps from -1.

    Backwards: the expectation of a function after one more step is the mean over the step's
    normal, by Gauss-Hermite quadrature, of a spline of it.
    """
    z, weights = hermite_e.hermegauss(60)
    x = np.linspace(-3.5, 3.5, 3001)
    sigma = np.sqrt(np.abs(3 * x**2 - 1)) if noise == "hessian" else np.full_like(x, noise)
    reached = (x - lr * (x**3 - x))[:, None] + lr * sigma[:, None] * z
    loss = x**4 / 4 - x**2 / 2
    moments = []
    for values in (loss, loss**2):
        for _ in range(steps):
            spline = interpolate.CubicSpline(x, values)
            values = spline(np.clip(reached, -3.5, 3.5)) @ weights / np.sqrt(2 * np.pi)
        moments.append(float(interpolate.CubicSpline(x, values)(-1.0)))
    mean, square = moments
    return mean, np.sqrt(square - mean**2)


@pytest.mark.parametrize("noise", [1.5, "hessian"])
def test_first_axis_against_the_chain(noise):
    lr, steps, n = 0.1, 60, 400_000
    study = fs.Study(
        fs.DoubleWell(noise=noise), fs.SGD(lr), steps, n, record=[1, 10, steps], precision="double"
    )
    result = fs.run(study, progress=False)
    for k, step in enumerate((1, 10, steps)):
        mean, std = chain_loss(lr, noise, step)
        error = std / np.sqrt(n)
        assert abs(float(result["loss"][k]) - mean) <= 4 * error
        assert 0.01 * abs(mean) > 5 * error
        assert abs(float(result["loss_std"][k]) - std) <= 4 * float(result["loss_std_se"][k])


def test_axes_across_are_quadratics():
    across, noise = [0.5, 2.0], [0.7, 0.3, 0.4]
    start = fs.Normal([0.3, 1.0, -1.0], [0.1, 0.5, 0.0])
    whole = fs.Study(
        fs.DoubleWell(3, across, noise, start), fs.SGD(0.1, momentum=0.5), 30, 40,
        record=np.arange(31), precision="double",
    )  # fmt: skip
    alone = whole.replace(landscape=fs.DoubleWell(1, noise=0.7, start=fs.Normal([0.3], [0.1])))
    # The quadratic's first axis stays at its minimum and keeps the others' random numbers.
    flat = fs.Quadratic(
        [1.0, *across], [0.0, *noise[1:]], fs.Normal([0.0, 1.0, -1.0], [0.0, 0.5, 0.0])
    )
    total = fast_losses(alone) + fast_losses(whole.replace(landscape=flat))
    np.testing.assert_allclose(fast_losses(whole), total, rtol=1e-9, atol=1e-12)


def test_no_noise_stays_at_the_minimum():
    study = fs.Study(fs.DoubleWell(4, noise=0.0), fs.SGD(0.1), 10, 16, record=np.arange(11))
    result = fs.run(study, progress=False)
    np.testing.assert_array_equal(result["loss"], -0.25)
    np.testing.assert_array_equal(result["loss_quantile"], -0.25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "dim = 0"),
        ({"across": [1.0]}, r"across .* shape \(2,\), got shape \(1,\)"),
        ({"across": -1.0}, "across = -1.0: across must be positive"),
        ({"noise": [1.0]}, r"noise .* shape \(3,\)"),
        ({"noise": "isotropic"}, "noise = 'isotropic'"),
        ({"start": [1.0]}, r"start .* shape \(3,\)"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.DoubleWell(**{"dim": 3, **arguments})
