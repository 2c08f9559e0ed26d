"""First-passage laws against golden values, control charts, closed forms and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

import fastsched as fs
from fastsched.errors import NoExactTheory
from fastsched.theory import passage
from fastsched.theory.chains import (
    RadialChain,
    double_well_chain,
    quadratic_chain,
)
from fastsched.theory.escape import (
    boundary_shift,
    eyring_kramers_time,
    kramers_time,
    sde_passage_time,
)
from fastsched.theory.passage import (
    GaussianChain,
)

# Average run lengths of two-sided charts of exponentially weighted averages, by the shift of the
# mean in standard deviations (Lucas & Saccucci, Technometrics 32 (1990) 1): weight, limit, lengths.
CHARTS = [
    (0.40, 3.054, {0.0: 500, 0.25: 224, 0.5: 71.2, 1.0: 14.3, 2.0: 3.5, 3.0: 2.0}),
    (0.25, 2.998, {0.0: 500, 0.25: 170, 0.5: 48.2, 1.0: 11.1, 2.0: 3.6, 3.0: 2.3}),
    (0.10, 2.814, {0.0: 500, 0.25: 106, 0.5: 31.3, 1.0: 10.3, 2.0: 4.4, 3.0: 2.9}),
    (0.05, 2.615, {0.0: 500, 0.25: 84.1, 0.5: 28.8, 1.0: 11.4, 2.0: 5.2, 3.0: 3.5}),
]


def well(x):
    return x**4 / 4 - x**2 / 2


def simulated_exits(step, alive, start, seed):
    """Return the exit times of all walkers: `step(x, normals)`, `alive(x)`."""
    rng = np.random.default_rng(seed)
    x, index = start.copy(), np.arange(len(start))
    times, t = np.zeros(len(start)), 0
    while len(index):
        x, t = step(x, rng.standard_normal(x.shape)), t + 1
        inside = alive(x)
        times[index[~inside]] = t
        x, index = x[inside], index[inside]
    return times


def z_score(times, mean):
    return (times.mean() - mean) / (times.std() / math.sqrt(len(times)))


def test_golden_values_of_the_double_well():
    root = math.sqrt(2)
    for level, time in [(1.0, 649.716), (0.0, 356.692)]:
        chain = double_well_chain(0.1, root, level)
        assert chain.mean_passage_time(-1.0) == pytest.approx(time, abs=5e-4)
    relaxation = double_well_chain(0.1, root).relaxation_rate()
    assert 2 * 0.1 / relaxation == pytest.approx(57.4225, abs=5e-5)
    assert sde_passage_time(well, -1.0, 1.0, 0.1) == pytest.approx(66.27, abs=5e-3)
    assert kramers_time(2.0, -1.0, 0.25, 0.1) == pytest.approx(54.13, abs=5e-3)


def test_another_quadrature_gives_the_same_mean():
    lr, std = 0.1, 0.1 * math.sqrt(2)
    x = np.arange(-3.0, 1.0, 0.002) + 0.001  # midpoints up to the level
    kernel = stats.norm.pdf(x, (x - lr * (x**3 - x))[:, None], std) * 0.002
    times = np.linalg.solve(np.eye(len(x)) - kernel, np.ones(len(x)))
    expected = 1 + stats.norm.pdf(x, -1.0, std) * 0.002 @ times
    chain = double_well_chain(lr, math.sqrt(2), 1.0)
    assert chain.mean_passage_time(-1.0) == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize(("weight", "limit", "lengths"), CHARTS)
def test_published_run_lengths_of_control_charts(weight, limit, lengths):
    radius = limit * math.sqrt(weight / (2 - weight))
    for shift, length in lengths.items():
        chain = GaussianChain(
            lambda x, shift=shift: (1 - weight) * x + weight * shift, weight, -radius, radius
        )
        unit = 1 if length >= 100 else 0.1
        # As far as the table's own discretisation and rounding go.
        allowed = 0.002 * length + 0.5 * unit
        assert chain.mean_passage_time(0.0) == pytest.approx(length, abs=allowed)
    chart = quadratic_chain(weight / 4, 4.0, 8.0, 2 * radius)
    assert chart.mean_passage_time(0.0) == pytest.approx(500, abs=1.5)


def test_mean_and_survival_against_simulation():
    n = 150_000
    chain = double_well_chain(0.2, 2.0, 0.5)
    mean = chain.mean_passage_time(-1.0)
    times = simulated_exits(
        lambda x, xi: x - 0.2 * (x**3 - x + 2.0 * xi), lambda x: x < 0.5, np.full(n, -1.0), 1
    )
    z = z_score(times, mean)
    assert abs(z) <= 4
    assert 0.01 * mean / (times.std() / math.sqrt(n)) > 3.5  # what 1 % would weigh
    steps = np.array([1, 2, 5, 20, 80])
    survival = chain.survival(steps, -1.0)
    observed = (times[:, None] > steps).mean(axis=0)
    errors = np.sqrt(survival * (1 - survival) / n)
    assert np.max(np.abs(observed - survival) / np.maximum(errors, 1e-9)) <= 4.5


def test_jumps_of_drift_and_noise_against_simulation():
    def drift(x):
        return np.where(x > 0.3, 0.5 * x, 0.9 * x + 0.1)

    def std(x):
        return np.where(x < -0.2, 0.6, 0.4)

    chain = GaussianChain(drift, std, -1.0, 1.0, breaks=(0.3, -0.2))
    mean = chain.mean_passage_time(0.0)
    times = simulated_exits(
        lambda x, xi: drift(x) + std(x) * xi, lambda x: np.abs(x) <= 1, np.zeros(700_000), 2
    )
    assert abs(z_score(times, mean)) <= 4
    assert 0.01 * mean / (times.std() / math.sqrt(len(times))) > 8
    with pytest.raises(NoExactTheory, match="breaks lacks a kink or jump"):
        GaussianChain(drift, lambda x: 0.3 * std(x), -1.0, 1.0).mean_passage_time(0.0)


def test_ball_against_simulation():
    chain = RadialChain(0.8, 0.5, 5, 2.0)
    start = np.zeros((600_000, 5))
    start[:, 0] = 1.0
    times = simulated_exits(
        lambda x, xi: 0.8 * x + 0.5 * xi, lambda x: np.sum(x**2, axis=1) <= 4, start, 3
    )
    mean = chain.mean_passage_time(1.0)
    assert abs(z_score(times, mean)) <= 4
    assert 0.01 * mean / (times.std() / math.sqrt(len(times))) > 7


def test_ball_in_one_dimension_is_the_interval():
    ball, interval = RadialChain(0.9, 0.1, 1, 0.4), quadratic_chain(0.1, 1.0, 1.0, 0.4)
    for start in (0.0, 0.1, 0.39):
        expected = interval.mean_passage_time(start)
        assert ball.mean_passage_time(start) == pytest.approx(expected, rel=1e-9)
    steps = np.array([[0, 1], [7, 300]])
    np.testing.assert_allclose(ball.survival(steps, 0.2), interval.survival(steps, -0.2), rtol=1e-9)
    assert ball.decay_rate() == pytest.approx(interval.decay_rate(), rel=1e-9)


@pytest.mark.parametrize("dim", [1, 2, 3, 30, 300, 1000])
def test_radial_density_is_the_noncentral_chi_law(dim):
    x = np.array([0.0, 0.3, 2.0]) * math.sqrt(dim)
    chain = RadialChain(0.9, 0.5, dim, 4.0 * math.sqrt(dim))
    # One step inside: P(|x'| < radius) where the radius matters.
    for radius in (0.5, 1.0, 2.0):
        chain = RadialChain(0.9, 0.5, dim, radius * math.sqrt(dim))
        for start in x:
            inside = stats.ncx2.cdf(
                (chain.upper / 0.5) ** 2, dim, max((0.9 * start / 0.5) ** 2, 1e-12)
            )
            if inside > 1e-8:
                assert chain.survival(1, start) == pytest.approx(inside, rel=1e-8)


def test_chains_without_memory_leave_geometrically():
    stay = special.ndtr(1.5) - special.ndtr(-0.5)
    chain = GaussianChain(lambda x: 0 * x, 2.0, -1.0, 3.0)
    assert chain.mean_passage_time(0.7) == pytest.approx(1 / (1 - stay), rel=1e-12)
    assert chain.decay_rate() == pytest.approx(-math.log(stay), rel=1e-12)
    steps = np.array([0, 1, 2, 10, 80])
    np.testing.assert_allclose(chain.survival(steps, 0.0), stay**steps, rtol=1e-11)
    ball = RadialChain(0.0, 1.0, 7, 3.0)
    assert ball.mean_passage_time(0.0) == pytest.approx(1 / stats.chi2.sf(9.0, 7), rel=1e-11)


def test_survival_decays_at_the_leading_eigenvalue_and_sums_to_the_mean():
    chain = quadratic_chain(0.2, 1.0, 1.0, 0.6)
    survival = chain.survival(np.arange(2000), 0.3)
    assert survival.sum() == pytest.approx(chain.mean_passage_time(0.3), rel=1e-9)
    rate = chain.decay_rate()
    assert math.log(survival[200] / survival[210]) / 10 == pytest.approx(rate, rel=1e-9)
    late = chain.survival([300, 1300], 0.3)
    assert math.log(late[0] / late[1]) / 1000 == pytest.approx(rate, rel=1e-10)


@pytest.mark.parametrize("factor", [0.97, 0.6, -0.5, -0.95])
def test_linear_chains_relax_at_their_factor(factor):
    chain = GaussianChain(lambda x: 5 + factor * (x - 5), 0.3)
    assert math.exp(-chain.relaxation_rate()) == pytest.approx(abs(factor), rel=1e-9)


def test_normal_start_is_the_mean_over_points():
    chain = double_well_chain(0.2, 2.0, 0.5)
    points, weights = special.roots_hermitenorm(60)
    weights = weights / weights.sum()
    start = fs.Normal(-0.8, 0.3)
    expected = weights @ [chain.mean_passage_time(-0.8 + 0.3 * p) for p in points]
    assert chain.mean_passage_time(start) == pytest.approx(expected, rel=1e-9)
    expected = weights @ [chain.survival(5, -0.8 + 0.3 * p) for p in points]
    assert chain.survival(5, start) == pytest.approx(float(expected), rel=1e-9)
    assert chain.survival(5, fs.Normal(-0.8, 0.0)) == chain.survival(5, -0.8)


def test_the_answer_does_not_depend_on_the_panels(monkeypatch):
    chain = double_well_chain(0.05, 2.0, 1.0)
    mean, rate = chain.mean_passage_time(-1.0), chain.decay_rate()
    monkeypatch.setattr(passage, "_PANEL", 1.0)
    monkeypatch.setattr(passage, "_REACH", 14.0)
    assert chain.mean_passage_time(-1.0) == pytest.approx(mean, rel=1e-9)
    assert chain.decay_rate() == pytest.approx(rate, rel=1e-9)
    # A fault of the weights shows.
    monkeypatch.setattr(passage, "WEIGHTS", passage.WEIGHTS * 0.9999)
    assert chain.mean_passage_time(-1.0) != pytest.approx(mean, rel=1e-3)


def test_small_rates_approach_the_diffusion_at_the_shifted_boundary():
    temperature, lr = 0.1, 0.002
    noise = math.sqrt(2 * temperature / lr)
    exact = lr * double_well_chain(lr, noise, level=0.0).mean_passage_time(-1.0)
    plain = sde_passage_time(well, -1.0, 0.0, temperature)
    shifted = sde_passage_time(well, -1.0, boundary_shift(lr, noise), temperature)
    assert abs(plain / exact - 1) > 0.015
    assert shifted == pytest.approx(exact, rel=0.002)


def test_boundary_shift_is_the_overshoot_constant():
    constant = -special.zeta(0.5) / math.sqrt(2 * math.pi)
    assert boundary_shift(0.5, 2.0) == pytest.approx(constant, rel=1e-12)


def test_sde_passage_time_of_the_quadratic():
    # E T = sum_n 2^n Gamma(n / 2) (b^n - a^n) / (2 n!), a and b in units of sqrt(2 D).
    n = np.arange(1, 80)
    series = np.exp(n * math.log(2) + special.gammaln(n / 2) - special.gammaln(n + 1)) / 2
    a, b = -0.5 / math.sqrt(0.6), 0.8 / math.sqrt(0.6)
    expected = np.sum(series * (b**n - a**n))
    assert sde_passage_time(lambda x: x**2 / 2, -0.5, 0.8, 0.3) == pytest.approx(expected, rel=1e-9)


def test_cold_escape_approaches_eyring_kramers():
    # From -1 to 1 the leading correction is of order D.
    errors = [
        sde_passage_time(well, -1.0, 1.0, d) / kramers_time(2.0, -1.0, 0.25, d) - 1
        for d in (0.02, 0.01)
    ]
    assert 0 < errors[1] < 0.55 * errors[0] < 0.05


def test_eyring_kramers_is_rotation_invariant_and_kramers_in_one_dimension():
    rotation = stats.ortho_group.rvs(3, random_state=1)
    inside, saddle = np.diag([2.0, 3.0, 5.0]), np.diag([-1.0, 7.0, 1.0])
    expected = 2 * math.pi * math.sqrt(7 / 30) * math.exp(2.5)
    turned = [rotation @ h @ rotation.T for h in (inside, saddle)]
    assert eyring_kramers_time(*turned, 0.25, 0.1) == pytest.approx(expected, rel=1e-12)
    assert eyring_kramers_time([[2.0]], [[-1.0]], 0.25, 0.1) == kramers_time(2.0, -1.0, 0.25, 0.1)


def test_what_double_precision_cannot_give_is_refused():
    with pytest.raises(NoExactTheory, match="above 1e\\+10 updates"):
        double_well_chain(0.1, 0.45, 1.0).mean_passage_time(-1.0)
    with pytest.raises(NoExactTheory, match="below 1e-10 per update"):
        double_well_chain(0.1, 0.45).relaxation_rate()
    with pytest.raises(NoExactTheory, match="does not settle with 4096 nodes"):
        quadratic_chain(0.1, 1.0, 1e-3, 1.0).mean_passage_time(0.0)


INSIDE = quadratic_chain(0.1, 1.0, 1.0, 0.4)
LINE = GaussianChain(lambda x: 0.5 * x, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GaussianChain(0.9, 1.0), "map = 0.9: .* function"),
        (lambda: GaussianChain(np.sin, 0.0), "std = 0.0: .* greater than 0"),
        (lambda: GaussianChain(np.sin, 1.0, 1.0, 1.0), "upper = 1.0: .* greater than lower"),
        (lambda: GaussianChain(np.sin, 1.0, breaks=0.5), "breaks = 0.5: .* finite points"),
        (lambda: GaussianChain(np.sin, 1.0, breaks=(math.nan,)), "breaks .* finite points"),
        (lambda: GaussianChain(np.log, 1.0, -1, 1).mean_passage_time(0.5), "map .* finite"),
        (
            lambda: GaussianChain(lambda x: None, 1.0, -1, 1).mean_passage_time(0.5),
            r"map\(x\) = None",
        ),
        (
            lambda: GaussianChain(lambda x: x[:1], 1.0, -1, 1).mean_passage_time(0.5),
            r"map\(x\) .* array of shape",
        ),
        (
            lambda: GaussianChain(lambda x: x + 0j, 1.0, -1, 1).mean_passage_time(0.5),
            r"map\(x\) = (.|\n)* an array of numbers",
        ),
        (
            lambda: GaussianChain(np.sin, lambda x: 1 / 0, -1, 1).mean_passage_time(0.5),
            "std fails .* ZeroDivisionError",
        ),
        (lambda: GaussianChain(np.sin, np.cos, -3, 3).decay_rate(), "std .* positive"),
        (lambda: INSIDE.mean_passage_time("0"), "start = '0': .* finite number"),
        (lambda: INSIDE.survival([1, -1], 0.0), r"steps = \[1, -1\]: .* at least 0"),
        (lambda: INSIDE.survival(1.5, 0.0), "steps = 1.5: .* integers"),
        (lambda: INSIDE.relaxation_rate(), "whole line"),
        (lambda: LINE.mean_passage_time(0.0), "an end to leave by"),
        (lambda: LINE.decay_rate(), "an end to leave by"),
        (lambda: RadialChain(0.9, 1.0, 0, 1.0), "dim = 0: .* at least 1"),
        (lambda: RadialChain(0.9, 1.0, 2, -1.0), "radius = -1.0: .* greater than 0"),
        (lambda: RadialChain(0.9, 1.0, 2, 1.0).mean_passage_time(-0.5), "start = -0.5"),
        (lambda: double_well_chain(0.0, 1.0), "lr = 0.0: .* greater than 0"),
        (lambda: quadratic_chain(0.1, -1.0, 1.0, 1.0), "curvature = -1.0"),
        (lambda: boundary_shift(0.1, 0.0), "noise_std = 0.0"),
        (lambda: sde_passage_time(well, 1.0, 0.0, 0.1), "level = 0.0: .* greater than start"),
        (lambda: sde_passage_time(lambda x: x, 0.0, 1.0, 0.1), "potential .* towards -infinity"),
        (lambda: kramers_time(2.0, 1.0, 0.25, 0.1), "curvature_saddle = 1.0: .* less than 0"),
        (lambda: eyring_kramers_time(-np.eye(2), np.eye(2), 1, 1), "positive definite"),
        (lambda: eyring_kramers_time(np.eye(2), np.eye(2), 1, 1), "one negative eigenvalue"),
        (lambda: eyring_kramers_time(np.eye(2), [[-1.0]], 1, 1), r"of shape \(2, 2\)"),
        (lambda: eyring_kramers_time([[1.0, 2.0], [0.0, 1.0]], np.eye(2), 1, 1), "symmetric"),
    ],
)
def test_bad_input_is_named(call, message):
    with np.errstate(all="ignore"), pytest.raises(fs.FastschedError, match=message):
        call()


@pytest.mark.filterwarnings("error")
def test_times_beyond_the_range_of_doubles_are_infinite():
    from fastsched.theory import eyring_kramers_time, kramers_time, sde_passage_time

    assert kramers_time(2.0, -1.0, 0.25, 1e-4) == np.inf
    assert kramers_time(2.0, -1.0, 1e200, 1e-200) == np.inf
    assert eyring_kramers_time([[1e-300]], [[-1e-300]], 1.0, 1.0) == pytest.approx(
        2 * np.pi * np.e * 1e300
    )
    assert sde_passage_time(lambda x: x**4 / 4 - x**2 / 2, -1.0, 1.0, 3e-4) == np.inf
