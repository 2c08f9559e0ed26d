"""Optimal schedules against their defining properties."""

import numpy as np
import pytest
from scipy import special

import fastsched as fs
from fastsched.theory.horizon import Horizon
from fastsched.theory.optimal import (
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


def naive_loss_and_gradient(rates, h, start, noise):
    """The adjoint of the whole path; noise has the shape (steps, d)."""
    path = [start]
    for rate, c in zip(rates, noise, strict=True):
        path.append((1 - rate * h) ** 2 * path[-1] + rate**2 * c)
    adjoint, gradient = h / 2, np.empty(len(rates))
    for t in range(len(rates) - 1, -1, -1):
        keep = 1 - rates[t] * h
        gradient[t] = np.sum(2 * adjoint * (rates[t] * noise[t] - keep * h * path[t]))
        adjoint = adjoint * keep**2
    return np.sum(h * path[-1]) / 2, gradient


def random_problem(steps, dim, sizes):
    rng = np.random.default_rng(3)
    h, start, noise = rng.uniform(0.1, 1, dim), rng.uniform(0, 2, dim), rng.uniform(0, 1, dim)
    landscape = fs.Quadratic(h, noise=noise, start=start)
    return rng.uniform(0, 1, steps), Horizon.of(landscape, steps, sizes)


@pytest.mark.parametrize("steps", [1, 2, 7, 9, 50])
@pytest.mark.parametrize("dim", [1, 4, 64, 65, 300])
def test_adjoint(steps, dim):
    sizes = np.arange(1, steps + 1)
    rates, problem = random_problem(steps, dim, sizes)
    loss, gradient = problem.loss_and_gradient(rates)
    exact = naive_loss_and_gradient(
        rates, problem.curvature, problem.start, problem.noise / sizes[:, None]
    )
    assert loss == pytest.approx(exact[0], rel=1e-13)
    np.testing.assert_allclose(gradient, exact[1], rtol=1e-10, atol=1e-12 * abs(exact[1]).max())


def test_adjoint_against_differences():
    rates, problem = random_problem(7, 4, [1, 2, 3, 4, 3, 2, 1])
    gradient = problem.loss_and_gradient(rates)[1]
    for t in range(7):
        shift = 1e-6 * (np.arange(7) == t)
        above, below = (problem.loss_and_gradient(rates + s * shift)[0] for s in (1, -1))
        assert gradient[t] == pytest.approx((above - below) / 2e-6, rel=1e-6, abs=1e-9)


def test_the_bits_do_not_depend_on_the_number_of_threads(monkeypatch):
    import numba

    from fastsched.theory import horizon

    monkeypatch.setattr(horizon, "_SMALLEST_CALL", 1)
    rates, problem = random_problem(20, 1000, 1)
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(numba, "get_num_threads", lambda threads=threads: threads)
        found.append(problem.loss_and_gradient(rates))
    for loss, gradient in found[1:]:
        assert loss == found[0][0]
        np.testing.assert_array_equal(gradient, found[0][1])


def test_memory_does_not_grow_with_steps_times_coordinates():
    import tracemalloc

    rates, problem = random_problem(2000, 2000, 1)
    problem.loss_and_gradient(rates)
    tracemalloc.start()
    problem.loss_and_gradient(rates)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21  # a path takes 30 MiB


def test_memory_is_checked_before_the_start(monkeypatch):
    from fastsched import memory

    # Windows has no sysconf.
    monkeypatch.setattr(memory.os, "sysconf", lambda name: 1000, raising=False)
    with pytest.raises(fs.FastschedError, match="lower steps"):
        optimal_schedule(fs.Quadratic([1.0]), 100_000)


def test_ctrl_c_keeps_the_best_so_far(monkeypatch):
    landscape = fs.Quadratic(1 / np.arange(1, 51.0), noise="hessian", start=fs.Normal())
    evaluate, count = Horizon.loss_and_gradient, []

    def interrupted(self, rates):
        count.append(rates)
        if len(count) == 20:
            raise KeyboardInterrupt
        return evaluate(self, rates)

    monkeypatch.setattr(Horizon, "loss_and_gradient", interrupted)
    with pytest.warns(RuntimeWarning, match="interrupted after 19 evaluations"):
        schedule = optimal_schedule(landscape, 100, progress=False)
    greedy = final_loss(landscape, greedy_schedule(landscape, 100), 100)
    assert final_loss(landscape, schedule, 100) < greedy
    del count[:]
    count.extend([None] * 19)
    with pytest.raises(KeyboardInterrupt):
        optimal_schedule(landscape, 100, progress=False)


def test_progress_tells_evaluations_and_loss():
    from fastsched.progress import Bar, part_of

    done = []
    with part_of(Bar(done.append, lambda words: None), 1.0):
        optimal_schedule(fs.Quadratic([1.0, 0.1]), 20)
    assert sum(done) == pytest.approx(1.0)
    assert min(done) >= 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-140, 1e-70, 1e70, 1e140])
@pytest.mark.parametrize("schedule", [greedy_schedule, optimal_schedule])
def test_rates_scale(schedule, scale):
    """With the inverse curvature; and not with the loss."""
    h = np.array([1.0, 0.3])
    rates = schedule(fs.Quadratic(h, noise=h, start=2.0), 5).values(5)
    for curvature, length in ((scale, 1.0), (1.0, scale)):
        landscape = fs.Quadratic(curvature * h, noise=curvature * length * h, start=2 * length)
        np.testing.assert_allclose(schedule(landscape, 5).values(5) * curvature, rates, rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_rates_after_the_minimum_is_reached():
    for schedule in (greedy_schedule, optimal_schedule):
        landscape = fs.Quadratic([1.0], noise=0.0)
        assert np.isfinite(schedule(landscape, 3).values(3)).all()
        assert final_loss(landscape, schedule(landscape, 3), 3) < 1e-12


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
