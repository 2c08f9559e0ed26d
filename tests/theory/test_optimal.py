"""Optimal schedules against their defining properties."""

import numpy as np
import pytest
from scipy import special

import fastsched as fs
from fastsched.theory.optimal import (
    _loss_and_gradient,
    chebyshev_rates,
    greedy_schedule,
    optimal_schedule,
    silver_rates,
)


def final_loss(landscape, schedule, steps):
    study = fs.Study(landscape, fs.SGD(schedule), steps, 1, record=[steps])
    return fs.exact(study)["loss"].item()


def test_chebyshev_contraction():
    low, high, steps = 0.1, 2.0, 8
    rates = chebyshev_rates(low, high, steps)
    h = np.linspace(low, high, 4001)
    worst = np.max(np.abs(np.prod(1 - rates[:, None] * h, axis=0)))
    exact = 1 / special.eval_chebyt(steps, (high + low) / (high - low))
    assert worst == pytest.approx(exact, rel=1e-9)


def test_silver_is_built_recursively():
    rates, rho = np.array([np.sqrt(2)]), 1 + np.sqrt(2)
    for k in range(1, 6):
        rates = np.concatenate([rates, [1 + rho ** (k - 1)], rates])
    np.testing.assert_allclose(silver_rates(63), rates, rtol=1e-13)


def test_greedy_is_optimal_in_one_dimension():
    """Then 1/s_t = 1/s_0 + t h^2 / c exactly."""
    h, noise, steps = 0.7, 1.3, 30
    landscape = fs.Quadratic([h] * 3, noise=noise, start=2.0)
    loss = final_loss(landscape, greedy_schedule(landscape, steps), steps)
    exact = 3 * 0.5 * h / (1 / 4 + steps * h**2 / noise**2)
    assert loss == pytest.approx(exact, rel=1e-12)
    best = final_loss(landscape, optimal_schedule(landscape, steps), steps)
    assert best == pytest.approx(exact, rel=1e-7)


def test_greedy_takes_the_best_next_step():
    landscape = fs.Quadratic([1.0, 0.1], noise=[0.5, 0.2], start=[1.0, -2.0])
    rate = greedy_schedule(landscape, 1, batch_size=4).values(1)[0]
    study = fs.Study(landscape, fs.SGD(rate), 1, 1, batch_size=4, record=[1])
    best = fs.exact(study)["loss"].item()
    for factor in (0.99, 1.01):
        other = study.replace(optimizer=fs.SGD(factor * rate))
        assert fs.exact(other)["loss"].item() > best


def test_short_horizon_bias():
    """On a spread spectrum the greedy schedule is much worse than the best at the horizon."""
    steps = 100
    landscape = fs.Quadratic(1 / np.arange(1, 51.0), noise="hessian", start=fs.Normal())
    best = final_loss(landscape, optimal_schedule(landscape, steps), steps)
    assert final_loss(landscape, greedy_schedule(landscape, steps), steps) > 1.2 * best
    for rate in (0.1, 0.3, 1.0):
        for schedule in (fs.Constant(rate), fs.Linear(rate, steps), fs.Cosine(rate, steps)):
            assert final_loss(landscape, schedule, steps) >= best


def test_adjoint():
    rng = np.random.default_rng(3)
    rates, h, start = rng.uniform(0, 1, 7), rng.uniform(0.1, 1, 4), rng.uniform(0, 2, 4)
    noise = rng.uniform(0, 1, (7, 4))
    gradient = _loss_and_gradient(rates, h, start, noise)[1]
    for t in range(7):
        shift = 1e-6 * (np.arange(7) == t)
        above, below = (_loss_and_gradient(rates + s * shift, h, start, noise)[0] for s in (1, -1))
        assert gradient[t] == pytest.approx((above - below) / 2e-6, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: chebyshev_rates(0.0, 1.0, 4), "smallest = 0.0"),
        (lambda: chebyshev_rates(2.0, 1.0, 4), "largest = 1.0"),
        (lambda: silver_rates(4), "steps must be 2\\^k - 1"),
        (lambda: greedy_schedule(fs.Quadratic([1.0]), 3, batch_size=[1, 2]), "batch_size"),
        (lambda: optimal_schedule("valley", 3), "landscape must be a Quadratic"),
    ],
)
def test_bad_parameters(call, message):
    with pytest.raises(fs.FastschedError, match=message):
        call()


@pytest.mark.filterwarnings("error")
def test_rates_that_diverge_are_only_tried():
    """At large batches the search tries rates whose loss overflows."""
    landscape = fs.Quadratic(1 / np.arange(1, 101), noise="hessian", start=fs.Normal())
    schedule = fs.theory.optimal_schedule(landscape, 500, batch_size=256)
    study = fs.Study(landscape, fs.SGD(schedule), 500, 1, batch_size=256, record=[500])
    greedy = study.replace(
        optimizer=fs.SGD(fs.theory.greedy_schedule(landscape, 500, batch_size=256))
    )
    assert fs.exact(study)["loss"][0] < fs.exact(greedy)["loss"][0]
