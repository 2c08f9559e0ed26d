"""Random features: the reductions against drawn inputs, risks against sampled ones."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import fast_losses
from scipy import stats
from test_landscapes import features

import fastsched as fs
from fastsched.landscapes.features import ACTIVATIONS

KINDS = ("linear", "relu", "tanh", "erf", "cos")


def sampled(landscape, n, seed=0):
    """Return features and noise-free labels of n fresh inputs."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(landscape.input_spectrum))) * np.sqrt(landscape.input_spectrum)
    activation = ACTIVATIONS[landscape.activation].function
    return activation(x @ landscape.weights), x @ landscape.target


def test_linear_reduction_and_brute_force_agree_in_distribution():
    reduced = fs.Study(
        features("linear", inputs=12, count=5),
        fs.SGD(fs.Cosine(0.2, 60), momentum=0.3, weight_decay=0.02),
        steps=60,
        trajectories=20_000,
        batch_size=2,
        record=[0, 1, 5, 60],
    )
    drawn = reduced.replace(landscape=reduced.landscape.replace(brute_force=True), seed=1)
    for a, b in zip(fast_losses(reduced), fast_losses(drawn), strict=True):
        assert stats.ks_2samp(a, b).pvalue > 1e-3
    other = drawn.replace(landscape=drawn.landscape.replace(label_noise=1.0))
    assert stats.ks_2samp(fast_losses(reduced)[-1], fast_losses(other)[-1]).pvalue < 1e-6


@pytest.mark.parametrize("activation", KINDS)
def test_fewer_normals_follow_the_same_law(activation):
    """With fewer features than inputs the preactivations are drawn directly."""
    study = fs.Study(
        features(activation, inputs=9, count=3, test_size=500_000).replace(start=0.5),
        fs.SGD(0.3),
        steps=8,
        trajectories=20_000,
        record=[1, 8],
    )
    drawn = study.replace(landscape=study.landscape.replace(brute_force=True), seed=7)
    for a, b in zip(fast_losses(study), fast_losses(drawn), strict=True):
        assert stats.ks_2samp(a, b).pvalue > 1e-3


@pytest.mark.parametrize("activation", KINDS)
@pytest.mark.parametrize(("inputs", "count"), [(9, 5), (4, 7)])
def test_risk_against_samples(activation, inputs, count):
    """The closed forms, and the test set's risk, against a million fresh inputs."""
    landscape = features(activation, inputs, count, test_size=100_000).replace(brute_force=True)
    n = 1_000_000
    phi, y = sampled(landscape, n)
    for theta in np.random.default_rng(2).normal(size=(3, count)):
        losses = 0.5 * (phi @ theta - y) ** 2
        error = losses.std() * np.sqrt(1 / n + (1 / 100_000 if activation == "tanh" else 0))
        assert abs(landscape.reference_loss(theta[None])[0] - losses.mean()) <= 4 * error
        assert 0.01 * losses.mean() > (2 if activation == "tanh" else 4) * error
    best = landscape.origin()
    assert landscape.reference_loss(best[None])[0] == pytest.approx(landscape.least_loss)
    gradient = phi.T @ (phi @ best - y) / n
    spread = np.std(phi * (phi @ best - y)[:, None], axis=0) / np.sqrt(n)
    assert np.all(np.abs(gradient) <= (14 if activation == "tanh" else 4.5) * spread + 1e-12)


@pytest.mark.parametrize("activation", KINDS)
def test_mean_gradient_is_that_of_the_risk(activation):
    """Fast kernels, one step from a fixed point: the mean loss follows the risk's slope."""
    landscape = features(activation, test_size=300_000).replace(start=0.8)
    model, n, lr = landscape.model, 400_000, 1e-3
    theta, std = model.start_moments()
    assert np.all(std == 0)
    study = fs.Study(landscape, fs.SGD(lr, momentum=0.5), 1, n, record=[1], precision="double")
    losses = fast_losses(study)[0]
    eps = 1e-6 * np.eye(landscape.dim)
    slope = (model.reference_loss(theta + eps) - model.reference_loss(theta - eps)) / 2e-6
    expected = model.reference_loss(theta[None])[0] - lr * slope @ slope
    # Second order: half of lr^2 times the mean of |M g|^2, below the error.
    error = losses.std() / np.sqrt(n)
    second = losses.var() / (2 * abs(losses.mean())) + lr**2 * 50
    assert abs(losses.mean() - expected) <= 4 * error + second


def test_exact_theory_of_linear_features():
    study = fs.Study(
        fs.RandomFeatures.power_law(60, 20, 1.0, 0.7, label_noise=0.2, start=fs.Normal(0.1, 0.2)),
        fs.SGD(fs.Linear(0.2, 100)),
        steps=100,
        trajectories=250_000,
        batch_size=fs.Piecewise([50], [1, 4]),
        record=[10, 100],
        measures=(fs.Loss(), fs.Average()),
    )
    result = fs.run(study, progress=False)
    for name in ("loss", "average_loss"):
        assert (0.01 * result[name] > 8 * result[f"{name}_se"]).all()
        assert (abs(result.z_scores[name]) <= 4).all()
    assert (result["loss"] > study.landscape.least_loss).all()
    assert result.data.attrs["irreducible_risk"] == pytest.approx(0.02)


def test_power_law():
    landscape = fs.RandomFeatures.power_law(30, 7, alpha=0.8, beta=0.4, seed=3)
    j = np.arange(1, 31)
    np.testing.assert_allclose(landscape.input_spectrum, j**-1.6)
    np.testing.assert_allclose(landscape.target, j**-0.4)
    assert landscape.weights.shape == (30, 7)
    assert landscape.weights.std() == pytest.approx(7**-0.5, rel=0.15)
    assert not np.array_equal(landscape.weights, landscape.replace(seed=4).weights)
    drawn = [fs.RandomFeatures.power_law(400, 100, 0.8, 0.4, seed=s).least_loss for s in range(8)]
    assert np.mean(drawn) == pytest.approx(fs.theory.residual_risk(0.8, 0.4, 400, 100), rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_spectrum": [1.0, -1.0]}, "input_spectrum .* at least 0"),
        ({"input_spectrum": [0.0, 0.0]}, "input_spectrum .* not all 0"),
        ({"input_spectrum": [1.0, np.nan]}, "input_spectrum .* all finite"),
        ({"target": [1.0]}, r"target .* shape \(2,\), got shape \(1,\)"),
        ({"features": 0}, "features = 0"),
        ({"features": 2.5}, "features = 2.5"),
        ({"activation": "swish"}, "activation = 'swish'"),
        ({"label_noise": -1.0}, "label_noise = -1.0"),
        ({"seed": -1}, "seed = -1"),
        ({"brute_force": "yes"}, "brute_force = 'yes'"),
        ({"test_size": 1}, "test_size = 1"),
        ({"start": [1.0]}, r"start .* shape \(3,\)"),
        ({"start": fs.Normal(0, [1.0, 2.0, 3.0])}, r"start\.std differs .* brute_force=True"),
    ],
)
def test_bad_input(arguments, message):
    good = {"input_spectrum": [1.0, 0.5], "target": [1.0, 1.0], "features": 3}
    with pytest.raises(fs.FastschedError, match=message):
        fs.RandomFeatures(**{**good, **arguments})
