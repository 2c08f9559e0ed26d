"""Overshoot against the table of the heavy ball, plain iteration and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import fastsched as fs
from fastsched.errors import NoExactTheory
from fastsched.theory import overshoot
from fastsched.theory.overshoot import noise_free_overshoot, overshoot_probability
from fastsched.theory.passage import GaussianChain

TABLE = [
    (0.5, 0.01, 0.0, None),
    (0.5, 0.1, 0.000469, 22),
    (0.5, 0.5, 0.25, 3),
    (0.5, 1.0, 0.5, 2),
    (0.9, 0.01, 0.153156, 35),
    (0.9, 0.1, 0.603717, 9),
    (0.9, 0.5, 0.842, 4),
    (0.9, 1.0, 0.9, 2),
    (0.99, 0.01, 0.85518, 31),
    (0.99, 0.1, 0.957161, 9),
    (0.99, 0.5, 1.038925, 4),
    (0.99, 1.0, 0.99, 2),
]


def study(landscape, optimizer, steps, **options):
    return fs.Study(landscape, optimizer, steps=steps, trajectories=1, **options)


def iterated(mu, a, steps=30_000):
    earlier, x = 1.0, 1 - a
    best, where = (-x, 1) if x < 0 else (0.0, None)
    for t in range(2, steps):
        earlier, x = x, (1 + mu - a) * x - mu * earlier
        if -x > best:
            best, where = -x, t
    return best, where


def simulated(case, n, seed):
    """Return the fraction of `n` trajectories that cross the minimum along axis 0."""
    rng = np.random.default_rng(seed)
    land, optimizer = case.landscape, case.optimizer
    (mean, *_), (std, *_) = land.start_moments()
    minimum, h, sigma = land.origin()[0], land.eigenvalues[0], land.noise_std[0]
    theta = mean + std * rng.standard_normal(n)
    start = theta - minimum
    state = [np.zeros(n)] * optimizer.slots
    values, batch = optimizer.hyperparameters(case.steps), case.batch_sizes()
    crossed = np.zeros(n, bool)
    for t in range(case.steps):
        noise = sigma / math.sqrt(batch[t]) * rng.standard_normal(n)
        gradient = h * (theta - minimum) + noise
        theta, *state = optimizer.reference_step(theta, state, gradient, values, t)
        crossed |= (theta - minimum) * start < 0
    return crossed.mean()


@pytest.mark.parametrize(("mu", "rate", "depth", "step"), TABLE)
def test_table(mu, rate, depth, step):
    result = noise_free_overshoot(mu, rate)
    assert result.depth == pytest.approx(depth, abs=5.1e-7)
    assert result.step == step


def test_all_regimes_by_iteration():
    rng = np.random.default_rng(1)
    regimes = set()
    for _ in range(60):
        mu = rng.uniform(-0.95, 0.99)
        fraction = 10 ** rng.uniform(-3, 0) if rng.random() < 0.5 else rng.random()
        rate = 1.998 * (1 + mu) * fraction
        root = math.sqrt(max(mu, 0))
        regimes.add((mu > 0, int(rate > (1 - root) ** 2) + int(rate > (1 + root) ** 2)))
        depth, step = iterated(mu, rate, 5000)
        result = noise_free_overshoot(mu, rate)
        assert result.depth == pytest.approx(depth, rel=1e-9, abs=1e-12)
        assert result.step == step or depth < 1e-9
    assert len(regimes) == 5


def test_edges_of_the_regimes():
    assert noise_free_overshoot(0.0, 1.0) == (0.0, None)
    assert noise_free_overshoot(0.0, 1.5) == (0.5, 1)
    assert noise_free_overshoot(0.25, 0.25) == (0.0, None)  # critical
    assert noise_free_overshoot(0.25, 2.25) == (1.25, 1)  # critical, alternating
    assert noise_free_overshoot(0.5, 2.95) == pytest.approx(iterated(0.5, 2.95))
    assert noise_free_overshoot(0.5, 2.95).depth > 2
    # Negative momentum passes the minimum late, although 1 - a > 0.
    assert noise_free_overshoot(-0.5, 0.7) == pytest.approx(iterated(-0.5, 0.7))
    assert noise_free_overshoot(-0.5, 0.7).step > 1


@pytest.mark.parametrize(
    ("case", "n"),
    [
        (study(fs.Quadratic([1.0, 0.1], start=2.0), fs.SGD(0.1), 25), 400_000),
        (
            study(fs.Quadratic([1.0], noise=1.5, start=-1.0), fs.SGD(fs.Cosine(0.1, 30)), 30),
            400_000,
        ),
        (
            study(
                fs.Quadratic([2.0], start=fs.Normal(1.0, 1.0), minimum=-0.5),
                fs.SGD(fs.Linear(0.1, 25)),
                25,
                batch_size=4,
            ),
            400_000,
        ),
        (
            study(
                fs.Quadratic([1.0], noise=0.5, start=1.5),
                fs.SGD(fs.Linear(0.1, 15), weight_decay=0.5, decay="constant"),
                5,
            ),
            400_000,
        ),
        (study(fs.Quadratic([1.0], noise=3.0), fs.SGD(0.05, momentum=0.9), 8), 400_000),
        (
            study(
                fs.Quadratic([1.0], noise=0.5, start=fs.Normal(0.5, 1.0), minimum=0.2),
                fs.SGD(
                    fs.Cosine(0.03, 8), 0.9, nesterov=True, weight_decay=0.3, velocity="classical"
                ),
                6,
            ),
            400_000,
        ),
    ],
)
def test_probability_against_simulation(case, n):
    probability = overshoot_probability(case)
    error = math.sqrt(probability * (1 - probability) / n)
    assert 0.05 < probability < 0.95
    assert 0.01 / error > 8
    assert abs(simulated(case, n, 7) - probability) <= 4 * error


@pytest.mark.parametrize(
    ("rate", "start", "steps"), [(0.01, 0.3, 400), (0.3, 2.0, 40), (1.4, 1, 3)]
)
def test_constant_rates_by_the_other_quadrature(rate, start, steps):
    case = study(fs.Quadratic([1.0], start=float(start)), fs.SGD(rate), steps)
    chain = GaussianChain(lambda x: (1 - rate) * x, rate, lower=0.0)
    expected = 1 - chain.survival(steps, start)
    assert overshoot_probability(case) == pytest.approx(float(expected), abs=1e-9)


def test_normal_start_counts_both_sides():
    case = study(fs.Quadratic([1.0], start=fs.Normal(0.4, 0.7)), fs.SGD(0.3), 10)
    chain = GaussianChain(lambda x: 0.7 * x, 0.3, lower=0.0)
    nodes, weights = np.polynomial.legendre.leggauss(50)
    x = 3.0 * (1 + nodes)
    weights = 3.0 * weights * (stats.norm.pdf(x, 0.4, 0.7) + stats.norm.pdf(x, -0.4, 0.7))
    stay = weights @ [float(chain.survival(10, point)) for point in x]
    assert overshoot_probability(case) == pytest.approx(1 - stay, abs=1e-10)


def test_one_step_by_the_normal_distribution():
    case = study(fs.Quadratic([2.0], noise=0.5, start=-1.0), fs.SGD(0.1), 10, batch_size=4)
    expected = stats.norm.sf(0.8 / (0.1 * 0.25))
    assert overshoot_probability(case, steps=1) == pytest.approx(expected, abs=1e-12)
    heavy = study(fs.Quadratic([2.0], noise=9.0, start=-1.0), fs.SGD(0.1, 0.5), 10, batch_size=4)
    expected = stats.norm.sf(0.8 / 0.45)
    assert overshoot_probability(heavy, steps=1) == pytest.approx(expected, abs=1e-9)


def test_momentum_agrees_with_sgd_where_it_vanishes():
    land = fs.Quadratic([1.0], noise=2.0, start=1.0)
    plain = overshoot_probability(study(land, fs.SGD(0.1), 10))
    heavy = overshoot_probability(study(land, fs.SGD(0.1, fs.Constant(0.0)), 10))
    assert heavy == pytest.approx(plain, abs=5e-6)


def test_decaying_rates_down_to_nothing(monkeypatch):
    case = study(fs.Quadratic([1.0], noise=1.0), fs.SGD(fs.Cosine(0.1, 40)), 40)
    probability = overshoot_probability(case)
    # Coarser panels change no more than they should; a fault of the weights does.
    monkeypatch.setattr(overshoot, "_RESOLVED", 1e-8)
    coarse = overshoot_probability(case)
    assert coarse == pytest.approx(probability, abs=1e-7)
    assert coarse != pytest.approx(probability, abs=1e-13)
    monkeypatch.setattr(overshoot, "_FINE_WEIGHTS", overshoot._FINE_WEIGHTS * 0.9999)
    assert overshoot_probability(case) != pytest.approx(probability, abs=1e-3)


def test_noise_free_trajectories():
    land = fs.Quadratic([1.0], noise=0.0, start=-2.0)
    assert overshoot_probability(study(land, fs.SGD(0.5), 50)) == 0.0
    assert overshoot_probability(study(land, fs.SGD(1.5), 50)) == 1.0
    heavy = study(land, fs.SGD(0.1, momentum=0.9), 50)
    first = next(t for t in range(1, 50) if overshoot_probability(heavy, steps=t) == 1.0)
    assert first < noise_free_overshoot(0.9, 0.1).step
    spread = fs.Quadratic([1.0], noise=0.0, start=fs.Normal())
    assert overshoot_probability(study(spread, fs.SGD(0.1, momentum=0.9), 50)) == 1.0


def test_probability_along_an_eigenvector():
    turn = stats.ortho_group.rvs(2, random_state=3)
    matrix = turn @ np.diag([0.2, 1.0]) @ turn.T
    turned = fs.Quadratic((matrix + matrix.T) / 2, noise=0.7, start=[1.0, -0.4])
    start = turned.to_eigenbasis(turned.start)
    straight = fs.Quadratic([0.2, 1.0], noise=0.7, start=start)
    for axis in (0, 1):
        expected = overshoot_probability(study(straight, fs.SGD(0.2), 15), axis)
        assert overshoot_probability(study(turned, fs.SGD(0.2), 15), axis) == pytest.approx(
            expected
        )


BASE = study(fs.Quadratic([1.0, 2.0]), fs.SGD(0.1), 30)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: noise_free_overshoot(1.0, 0.1), r"momentum = 1.0: .* \(-1, 1\)"),
        (lambda: noise_free_overshoot(0.5, 0.0), "rate = 0.0: .* greater than 0"),
        (lambda: noise_free_overshoot(0.5, 3.0), r"rate = 3.0: .* less than .* = 3"),
        (lambda: overshoot_probability("study"), "study = 'study': .* Study"),
        (lambda: overshoot_probability(BASE, axis=2), "axis = 2: .* at most 1"),
        (lambda: overshoot_probability(BASE, steps=31), "steps = 31: .* at most 30"),
        (lambda: overshoot_probability(BASE, steps=0), "steps = 0: .* at least 1"),
        (
            lambda: overshoot_probability(study(fs.Quadratic([1.0], start=0.0), fs.SGD(0.1), 5)),
            "axis = 0 is at the minimum",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(fs.FastschedError, match=message):
        call()


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (study(fs.Quadratic([1.0]), fs.SGD(0.1, momentum=0.9), 26), "up to 25 steps"),
        (
            study(fs.Quadratic([1.0], minimum=0.5), fs.SGD(0.1, weight_decay=0.1), 5),
            "pulls away from the minimum",
        ),
        (
            study(
                fs.Quadratic([1.0], noise=0.0, start=fs.Normal(), minimum=0.5),
                fs.SGD(0.1, weight_decay=0.1),
                5,
            ),
            "without gradient noise",
        ),
    ],
)
def test_limits_of_the_theory(case, message):
    with pytest.raises(NoExactTheory, match=message):
        overshoot_probability(case)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-140, 1e140])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_probabilities_do_not_depend_on_the_unit(scale, momentum):
    found = []
    for unit in (1.0, scale):
        landscape = fs.Quadratic([1.0], noise=unit, start=fs.Normal(0.5 * unit, unit))
        study = fs.Study(landscape, fs.SGD(0.1, momentum), 8, 1)
        found.append(overshoot_probability(study, progress=False))
    assert found[1] == pytest.approx(found[0], abs=3e-6 if momentum else 1e-12)


@pytest.mark.filterwarnings("error")
def test_trajectories_that_leave_the_range_of_doubles():
    study = fs.Study(fs.Quadratic([1.0]), fs.SGD(10.0), 2000, 1)
    with pytest.raises(fs.NoExactTheory, match="leaves the range"):
        overshoot_probability(study)
