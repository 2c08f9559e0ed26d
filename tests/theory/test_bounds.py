"""The worst-case bound: golden values, its naive sums, and problems that must obey it."""

import numpy as np
import pytest

import fastsched as fs
from fastsched.theory.bounds import last_iterate_bound, tuned_bound

T = 100
GOLDEN = {
    "constant": (fs.Constant(1.0), 0.04023444, 0.24854331),
    "WSD(.2)": (fs.WSD(1.0, T, decay=20), 0.04954420, 0.22302758),
    "WSD(.5)": (fs.WSD(1.0, T, decay=50), 0.06376312, 0.20772247),
    "linear": (fs.Linear(1.0, T), 0.09725521, 0.20360842),
    "cosine": (fs.Cosine(1.0, T), 0.09469451, 0.20911435),
    "1/sqrt": (fs.InverseSqrt(1.0), 0.23874950, 0.22531359),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values(name):
    schedule, scale, bound = GOLDEN[name]
    found = tuned_bound(schedule.values(T))
    assert found.scale == pytest.approx(scale, abs=6e-9)
    assert found.bound == pytest.approx(bound, abs=6e-9)
    assert last_iterate_bound(found.scale * schedule.values(T)) == pytest.approx(
        found.bound, rel=1e-12
    )


def test_against_the_double_sum():
    rng = np.random.default_rng(0)
    eta, norms, distance = rng.uniform(0.1, 1, 40), rng.uniform(0.5, 2, 40), 1.7
    energy, total = (eta * norms) ** 2, np.sum(eta)
    naive = (distance**2 + np.sum(energy)) / (2 * total)
    for k in range(39):
        naive += 0.5 * eta[k] / np.sum(eta[k + 1 :]) * np.sum(energy[k:]) / np.sum(eta[k:])
    assert last_iterate_bound(eta, distance, norms) == pytest.approx(naive, rel=1e-12)


def test_linear_decay_is_the_best_of_the_zoo():
    assert min(GOLDEN, key=lambda name: tuned_bound(GOLDEN[name][0].values(T)).bound) == "linear"


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("problem", ["absolute value", "quadratic"])
def test_convex_problems_obey_it(name, problem):
    """The measured gradient norms and starting distance bound the measured loss."""
    rng = np.random.default_rng(1)
    rates = 0.3 * GOLDEN[name][0].values(T)
    h = np.array([1.0, 0.3, 0.05])
    x = np.full((2000, 3), 1.5)
    norms = np.empty(T)
    for t in range(T):
        loss = np.sum(np.abs(x), axis=1) if problem == "absolute value" else 0.5 * x**2 @ h
        gradient = np.sign(x) if problem == "absolute value" else h * x
        gradient = gradient + 0.5 * rng.normal(size=x.shape)
        norms[t] = np.sqrt(np.mean(np.sum(gradient**2, axis=1)))
        x = x - rates[t] * gradient
    assert np.mean(loss) <= last_iterate_bound(rates, np.sqrt(3 * 1.5**2), norms)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.1, -0.1, 0.1],), "rates must be at least 0"),
        (([0.1, 0.0],), "and the last positive"),
        (([0.1], 0.0), "distance = 0.0"),
        (([0.1, 0.2], 1.0, [1.0, 2.0, 3.0]), "gradient_norms"),
    ],
)
def test_bad_parameters(arguments, message):
    with pytest.raises(fs.FastschedError, match=message):
        last_iterate_bound(*arguments)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-290, 1e-150, 1e150, 1e290])
def test_bounds_scale(scale):
    rates = np.linspace(1, 0.1, 20)
    bound, best = last_iterate_bound(rates, 2.0, 3.0), tuned_bound(rates, 2.0, 3.0)
    # With distance and norms to the power 1/2 each, or with distance and rates.
    root = scale**0.5
    assert last_iterate_bound(rates, 2 * root, 3 * root) == pytest.approx(scale * bound, rel=1e-12)
    assert last_iterate_bound(scale * rates, 2 * scale, 3.0) == pytest.approx(
        scale * bound, rel=1e-12
    )
    tuned = tuned_bound(scale * rates, 2.0, 3.0)
    assert tuned.scale == pytest.approx(best.scale / scale, rel=1e-12)
    assert tuned.bound == pytest.approx(best.bound, rel=1e-12)
    assert last_iterate_bound(rates, 1e300) == np.inf
