"""The noisy quadratic landscape."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

import fastsched as fs
from fastsched.kernels.reference import Draws


def test_gradient_against_finite_differences():
    rng = np.random.default_rng(0)
    quadratic = fs.Quadratic(rng.uniform(0.1, 2, 6), noise=0.0, minimum=rng.normal(size=6))
    theta = rng.normal(size=6)
    numeric = optimize.approx_fprime(theta, lambda x: quadratic.reference_loss(x[None])[0], 1e-7)
    draws = Draws(0, 0, np.zeros(1, np.uint64), "double")
    exact = quadratic.reference_gradient(theta[None], draws, 1)[0]
    np.testing.assert_allclose(exact, numeric, atol=1e-5)


def test_matrix_is_its_eigenvalues_in_a_rotated_frame():
    rng = np.random.default_rng(1)
    values = np.array([0.1, 0.5, 1.0, 1.5])
    basis = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    matrix = basis @ np.diag(values) @ basis.T
    matrix = (matrix + matrix.T) / 2
    start, minimum = rng.normal(size=4), rng.normal(size=4)
    dense = fs.Quadratic(matrix, noise=0.0, start=start, minimum=minimum)
    np.testing.assert_allclose(np.sort(dense.eigenvalues), values)
    study = fs.Study(
        dense, fs.SGD(0.3, momentum=0.5), 30, 1, record=np.arange(31), precision="double"
    )
    losses = fs.run(study, progress=False).data["loss"].values
    theta, velocity, expected = start.copy(), np.zeros(4), []
    for _ in range(31):
        expected.append(0.5 * (theta - minimum) @ matrix @ (theta - minimum))
        velocity = 0.5 * velocity + matrix @ (theta - minimum)
        theta = theta - 0.3 * velocity
    np.testing.assert_allclose(losses, expected, rtol=1e-12)


def test_diagonal_matrix_keeps_its_coordinates():
    quadratic = fs.Quadratic(np.diag([3.0, 1.0, 2.0]), noise=[0.1, 0.2, 0.3], start=[1, 2, 3])
    vector = fs.Quadratic([3.0, 1.0, 2.0], noise=[0.1, 0.2, 0.3], start=[1, 2, 3])
    np.testing.assert_array_equal(quadratic.coordinates(), vector.coordinates())
    np.testing.assert_array_equal(quadratic.start_moments(), vector.start_moments())


def test_noise_kinds():
    h = [4.0, 1.0]
    np.testing.assert_allclose(fs.Quadratic(h, noise="hessian").noise_std, [2.0, 1.0])
    np.testing.assert_allclose(fs.Quadratic(h, noise=0.5).noise_std, [0.5, 0.5])
    np.testing.assert_allclose(fs.Quadratic(h, noise=[0.5, 0.0]).noise_std, [0.5, 0.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"curvature": [1.0, 0.0]}, "curvature .* must be positive"),
        ({"curvature": [1.0, -1.0]}, "curvature .* must be positive"),
        ({"curvature": [1.0, np.nan]}, "curvature .* all finite"),
        ({"curvature": []}, "curvature .* got shape"),
        ({"curvature": 1.0}, "curvature .* got shape"),
        ({"curvature": "steep"}, "curvature = 'steep'"),
        ({"curvature": np.ones((2, 3))}, "curvature .* got shape"),
        ({"curvature": np.ones((2, 2, 2))}, "curvature .* got shape"),
        ({"curvature": [[1.0, 0.2], [0.1, 1.0]]}, "asymmetric"),
        ({"curvature": [[1.0, 2.0], [2.0, 1.0]]}, "smallest eigenvalue is -1"),
        ({"curvature": [1.0], "noise": -0.1}, "noise = -0.1: noise must be at least 0"),
        ({"curvature": [1.0], "noise": np.inf}, "noise = inf: noise must be a finite"),
        ({"curvature": [1.0], "noise": "fisher"}, "noise = 'fisher'"),
        ({"curvature": [1.0], "noise": [1.0, 1.0]}, r"noise .* shape \(1,\), got shape \(2,\)"),
        ({"curvature": [1.0], "start": [1.0, 1.0]}, r"start .* shape \(1,\)"),
        ({"curvature": [1.0], "start": np.nan}, "start = nan"),
        ({"curvature": [1.0], "start": fs.Normal([0.0, 1.0])}, "start.mean"),
        ({"curvature": [1.0], "minimum": "zero"}, "minimum = 'zero'"),
        ({"curvature": ["1.0", "2.0"]}, "curvature = "),
        ({"curvature": np.array([1 + 2j])}, "curvature = "),
        ({"curvature": np.array([True])}, "curvature = "),
        ({"curvature": [10**400]}, "curvature = "),
        ({"curvature": [1.0], "noise": [[1], [1, 2]]}, "noise = "),
        ({"curvature": [1.0], "noise": 10**400}, "noise = "),
        ({"curvature": [[1.0, 0.5], [0.5, 1.0]], "noise": [1.0, 2.0]}, "noise differs"),
        (
            {"curvature": [[1.0, 0.5], [0.5, 1.0]], "start": fs.Normal(0, [1.0, 2.0])},
            "start.std differs",
        ),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.Quadratic(**arguments)


def test_normal_bad_input():
    with pytest.raises(fs.FastschedError, match="std = -1"):
        fs.Normal(0.0, -1.0)
    with pytest.raises(fs.FastschedError, match="mean = inf"):
        fs.Normal(np.inf)
