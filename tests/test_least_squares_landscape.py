"""One-pass least squares: theory's golden values, the law of a batch's gradient, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import draws
from scipy import stats

import fastsched as fs

SPECTRUM = np.arange(1, 21) ** -1.5


@pytest.mark.parametrize(
    ("batch_size", "momentum", "lr", "nesterov", "risk_50", "risk_300"),
    [
        (1, 0.0, 0.2, False, 0.176992185793, 0.043540460117),
        (4, 0.0, 0.4, False, 0.081615119405, 0.012848055604),
        (4, 0.8, 0.1, False, 0.070976037781, 0.008511900392),
        (4, 0.8, 0.1, True, 0.068199598325, 0.008459934889),
    ],
)
def test_golden_values(batch_size, momentum, lr, nesterov, risk_50, risk_300):
    study = fs.Study(
        fs.LeastSquares(SPECTRUM, label_noise=0.3),
        fs.SGD(fs.Linear(lr, 300), momentum=momentum, nesterov=nesterov),
        steps=300,
        trajectories=100_000,
        batch_size=batch_size,
        record=[50, 300],
    )
    result = fs.run(study, progress=False)
    np.testing.assert_allclose(fs.exact(study)["loss"], [risk_50, risk_300], atol=6e-13)
    assert (0.01 * result["loss"] > 8 * result["loss_se"]).all()
    assert (abs(result.z_scores["loss"]) <= 4).all()


def test_averages_and_random_starts_against_exact_theory():
    start = fs.Normal(np.linspace(-1, 1, 20), 0.5)
    study = fs.Study(
        fs.LeastSquares(SPECTRUM, label_noise=0.3, start=start, target=0.4),
        fs.SGD(fs.Cosine(0.05, 200), momentum=0.5, weight_decay=0.05, decay="lr"),
        steps=200,
        trajectories=150_000,
        batch_size=fs.Piecewise([50, 100], [2, 5, 20]),
        record=[20, 100, 200],
        measures=(fs.Loss(), fs.Average()),
    )
    result = fs.run(study, progress=False)
    assert set(result.exact) == {"loss", "average_loss"}
    for name in result.exact:
        assert (0.01 * result[name] > 8 * result[f"{name}_se"]).all()
        assert (abs(result.z_scores[name]) <= 4).all()


@pytest.mark.parametrize("precision", ["single", "double"])
def test_a_batch_from_the_minimum_against_exact_theory(precision):
    landscape = fs.LeastSquares([1.0, 0.5], label_noise=0.3, start=0.0)
    study = fs.Study(landscape, fs.SGD(0.1), 50, 750_000, 4, precision=precision, record=[50])
    result = fs.run(study, progress=False)
    assert result.exact["loss"][-1] == pytest.approx(9.06e-4, rel=1e-3)
    assert (0.01 * result["loss"] > 8 * result["loss_se"]).all()
    assert (abs(result.z_scores["loss"]) <= 4).all()


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_law_of_a_gradient(batch_size):
    """The reduced batch against the batch itself, projection by projection."""
    n, rng = 40_000, np.random.default_rng(5)
    spectrum, theta, noise = SPECTRUM[:6], rng.normal(size=6), 0.7
    landscape = fs.LeastSquares(spectrum, noise, target=0.2)
    samples = rng.normal(size=(n, batch_size, 6)) * np.sqrt(spectrum)
    residuals = samples @ (theta - 0.2) - noise * rng.normal(size=(n, batch_size))
    direct = np.einsum("nbi,nb->ni", samples, residuals) / batch_size
    reduced = landscape.reference_gradient(np.tile(theta, (n, 1)), draws(n), batch_size)
    for direction in rng.normal(size=(8, 6)):
        assert stats.ks_2samp(direct @ direction, reduced @ direction).pvalue > 1e-3
    lengths = (np.linalg.norm(g, axis=1) for g in (direct, reduced))
    assert stats.ks_2samp(*lengths).pvalue > 1e-3


def test_irreducible_risk_is_reported():
    study = fs.Study(fs.LeastSquares([1.0, 0.5], label_noise=0.2), fs.SGD(0.1), 5, 16)
    result = fs.run(study, progress=False)
    assert result.data.attrs["irreducible_risk"] == pytest.approx(0.02)
    assert "irreducible risk 0.02" in result.summary()


def test_no_noise_at_the_minimum():
    study = fs.Study(fs.LeastSquares(SPECTRUM, start=0.3, target=0.3), fs.SGD(0.1), 9, 16, 4)
    assert (fs.run(study, progress=False)["loss"] == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spectrum": [1.0, -1.0]}, "spectrum .* at least 0"),
        ({"spectrum": [0.0, 0.0]}, "spectrum .* not all 0"),
        ({"spectrum": [1.0, np.nan]}, "spectrum .* all finite"),
        ({"spectrum": []}, "spectrum .* got shape"),
        ({"spectrum": np.eye(2)}, "spectrum .* got shape"),
        ({"spectrum": [1.0], "label_noise": -0.1}, "label_noise = -0.1"),
        ({"spectrum": [1.0], "target": [1.0, 2.0]}, r"target .* shape \(1,\)"),
        ({"spectrum": [1.0], "start": [1.0, 2.0]}, r"start .* shape \(1,\)"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.LeastSquares(**arguments)
