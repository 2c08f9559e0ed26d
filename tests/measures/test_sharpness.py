"""Curvature at the iterate against NumPy's eigenvalues."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from helpers import bowl

import fastsched as fs
from fastsched.kernels.curvature import eigenvalue_work, largest_eigenvalue
from fastsched.kernels.device import device
from fastsched.kernels.reduce import LANES

from .naive import mean, walk


@device
def product(context, first, last, vector, image):
    for lane in range(first, last):
        for i in range(vector.shape[0]):
            total = 0.0
            for j in range(vector.shape[0]):
                total += context[lane, i, j] * vector[j, lane]
            image[i, lane] = total


@numba.njit
def largest_of(matrices, space, totals):
    largest_eigenvalue(product, matrices, 0, matrices.shape[0], space, totals)


def largest(matrices):
    """Return the largest eigenvalue of each matrix, shape (n, d, d), at most one per lane."""
    dim = matrices.shape[1]
    space = tuple(np.full((work.rows, LANES), np.nan) for work in eigenvalue_work(dim))
    totals = np.full((1, LANES), np.nan)
    largest_of(matrices, space, totals)
    return totals[0, : len(matrices)]


def rotated(values, rng):
    basis = np.linalg.qr(rng.normal(size=(len(values), len(values))))[0]
    return (basis * values) @ basis.T


@pytest.mark.parametrize(
    "values",
    [
        [2.0],
        [-2.0],
        [0.0],
        [1.0, -1.0],
        [-1.0, -1.0, -1.0],
        [-3.0, -2.0, -1.5],
        [1.0, 0.999, -0.9999, -1.0],
        [5.0, 5.0, -5.0, -5.0, 0.0],
        np.linspace(-1, 1, 20),
        1e-8 * np.arange(1, 7),
        1e8 * np.arange(-6, 1),
        np.zeros(4),
    ],
    ids=str,
)
def test_eigenvalue_is_exact_in_few_dimensions(values):
    rng = np.random.default_rng(0)
    matrices = np.array([np.diag(values), *(rotated(values, rng) for _ in range(8))])
    exact = np.max(values)
    np.testing.assert_allclose(largest(matrices), exact, atol=1e-12 * np.max(np.abs(values)))


def test_eigenvalue_in_many_dimensions_is_approached_from_below():
    rng = np.random.default_rng(1)
    matrices = rng.normal(size=(LANES, 80, 80))
    matrices += matrices.transpose(0, 2, 1)
    exact = np.linalg.eigvalsh(matrices)[:, -1]
    error = (exact - largest(matrices)) / exact
    assert np.all(error > -1e-12)
    assert np.all(error < 1e-3)


def test_what_is_not_a_number_stays_so():
    matrices = np.array([np.eye(3), np.full((3, 3), np.nan), np.full((3, 3), np.inf)])
    assert np.isnan(largest(matrices)).tolist() == [False, True, True]


RNG = np.random.default_rng(3)
ROWS = RNG.normal(size=(30, 4)) * [2.0, 1.0, 0.5, 0.2]
LABELS = (ROWS[:, 0] + RNG.normal(size=30) > 0).astype(float)


def data_set(loss):
    return fs.Dataset(ROWS, LABELS, loss, l2=0.1, start=fs.Normal(0.0, 2.0))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["single", "double"])
def test_logistic_regression(precision):
    study = fs.Study(
        data_set("logistic"), fs.SGD(1.0), 20, 40, 3, record=[0, 1, 7, 20],
        measures=fs.Sharpness(), precision=precision,
    )  # fmt: skip
    result = fs.run(study, progress=False)
    thetas = walk(study).theta[study.record_steps]
    hessians = np.array([[study.landscape.hessian(x) for x in row] for row in thetas])
    values = np.linalg.eigvalsh(hessians)
    exact = mean("hessian_trace", values.sum(axis=-1)) | mean("hessian_max", values[..., -1])
    for name, value in exact.items():
        rtol = 1e-4 if precision == "single" else 1e-9
        np.testing.assert_allclose(result[name], value, rtol=rtol, err_msg=name)
    median = np.median(values[..., -1], axis=-1)
    found = result.data["hessian_max_quantile"].sel(quantile=0.5)
    np.testing.assert_allclose(found, median, rtol=0.1)


@pytest.mark.slow
def test_constant_curvature():
    study = fs.Study(data_set("squared"), fs.SGD(0.1), 4, 40, measures=fs.Sharpness())
    data = fs.run(study, progress=False).data
    values = np.linalg.eigvalsh(ROWS.T @ ROWS / len(ROWS) + 0.1 * np.eye(4))
    for name, exact in (("hessian_trace", values.sum()), ("hessian_max", values[-1])):
        np.testing.assert_allclose(data[name], exact, rtol=1e-12)
        np.testing.assert_allclose(data[f"{name}_quantile"], exact, rtol=1e-12)
        np.testing.assert_array_equal(data[f"{name}_se"], 0)


@pytest.mark.slow
def test_double_well_in_one_dimension():
    study = fs.Study(fs.DoubleWell(noise=0.0, start=0.0), fs.SGD(0.1), 4, 16)
    data = fs.run(study.replace(measures=fs.Sharpness()), progress=False).data
    np.testing.assert_array_equal(data["hessian_max"], -1)
    np.testing.assert_array_equal(data["hessian_trace"], -1)


def test_refused_where_the_hessian_is_not_known():
    with pytest.raises(fs.FastschedError, match="Hessian of Custom is not known"):
        fs.Study(bowl(2), fs.SGD(0.1), 4, 4, measures=fs.Sharpness())
