"""Custom landscapes: agreement with built-in ones, trials, gradient checks."""

from __future__ import annotations

from functools import partial

import numba
import numba.extending
import numpy as np
import pytest
from helpers import fast_losses, same_data

import fastsched as fs

CURVATURE = np.array([1.0, 0.5, 0.2])


def gradient(theta, draws, out):
    for i in range(len(theta)):
        out[i] = CURVATURE[i] * theta[i]


def loss(theta):
    return 0.5 * np.sum(CURVATURE * theta**2)


@numba.njit
def drawn_gradient(theta, draws, out):
    for i in range(len(theta)):
        out[i] = CURVATURE[i] * theta[i] + draws[i]


@numba.njit
def mean_of(theta):
    return theta.sum()


def copies_draws(theta, draws, out):
    out[:] = draws


@pytest.mark.parametrize(("precision", "minimum"), [("single", 0.0), ("double", [0.3, -0.2, 0.1])])
def test_a_quadratic_of_your_own(precision, minimum):
    custom = fs.Custom(gradient, loss, 3, noise=0.4, start=fs.Normal(1.0, 0.5), minimum=minimum)
    study = fs.Study(
        custom,
        fs.SGD(0.1, momentum=0.6, weight_decay=0.01),
        40,
        50,
        batch_size=4,
        record=np.arange(41),
        precision=precision,
    )
    plain = study.replace(landscape=fs.Quadratic(CURVATURE, 0.4, fs.Normal(1.0, 0.5)))
    tolerance = 1e-4 if precision == "single" else 1e-11
    np.testing.assert_allclose(fast_losses(study), fast_losses(plain), rtol=tolerance, atol=1e-6)


@pytest.mark.parametrize("precision", ["single", "double"])
def test_arrays_take_the_precision_of_theta(precision):
    custom = fs.Custom(gradient, dotted, 3, start=1.0)
    study = fs.Study(custom, fs.SGD(0.1), 1, 16, record=[1], precision=precision)
    np.testing.assert_allclose(fast_losses(study), CURVATURE @ (1 - 0.1 * CURVATURE), rtol=1e-6)


def test_drawn_normals_are_noise():
    study = fs.Study(
        fs.Custom(drawn_gradient, loss, 3, draws=3, start=1.0),
        fs.SGD(0.1),
        50,
        200_000,
        record=[50],
    )
    exact = fs.exact(study.replace(landscape=fs.Quadratic(CURVATURE, start=1.0)))
    result = fs.run(study, progress=False)
    error = float(result["loss_se"][0])
    assert 0.01 * float(exact["loss"][0]) > 4 * error
    assert abs(float(result["loss"][0] - exact["loss"][0])) <= 4 * error
    spread = float(result["loss_std"][0] - exact["loss_std"][0])
    assert abs(spread) <= 4 * float(result["loss_std_se"][0])


@pytest.mark.parametrize(
    ("sampler", "mean", "variance", "precision"),
    [("uniform", 0.5, 1 / 12, "single"), ("normal", 0.0, 1.0, "double")],
)
def test_law_of_the_draws(sampler, mean, variance, precision):
    """At rate 1 the sum of all parameters falls by the sum of the draws."""
    n, dim = 200_000, 5
    custom = fs.Custom(copies_draws, mean_of, dim, draws=dim, sampler=sampler)
    study = fs.Study(custom, fs.SGD(1.0), 3, n, record=[1, 3], precision=precision)
    losses = -fast_losses(study)
    for k, steps in enumerate((1, 3)):
        count = steps * dim
        assert abs(losses[k].mean() - count * mean) <= 4 * np.sqrt(count * variance / n)
        assert losses[k].var() == pytest.approx(count * variance, rel=4 * np.sqrt(2 / n))
        assert len(np.unique(losses[k])) > 0.9 * n


def test_uniform_numbers_never_reach_the_ends():
    from fastsched.landscapes.custom import _uniform

    for real in (np.float32, np.float64):
        low, high = (_uniform.py_func(np.uint32(word), real) for word in (0, 2**32 - 1))
        assert 0 < low < high < 1


def test_equal_functions_are_equal_landscapes():
    custom = fs.Custom(gradient, loss, 3, start=1.0)
    assert custom == fs.Custom(gradient, loss, 3, start=1.0)
    assert hash(custom) == hash(fs.Custom(gradient, loss, 3, start=1.0))
    assert custom != fs.Custom(drawn_gradient, loss, 3, draws=3, start=1.0)


@numba.njit("float64(float64[:])", fastmath=True)
def loss_in_double(theta):
    return 0.5 * (theta[0] ** 2 + 0.5 * theta[1] ** 2 + 0.2 * theta[2] ** 2)


@pytest.mark.parametrize("precision", ["single", "double"])
def test_calls_before_the_run_change_no_bit(precision):
    """Numba compiles a function with the options of its first caller."""

    def gradient(theta, draws, out):
        for i in range(len(theta)):
            out[i] = theta[i] ** 3 + 0.3 * (draws[i] - draws[i - 1]) + theta[i] * theta[i - 1]

    def loss(theta):
        return np.sum(theta**4) / 4 + theta[0] * theta[1]

    results = []
    for called in (False, True):
        functions = numba.njit(gradient), numba.njit(loss)
        if called:
            for kind in (np.float32, np.float64):
                functions[0](*np.ones((3, 5), kind))
                functions[1](np.ones(5, kind))
        own = fs.Custom(*functions, 5, draws=5, start=fs.Normal(0.8, 0.2))
        study = fs.Study(own, fs.SGD(0.03, 0.7), 37, 100, precision=precision)
        results.append(fs.run(study, progress=False))
    assert same_data(*results)


def test_functions_with_a_fixed_signature():
    custom = fs.Custom(gradient, loss_in_double, 3, start=1.0)
    study = fs.Study(custom, fs.SGD(0.1), 1, 16, record=[1])
    expected = loss(1 - 0.1 * CURVATURE)
    np.testing.assert_allclose(fast_losses(study), expected, rtol=1e-6)
    custom.check_gradient()


def test_check_gradient():
    fs.Custom(gradient, loss, 3).check_gradient()
    fs.Custom(gradient, loss, 3).check_gradient(points=np.ones((2, 3)))
    fs.Custom(drawn_gradient, loss, 3, draws=3).check_gradient(points=2)
    wrong = fs.Custom(gradient, lambda theta: theta[0] ** 2, 3)
    with pytest.raises(
        fs.FastschedError, match=r"gradient disagrees with loss .* coordinate \d is"
    ):
        wrong.check_gradient()
    biased = fs.Custom(drawn_gradient, loss, 3, draws=3, sampler="uniform")
    with pytest.raises(fs.FastschedError, match="gradient disagrees with loss"):
        biased.check_gradient()
    with pytest.raises(fs.FastschedError, match=r"must be of shape \(n, 3\), got"):
        wrong.check_gradient(points=np.ones((2, 4)))


class Callable:
    """Numba compiles neither the object nor its method."""

    __hash__ = None

    def __eq__(self, other):
        return False

    def __call__(self, theta):
        return 0.0

    def loss(self, theta):
        return 0.0


def _by_precision(theta):
    return theta[0]


def out_of_range(theta, draws, out):
    for i in range(len(theta) + 1):
        out[i] = theta[i]


def unfilled(theta, draws, out):
    out[0] = 1.0


def moves_theta(theta, draws, out):
    theta[0] += 1
    out[:] = theta


def untypeable(theta, draws, out):
    out[:] = theta.unknown


def returns_gradient(theta, draws, out):
    return 2 * theta


def returns_out(theta, draws, out):
    out[:] = theta
    return out


def sometimes(theta):
    if theta[0] < 1:
        return theta[0] ** 2


@numba.extending.overload(_by_precision)
def _compiled_by_precision(theta):
    if theta.dtype == numba.float32:
        return lambda theta: theta[0] + 1j
    return lambda theta: theta[0]


def complex_in_single(theta):
    return _by_precision(theta)


def dotted_in_double(theta):
    return np.dot(CURVATURE, theta)


def dotted(theta):
    return np.dot(CURVATURE.astype(theta.dtype), theta)


def written_in_double(theta, draws, out):
    out[:] = np.dot(np.diag(CURVATURE), theta)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gradient": 1.0}, r"gradient = 1.0: .* function gradient\(theta, draws, out\)"),
        ({"gradient": [1.0]}, r"gradient = \[1.0\]: .* function gradient\(theta, draws, out\)"),
        ({"loss": Callable()}, r"loss = .* a Python or numba.njit function loss\(theta\)"),
        ({"loss": Callable().loss}, r"loss = .* a Python or numba.njit function loss\(theta\)"),
        ({"loss": partial(loss)}, r"loss = .* a Python or numba.njit function loss\(theta\)"),
        ({"loss": lambda *theta: 0.0}, r"loss = .* without \* or keyword arguments"),
        (
            {"gradient": np.sin},
            r"gradient = .* a Python or numba.njit function gradient\(theta, draws, out\)",
        ),
        ({"gradient": loss}, "gradient = .* it takes 1 arguments"),
        ({"loss": gradient}, "loss = .* it takes 3 arguments"),
        (
            {"loss": lambda theta: theta},
            r"loss = .* returns a number; it returns an array of 1 dim",
        ),
        ({"loss": lambda theta: theta[0] / 0.0}, "loss fails at the start: ZeroDivisionError"),
        ({"loss": lambda theta: np.inf}, "loss = .* it returns inf"),
        ({"loss": lambda theta: theta[:1]}, "loss = .* it returns an array of 1 dimension"),
        ({"loss": lambda theta: theta.sum() + 0j}, "loss = .* it returns a complex number"),
        ({"loss": lambda theta: None}, "loss = .* it returns None"),
        ({"loss": lambda theta: (theta[0], theta[1])}, "loss = .* it returns a tuple"),
        ({"loss": lambda theta: "small"}, "loss = .* it returns a str"),
        ({"loss": lambda theta: theta[0] < 1}, "loss = .* it returns a bool"),
        ({"loss": sometimes}, "loss = .* it returns a number on some paths and None on others"),
        ({"loss": sometimes, "start": 1.0}, "loss = .* on some paths"),
        ({"loss": complex_in_single}, "in single precision, .* it returns a complex number"),
        (
            {"gradient": returns_gradient},
            "gradient = .* an array .*; write the gradient into `out`",
        ),
        ({"gradient": returns_out}, "gradient = .* returns nothing; it returns an array"),
        ({"gradient": out_of_range}, "gradient fails at the start: IndexError"),
        ({"gradient": unfilled}, r"fills `out` .* out\[1\] = nan"),
        ({"gradient": moves_theta}, "leaves theta as it is"),
        ({"gradient": untypeable}, "gradient cannot be compiled by Numba: .*unknown"),
        ({"loss": dotted_in_double}, r"in single precision, .* loss cannot be compiled .* dot"),
        ({"gradient": written_in_double}, r"in single precision, .* gradient cannot be compiled"),
        ({"dim": 0}, "dim = 0"),
        ({"draws": -1}, "draws = -1"),
        ({"sampler": "cauchy"}, "sampler = 'cauchy'"),
        ({"noise": -1.0}, "noise = -1.0"),
        ({"noise": [1.0]}, r"noise .* shape \(3,\)"),
        ({"start": [1.0]}, r"start .* shape \(3,\)"),
        ({"minimum": [1.0]}, r"minimum .* shape \(3,\)"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.Custom(**{"gradient": gradient, "loss": loss, "dim": 3, **arguments})
