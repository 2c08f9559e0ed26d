"""Monte Carlo against the exact finite-time moments of the noisy quadratic model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import fastsched as fs

STEPS = 500
H = 1 / np.arange(1, 101)
LANDSCAPE = fs.Quadratic(H, noise="hessian", start=fs.Normal(0.0, 1.0))


def largest_z(study, result=None):
    """Return the largest |z| of mean and of standard deviation over the recorded steps."""
    data = (result or fs.run(study, progress=False)).data
    exact = fs.exact(study)
    noisy = exact["loss_std"].values > 1e-12
    largest = []
    for name in ("loss", "loss_std"):
        z = (data[name] - exact[name]).values[noisy] / data[f"{name}_se"].values[noisy]
        largest.append(np.max(np.abs(z), initial=0))
    np.testing.assert_allclose(data["loss"].values[~noisy], exact["loss"].values[~noisy], rtol=1e-5)
    return largest


GOLDEN = [
    (fs.SGD(0.5), 0.045052462333),
    (fs.SGD(fs.Cosine(0.5, STEPS)), 0.020756040135),
    (fs.SGD(fs.Linear(0.5, STEPS)), 0.020428398515),
    (fs.SGD(fs.InverseSqrt(0.5)), 0.328829518081),
    (fs.SGD(0.05, momentum=0.9), 0.041150123596),
    (fs.SGD(fs.Cosine(0.05, STEPS), momentum=0.9), 0.020769199271),
    (fs.SGD(0.05, momentum=0.9, nesterov=True), 0.037637260573),
    (fs.SGD(fs.Cosine(0.05, STEPS), momentum=0.9, nesterov=True), 0.020759471065),
]


@pytest.mark.parametrize("precision", ["single", pytest.param("double", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("optimizer", "loss"), GOLDEN)
def test_golden_values(optimizer, loss, precision):
    study = fs.Study(
        LANDSCAPE, optimizer, STEPS, 100_000, batch_size=16, record=[STEPS], precision=precision
    )
    data = fs.run(study, progress=False).data
    z = (data["loss"].item() - loss) / data["loss_se"].item()
    assert abs(z) <= 4
    assert 0.01 * loss / data["loss_se"].item() > 8


FAMILIES = {
    "classical": fs.SGD(fs.Exponential(0.05, 0.99), momentum=0.9, velocity="classical"),
    "classical Nesterov": fs.SGD(
        fs.Cosine(0.05, 200), momentum=0.8, nesterov=True, velocity="classical"
    ),
    "negative momentum": fs.SGD(0.5, momentum=-0.5),
    "coupled decay": fs.SGD(0.3, momentum=0.5, weight_decay=0.02),
    "coupled decay, Nesterov": fs.SGD(0.1, momentum=0.5, nesterov=True, weight_decay=0.02),
    "decay by lr": fs.SGD(fs.Cosine(0.3, 200), weight_decay=0.05, decay="lr"),
    "decay by schedule": fs.SGD(
        fs.Linear(0.3, 200), momentum=0.6, weight_decay=0.01, decay="schedule"
    ),
    "constant decay": fs.SGD(0.3, weight_decay=0.005, decay="constant"),
    "scheduled momentum": fs.SGD(0.05, momentum=fs.Linear(0.9, 200, final=-0.4)),
    "scheduled decay": fs.SGD(0.3, weight_decay=fs.Linear(0.0, 200, final=0.1), decay="lr"),
    "warm restarts": fs.SGD(fs.WarmRestarts(0.5, 20, multiplier=2), momentum=0.3),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families_against_the_exact_moments(family):
    landscape = fs.Quadratic(
        np.geomspace(1, 0.01, 40),
        noise=np.linspace(1, 0.2, 40),
        start=fs.Normal(np.linspace(-1, 1, 40), 0.5),
    )
    study = fs.Study(
        landscape,
        FAMILIES[family],
        steps=200,
        trajectories=20_000,
        batch_size=fs.Linear(1, 200, final=9),
        seed=7,
        record=30,
    )
    z_mean, z_std = largest_z(study)
    assert z_mean <= 4.5
    assert z_std <= 4.5


def test_the_comparison_can_fail():
    """Noise 1 % too strong, a schedule off by one step, the other velocity: all are seen."""
    study = fs.Study(
        fs.Quadratic(H, noise=1.0, start=fs.Normal()),
        fs.SGD(fs.Exponential(0.2, 0.97), momentum=0.8),
        steps=100,
        trajectories=40_000,
        record=30,
    )
    assert max(largest_z(study)) <= 4.5
    optimizer = study.optimizer
    for wrong in (
        study.replace(landscape=study.landscape.replace(noise=1.01)),
        study.replace(optimizer=optimizer.replace(lr=fs.Exponential(0.2 * 0.97, 0.97))),
        study.replace(optimizer=optimizer.replace(velocity="classical")),
    ):
        assert max(largest_z(study, fs.run(wrong, progress=False))) > 5


def test_quantiles_against_the_exact_law():
    """Equal curvatures: the loss is a scaled chi-square, noncentral with a mean start."""
    dim, n = 5, 200_000
    for start in (0.0, 1.0):
        study = fs.Study(
            fs.Quadratic(np.full(dim, 0.5), noise=0.8, start=start),
            fs.SGD(fs.Cosine(0.4, 60), momentum=0.5),
            steps=60,
            trajectories=n,
            record=[5, 20, 60],
            measures=fs.Loss(quantiles=(0.01, 0.1, 0.5, 0.9, 0.99)),
        )
        data = fs.run(study, progress=False).data
        exact_data = fs.exact(study)
        for k, t in enumerate(study.record_steps):
            s = exact_data["theta_variance"].values[k, 0]
            m = exact_data["theta_mean"].values[k, 0]
            law = stats.ncx2(dim, dim * m**2 / s, scale=0.25 * s)
            found = data["loss_quantile"].sel(step=t).values
            orders = data["quantile"].values
            exact = law.ppf(orders)
            np.testing.assert_allclose(exact_data["loss_quantile"].sel(step=t), exact, rtol=1e-7)
            error = np.sqrt(orders * (1 - orders) / n) / law.pdf(exact)
            assert np.max(np.abs((found - exact) / error)) <= 4
            np.testing.assert_allclose(
                data["loss_quantile_se"].sel(step=t).values, error, rtol=0.25
            )


def test_quantiles_of_a_narrow_law():
    """In high dimension the whole law spans a few bins; the errors know."""
    dim, n = 20_000, 30_000
    study = fs.Study(
        fs.Quadratic(np.ones(dim), start=fs.Normal()), fs.SGD(0.1), 1, n, record=[0], seed=3
    )
    data = fs.run(study, progress=False).data
    exact = stats.chi2.ppf(data["quantile"].values, dim) / 2
    z = (data["loss_quantile"].values[:, 0] - exact) / data["loss_quantile_se"].values[:, 0]
    assert np.max(np.abs(z)) <= 4


def test_a_minimum_far_away_costs_no_digits():
    study = fs.Study(
        fs.Quadratic([1.0, 0.3], noise=0.01, start=1e4, minimum=1e4),
        fs.SGD(0.01, momentum=0.5, weight_decay=1e-9, decay="lr"),
        steps=1000,
        trajectories=2000,
        record=20,
    )
    single = fs.run(study, progress=False).data
    double = fs.run(study.replace(precision="double"), progress=False).data
    np.testing.assert_allclose(single["loss"], double["loss"], rtol=1e-3)


def test_standard_errors_are_right():
    """Over many seeds the z-scores of mean, deviation and quantile have unit variance."""
    study = fs.Study(
        fs.Quadratic(np.full(10, 1.0), noise=1.0, start=0.0), fs.SGD(0.2), 30, 1000, record=[30]
    )
    mean, std = (fs.exact(study)[name].item() for name in ("loss", "loss_std"))
    law = stats.chi2(10, scale=mean / 10)
    names = ("loss", "loss_std", "loss_quantile")
    scores = {name: [] for name in names}
    for seed in range(400):
        data = fs.run(study.replace(seed=seed), progress=False).data
        for name, exact in zip(names, (mean, std, law.ppf(0.5)), strict=True):
            value, se = data[name], data[name + "_se"]
            if name == "loss_quantile":
                value, se = value.sel(quantile=0.5), se.sel(quantile=0.5)
            scores[name].append((value.item() - exact) / se.item())
    for name, z in scores.items():
        tolerance = 4 * np.sqrt(2 / len(z)) + (0.1 if name != "loss" else 0)
        assert abs(np.var(z) - 1) < tolerance, name
        assert abs(np.mean(z)) < 4 / np.sqrt(len(z)) + (0.2 if name != "loss" else 0), name
    assert stats.kstest(scores["loss"], "norm").pvalue > 1e-3


def test_robbins_monro():
    """eta = 1/(k + 1), h = c = 1: E x_n^2 = 1/n exactly."""
    study = fs.Study(
        fs.Quadratic([1.0], noise=1.0, start=3.0),
        fs.SGD(fs.InverseTime(1.0)),
        1000,
        100_000,
        record=[1, 10, 100, 1000],
        precision="double",
    )
    data = fs.run(study, progress=False).data
    z = (data["loss"].values - 0.5 / study.record_steps) / data["loss_se"].values
    assert np.max(np.abs(z)) <= 4


@pytest.mark.parametrize(
    ("optimizer", "edge"),
    [
        (fs.SGD(1.0), 2.0),
        (fs.SGD(1.0, momentum=0.9), 3.8),
        (fs.SGD(1.0, momentum=0.9, nesterov=True), 3.8 / 2.8),
    ],
)
def test_stability_edges(optimizer, edge):
    """Cohen et al. 2021: bounded at 0.999 of the edge, divergent at 1.001; noise-free."""
    losses = {}
    for factor in (0.999, 1.001):
        study = fs.Study(
            fs.Quadratic([1.0], noise=0.0),
            optimizer.replace(lr=factor * edge),
            20_000,
            16,
            record=[20_000],
            precision="double",
        )
        losses[factor] = fs.run(study, progress=False).data
    assert losses[0.999]["loss"].item() < 1
    beyond = losses[1.001]
    assert beyond["diverged"].item() == 1 or beyond["loss"].item() > 1e6


OVERSHOOT = [
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


@pytest.mark.parametrize(("momentum", "rate", "depth", "step"), OVERSHOOT)
def test_noise_free_overshoot_of_heavy_ball(momentum, rate, depth, step):
    """Depth of the deepest swing past the minimum, and its step."""
    study = fs.Study(
        fs.Quadratic([1.0], noise=0.0),
        fs.SGD(rate, momentum=momentum),
        60,
        1,
        record=np.arange(61),
        precision="double",
    )
    loss = fs.run(study, progress=False).data["loss"].values
    assert np.sqrt(2 * loss[step]) == pytest.approx(depth, abs=1e-6)
    # The turning point of the swing, where the next step is no deeper.
    assert loss[step] >= (1 - 1e-12) * loss[step + 1]


STATIONARY = {
    "heavy ball": (0.9, False, lambda a, mu: (1 + mu) / ((1 - mu) * (2 * (1 + mu) - a))),
    "negative momentum": (-0.4, False, lambda a, mu: (1 + mu) / ((1 - mu) * (2 * (1 + mu) - a))),
    "Nesterov": (
        0.9,
        True,
        # PyTorch's parameters are the look-ahead point of the iterate.
        lambda a, mu: (
            (1 + mu + a * mu * (1 + 2 * mu))
            / ((1 - mu + a * mu) * (2 * (1 + mu) - a * (1 + 2 * mu)))
        ),
    ),
}


@pytest.mark.parametrize("form", STATIONARY)
def test_stationary_variance(form):
    """Liu, Ziyin & Ueda 2021: Var x = eta sigma^2 / h times a function of eta h and mu."""
    momentum, nesterov, factor = STATIONARY[form]
    h, rate, sigma = 2.0, 0.1, 0.7
    study = fs.Study(
        fs.Quadratic([h] * 20, noise=sigma, start=0.0),
        fs.SGD(rate, momentum=momentum, nesterov=nesterov),
        600,
        100_000,
        record=[600],
    )
    data = fs.run(study, progress=False).data
    exact = 20 * 0.5 * h * rate * sigma**2 / h * factor(rate * h, momentum)
    assert abs((data["loss"].item() - exact) / data["loss_se"].item()) <= 4
    assert 0.01 * exact / data["loss_se"].item() > 8
