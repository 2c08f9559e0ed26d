"""Laws of decaying rates and of power-law features, against products and matrices."""

import numpy as np
import pytest

import fastsched as fs
from fastsched.theory.power_law import (
    compute_optimal_exponents,
    decay_shrinkage,
    inverse_time_factor,
    residual_risk,
)


@pytest.mark.parametrize("product", [0.3, 1.0, 1.5, 2.0, 2.5, 4.0, 7.3])
@pytest.mark.parametrize("beta", [1.0, 2.5, 4.0])
@pytest.mark.parametrize("steps", [1, 2, 100])
def test_inverse_time_factor(product, beta, steps):
    rates = fs.InverseTime(2.0, beta).values(steps)
    exact = np.prod(1 - product / 2 * rates)
    assert inverse_time_factor(2.0, beta, product / 2, steps) == pytest.approx(
        exact, rel=1e-11, abs=1e-15
    )


@pytest.mark.parametrize(
    ("alpha", "golden", "limit"),
    [
        (0.75, [1.008795, 1.090030, 1.114150, 1.121591], 1.125),
        (2.0, [1.322095, 1.332201, 1.333220, 1.333322], 4 / 3),
    ],
)
def test_robbins_monro_limits(alpha, golden, limit):
    """n E x_n^2 -> a^2 c / (2 a h - 1), with h = c = 1, b = 10 and x_0 = 1."""
    n = np.array([10**3, 10**4, 10**5, 10**6])
    study = fs.Study(
        fs.Quadratic([1.0], noise=1.0, start=0.0),
        fs.SGD(fs.InverseTime(alpha, 10.0)),
        n[-1],
        1,
        record=n,
        measures=fs.Loss(()),
    )
    variance = 2 * fs.exact(study)["loss"].values
    transient = np.array([inverse_time_factor(alpha, 10.0, 1.0, k) ** 2 for k in n])
    found = np.array([n * variance, n * (variance + transient)])
    assert np.min(np.abs(found - golden).max(axis=1)) < 1e-6
    assert found[0][-1] == pytest.approx(limit, rel=4e-3)


SCHEDULES = {
    "constant": (lambda steps: 0.01, 0.9047921471, 4.51733e-5),
    "linear": (lambda steps: fs.Linear(0.01, steps), 0.9507378363, 0.0067233566),
    "cosine": (lambda steps: fs.Cosine(0.01, steps), 0.9507358545, 0.0067219547),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_decay_shrinkage(name):
    make, short, long = SCHEDULES[name]
    for steps, exact in ((100, short), (10_000, long)):
        optimizer = fs.SGD(make(steps), weight_decay=0.1, decay="lr")
        assert decay_shrinkage(optimizer, steps) == pytest.approx(exact, rel=2e-6)


def test_compute_optimal_exponents():
    assert compute_optimal_exponents(1.0, 0.75) == ("II", -2.5 / 3.5, 0.75 / 1.75)
    assert compute_optimal_exponents(1.0, 2.0) == ("III", -0.75, 0.5)
    assert compute_optimal_exponents(0.4, 0.3).phase == "Ib"
    assert compute_optimal_exponents(0.4, 0.7) == ("IVa", -0.4, 0.5)
    phase, loss, size = compute_optimal_exponents(1.0, 0.25)
    assert (phase, size) == ("Ia", 1 / 3)
    assert loss == pytest.approx(-2 / 3 * 0.75)
    # The risk is continuous across the borders.
    for alpha, beta, step in ((0.8, 0.5, (0, 1e-9)), (0.8, 0.8, (0, 1e-9))):
        sides = [
            compute_optimal_exponents(alpha + s * step[0], beta + s * step[1]).loss for s in (-1, 1)
        ]
        assert sides[0] == pytest.approx(sides[1], abs=1e-8)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.3), (0.8, 0.7)])
def test_residual_risk_of_drawn_features(alpha, beta):
    inputs, features = 600, 100
    rng = np.random.default_rng(0)
    j = np.arange(1, inputs + 1.0)
    root, target = j**-alpha, j**-beta
    drawn = []
    for _ in range(20):
        weights = rng.normal(size=(inputs, features)) / np.sqrt(features)
        theta = np.linalg.lstsq(root[:, None] * weights, root * target, rcond=None)[0]
        drawn.append(0.5 * np.sum((root * (target - weights @ theta)) ** 2))
    assert np.mean(drawn) == pytest.approx(residual_risk(alpha, beta, inputs, features), rel=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compute_optimal_exponents(0.2, 0.1), "beta = 0.1"),
        (lambda: residual_risk(1.0, 0.5, 100, 100), "features = 100"),
        (lambda: inverse_time_factor(1.0, 0.0, 1.0, 3), "beta = 0.0"),
        (
            lambda: decay_shrinkage(fs.SGD(0.1, weight_decay=0.1), 10),
            "must be SGD or AdamW with",
        ),
    ],
)
def test_bad_parameters(call, message):
    with pytest.raises(fs.FastschedError, match=message):
        call()


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.7), (0.8, 0.8), (0.2, 0.8)])
def test_no_exponents(alpha, beta):
    with pytest.raises(fs.NoExactTheory, match="inside the phases"):
        compute_optimal_exponents(alpha, beta)


@pytest.mark.filterwarnings("error")
def test_factors_beyond_the_range_of_doubles():
    assert inverse_time_factor(2000.5, 0.3, 1.0, 400) == np.inf
    assert inverse_time_factor(1e200, 1.0, 1e200, 3) == -np.inf
    assert inverse_time_factor(1e20, 1.0, 1.0, 100) == np.inf
