"""The law of the loss, against chi-square laws, Imhof's integral and each other's tails."""

import numpy as np
import pytest
from scipy import integrate, stats

import fastsched as fs
from fastsched.theory.law import LossLaw

ORDERS = np.array([1e-12, 1e-6, 0.001, 0.05, 0.25, 0.5, 0.75, 0.95, 0.999, 1 - 1e-9])


@pytest.mark.parametrize("dim", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("mean", [0.0, 0.3, 3.0, 30.0])
@pytest.mark.parametrize("scale", [1e-8, 1.0])
def test_equal_weights_are_chi_square(dim, mean, scale):
    law = LossLaw(np.full(dim, 2 * scale), np.full(dim, mean), np.ones(dim))
    exact = stats.ncx2(dim, dim * mean**2, scale=scale) if mean else stats.chi2(dim, scale=scale)
    x = law.quantile(ORDERS)
    # The smaller of both tails, to many digits of its own.
    np.testing.assert_allclose(law.cdf(x)[:5], ORDERS[:5], rtol=1e-9)
    np.testing.assert_allclose(law.sf(x)[6:], 1 - ORDERS[6:], rtol=1e-9)
    assert law.mean == pytest.approx(exact.mean(), rel=1e-12)
    assert law.std == pytest.approx(exact.std(), rel=1e-12)
    inner = x[2:9]
    tolerance = 1e-10 if mean == 0 else 2e-8  # scipy's noncentral law has eight digits
    np.testing.assert_allclose(law.cdf(inner), exact.cdf(inner), rtol=tolerance)
    np.testing.assert_allclose(law.pdf(inner), exact.pdf(inner), rtol=10 * tolerance)


def imhof(law_w, law_b, x):
    """Imhof 1961, eq. 3.2, by brute force; weights w, noncentral parts b = w delta^2."""

    def integrand(u):
        y = law_w * u
        theta = 0.5 * np.sum(np.arctan(y) + (law_b / law_w) * y / (1 + y**2)) - 0.5 * x * u
        rho = np.prod((1 + y**2) ** 0.25) * np.exp(0.5 * np.sum(law_b * law_w * u**2 / (1 + y**2)))
        return np.sin(theta) / (u * rho)

    value, _ = integrate.quad(integrand, 0, np.inf, limit=2000, epsabs=1e-11)
    return 0.5 - value / np.pi


def test_against_imhofs_integral():
    rng = np.random.default_rng(2)
    h, m, s = np.exp(rng.normal(size=8)), rng.normal(size=8), rng.uniform(0.2, 2, 8)
    law = LossLaw(h, m, s)
    for x in law.quantile([0.01, 0.3, 0.7, 0.99]):
        exact = imhof(h * s / 2, h * m**2 / 2, x)
        assert law.cdf(x) == pytest.approx(exact, abs=1e-8)


def test_both_tails_agree():
    """The contours on both sides of the pole are different computations."""
    rng = np.random.default_rng(5)
    for dim in (1, 4, 30):
        law = LossLaw(
            np.exp(rng.normal(0, 2, dim)), rng.normal(size=dim), np.exp(rng.normal(0, 2, dim))
        )
        x = law.mean * np.array([1 - 1e-9, 1 + 1e-9])
        below, above = law.cdf(x)
        assert above - below == pytest.approx(2e-9 * law.mean * law.pdf(law.mean), abs=1e-12)


def test_near_gaussian_quantiles_converge():
    """A start at the root, where Newton's first step is nothing, once went astray."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        dim = int(rng.integers(1, 80))
        law = LossLaw(np.ones(dim), rng.normal(size=dim), np.full(dim, 1e-4))
        x = law.quantile([0.05, 0.5, 0.95])
        np.testing.assert_allclose(law.cdf(x), [0.05, 0.5, 0.95], rtol=1e-9)


def test_constant_parts():
    law = LossLaw([1.0, 2.0], [0.0, 3.0], [1.0, 0.0])
    np.testing.assert_allclose(law.quantile(0.5), 9 + stats.chi2.ppf(0.5, 1) / 2, rtol=1e-12)
    assert law.cdf(8.9) == 0
    fixed = LossLaw([2.0], [3.0], [0.0])
    assert fixed.quantile(0.3) == 9
    assert fixed.cdf([8.0, 9.0]).tolist() == [0, 1]
    assert np.isnan(fixed.pdf(9.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [0.0, 1.0], [1.0]), "mean .* of the curvature's shape"),
        (([1.0], [0.0], [-1.0]), "variance .* at least 0"),
        (([np.nan], [0.0], [1.0]), "curvature"),
    ],
)
def test_bad_parameters(arguments, message):
    with pytest.raises(fs.FastschedError, match=message):
        LossLaw(*arguments)


def test_bad_orders():
    with pytest.raises(fs.FastschedError, match="order"):
        LossLaw([1.0], [0.0], [1.0]).quantile([0.5, 1.0])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-290, 1e-200, 1e-100, 1e-30, 1e30, 1e100, 1e200, 1e290])
def test_laws_scale(scale):
    """Whether curvatures or displacements are scaled."""
    h, m, v = np.array([1.0, 0.1, 3.0, 0.5]), np.array([0.0, 2.0, -0.3, 7.0]), np.ones(4)
    v[2] = 0
    law, orders = LossLaw(h, m, v), ORDERS[[0, 3, 5, 7, 9]]
    x = law.quantile(orders)
    for scaled in (LossLaw(scale * h, m, v), LossLaw(h, scale**0.5 * m, scale * v)):
        np.testing.assert_allclose(scaled.quantile(orders), scale * x, rtol=1e-12)
        assert scaled.mean == pytest.approx(scale * law.mean, rel=1e-12)
        assert scaled.std == pytest.approx(scale * law.std, rel=1e-12)
        np.testing.assert_allclose(scaled.cdf(scale * x), law.cdf(x), rtol=1e-9)
        np.testing.assert_allclose(scaled.pdf(scale * x) * scale, law.pdf(x), rtol=1e-9)


@pytest.mark.filterwarnings("error")
def test_products_beyond_the_range_of_doubles():
    """Factors may leave the range of doubles where their products do not, and the reverse."""
    law = LossLaw([2e-250], [0.0], [1e300])
    np.testing.assert_allclose(law.quantile(0.5), 1e50 * stats.chi2.ppf(0.5, 1), rtol=1e-12)
    fixed = LossLaw([2e-250], [1e200], [0.0])
    assert fixed.quantile(0.5) == pytest.approx(1e150, rel=1e-12)
    infinite = LossLaw([1e200, 1.0], [1.0, 0.0], [1e200, 1.0])
    assert infinite.mean == infinite.std == infinite.quantile(0.5) == np.inf
    assert infinite.cdf(1e300) < 1e-40
    nothing = LossLaw([1e-200], [1e-200], [1e-200])
    assert nothing.mean == nothing.quantile(0.5) == 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("variance", [1e-15, 1e-25, 1e-60, 1e-200, 1e-300])
def test_laws_that_are_almost_constant(variance):
    law = LossLaw([2.0, 1.0], [1.0, 0.0], [variance, variance])
    orders = np.array([0.05, 0.5, 0.95])
    std = 2 * np.sqrt(variance)
    np.testing.assert_allclose(law.std, std, rtol=1e-6)
    x = law.quantile(orders)
    np.testing.assert_allclose(x, 1 + std * stats.norm.ppf(orders), rtol=1e-12)
    if std > 1e-10:
        np.testing.assert_allclose((x - 1) / std, stats.norm.ppf(orders), atol=1e-4)
