"""What holds for every landscape: agreement with plain NumPy, gradients, text forms."""

from __future__ import annotations

from dataclasses import is_dataclass

import numpy as np
import pytest
from helpers import draws, fast_losses, same_data, slow_losses
from scipy import optimize

import fastsched as fs
from fastsched.landscapes import Landscape
from fastsched.landscapes.features import DrawnFeatures
from fastsched.spec import Spec

RNG = np.random.default_rng(0)
POWERS = np.arange(1, 8) ** -1.5
SAMPLES = RNG.normal(size=(9, 4)) * [1, 0.7, 0.5, 0.2]
LABELS = np.array([0, 1, 1, 0, 1, 0, 0, 1, 1])

WELLS = [[-1.0, 0.0], [1.0, 0.5], [0.0, 2.0]], [[1.0, 2.0], [3.0, 1.0], [0.5, 0.5]], [0, 0.2, 1]


def features(activation, inputs=9, count=5, **options):
    """Return small random features whose start is random."""
    return fs.RandomFeatures.power_law(
        inputs,
        count,
        alpha=0.8,
        beta=0.6,
        activation=activation,
        label_noise=0.3,
        start=fs.Normal(0.2, 0.5),
        **options,
    )


def quartic_gradient(theta, draws, out):
    for i in range(len(theta)):
        out[i] = theta[i] ** 3 + (0.3 * (draws[i] - draws[i - 1]) if len(draws) else 0.0)
    out[0] += theta[1]
    out[1] += theta[0]


def quartic_loss(theta):
    return np.sum(theta**4) / 4 + theta[0] * theta[1]


def quartic(**options):
    return fs.Custom(quartic_gradient, quartic_loss, 5, start=fs.Normal(0.8, 0.2), **options)


# Name: landscape, learning rate, batch sizes to try.
EXAMPLES = {
    "quadratic": (fs.Quadratic(POWERS, start=fs.Normal(0.5)), 0.3, (1, 3)),
    "least squares": (
        fs.LeastSquares(POWERS, 0.3, start=fs.Normal(0.5), target=RNG.normal(size=7)),
        0.1,
        (1, 2, 3, 16, fs.Linear(1, 20, final=9)),
    ),
    "linear features": (features("linear"), 0.1, (1, 4)),
    "linear features, drawn": (features("linear", brute_force=True), 0.1, (1, 4)),
    "relu features": (features("relu"), 0.1, (1, 4)),
    "relu features, wide": (features("relu", inputs=3, count=70), 0.02, (2,)),
    "tanh features": (features("tanh", test_size=300), 0.1, (1, 4)),
    "erf features": (features("erf"), 0.1, (1, 4)),
    "cosine features": (features("cos"), 0.1, (1, 4)),
    "double well": (fs.DoubleWell(3, [0.5, 2.0], [0.3, 0.2, 0.1]), 0.1, (1, 4)),
    "double well, curvature noise": (fs.DoubleWell(2, noise="hessian"), 0.05, (1, 4)),
    "wells": (fs.Wells(*WELLS, softness=0.3, noise=[0.5, 0.2], start=fs.Normal()), 0.1, (1, 4)),
    "wells, curvature noise": (fs.Wells(*WELLS, softness=1.0, noise="hessian"), 0.1, (1, 4)),
    "custom": (quartic(), 0.1, (1,)),
    "custom with noise": (quartic(noise=0.2, minimum=0.3), 0.1, (1, 4)),
    "custom with normals": (quartic(draws=5), 0.1, (1,)),
    "custom with uniforms": (quartic(draws=7, sampler="uniform", noise=[0.1] * 5), 0.1, (4,)),
    "data": (fs.Dataset(SAMPLES, SAMPLES @ RNG.normal(size=4) + LABELS, l2=0.1), 0.3, (1, 2, 3)),
    "data in epochs": (
        fs.Dataset(SAMPLES, LABELS, replacement=False, start=fs.Normal()),
        0.3,
        (1, 2, 4, 9),
    ),
    "classes": (fs.Dataset(SAMPLES, LABELS, loss="logistic", l2=0.05), 1.0, (1, 2, 3)),
    "classes in epochs, features": (
        fs.Dataset(SAMPLES, 2 * LABELS - 1, "logistic", 7, replacement=False, start=0.5),
        0.3,
        (2, 5),
    ),
    "random field": (
        fs.RandomField(5, 30, noise=np.arange(5) / 4, start=fs.Normal(0.5, 2.0)),
        0.1,
        (1, 3),
    ),
    "random field, wide": (fs.RandomField(70, 67, 2.0, 0.5, 0.2, start=fs.Normal()), 0.1, (2,)),
}

# Its kernels, which also stand behind the other activations, take half a minute to compile.
SLOW = {"linear features, drawn"}
CASES = [
    pytest.param(name, batch, marks=[pytest.mark.slow] if name in SLOW else [])
    for name, (_, _, batches) in EXAMPLES.items()
    for batch in batches
]
TOLERANCE = {"single": 3e-4, "double": 1e-10}


# Every kind of landscape, precision, state and memory is a kernel to compile: few are tried.
@pytest.mark.parametrize(("precision", "momentum"), [("single", 0.0), ("double", 0.7)])
@pytest.mark.parametrize(("name", "batch_size"), CASES)
def test_agrees_with_reference(name, batch_size, precision, momentum):
    landscape, lr, _ = EXAMPLES[name]
    study = fs.Study(
        landscape,
        fs.SGD(fs.Cosine(lr * (1 - momentum), 30), momentum=momentum, weight_decay=0.01),
        steps=22,
        trajectories=21,
        batch_size=batch_size,
        seed=2**40 + 3,
        record=np.arange(23),
        precision=precision,
    )
    fast, slow = fast_losses(study), slow_losses(study)
    assert np.all(np.isfinite(slow))
    scale = np.maximum(np.abs(slow), 1e-3 * np.abs(slow).max())
    assert np.max(np.abs(fast - slow) / scale) < TOLERANCE[precision]
    assert not np.array_equal(slow[-1], slow[0])


@pytest.mark.parametrize(
    "name",
    [
        name
        if name in ("quadratic", "least squares", "wells")
        else pytest.param(name, marks=pytest.mark.slow)
        for name in EXAMPLES
    ],
)
def test_average_is_that_of_the_iterates(name):
    """A memory's loss is recorded without disturbing the iterate."""
    landscape, lr, (batch_size, *_) = EXAMPLES[name]
    plain = fs.Study(
        landscape,
        fs.SGD(lr / 3, momentum=0.7),
        13,
        40,
        batch_size,
        record=np.arange(14),
        precision="double",
    )
    both = plain.replace(measures=(fs.Average("ema", decay=0.0), fs.Loss()))
    a, b = (fs.run(study, progress=False) for study in (plain, both))
    # The compiler may contract other multiplications and additions.
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-12)
    np.testing.assert_allclose(b["average_loss"], b["loss"], rtol=1e-12)


@pytest.mark.parametrize("name", EXAMPLES)
def test_same_bits_for_any_division(name, monkeypatch):
    landscape, lr, (batch_size, *_) = EXAMPLES[name]
    study = fs.Study(landscape, fs.SGD(lr), 41, 77, batch_size)
    whole = fs.run(study, progress=False)
    monkeypatch.setattr("fastsched.plan._LARGEST_CALL", 2000)
    monkeypatch.setattr("fastsched.plan._SMALLEST_BLOCK", 1)
    assert same_data(fs.run(study, progress=False), whole)


@pytest.mark.parametrize("name", EXAMPLES)
def test_gradient_is_that_of_the_loss(name):
    """With a huge batch the noise is gone; finite differences at random points."""
    landscape = EXAMPLES[name][0].model
    if isinstance(landscape, DrawnFeatures):
        pytest.skip("tested by averages in test_random_features_landscape.py")
    if isinstance(landscape, fs.Custom) and landscape.draws:
        landscape.check_gradient()
        return
    rng = np.random.default_rng(1)
    for theta in rng.normal(size=(5, landscape.dim)):
        numeric = optimize.approx_fprime(
            theta, lambda x: landscape.reference_loss(x[None])[0], 1e-7
        )
        np.testing.assert_allclose(mean_gradient(landscape, theta), numeric, atol=2e-5)


def mean_gradient(landscape, theta):
    """Return the expected gradient, over all rows, many samples, or by an endless batch."""
    if isinstance(landscape, fs.Dataset):
        return landscape.gradient(theta)
    return landscape.reference_gradient(theta[None], draws(), 1e20)[0]


def minimum(landscape):
    """Return a minimum, in the coordinates of the start."""
    if isinstance(landscape, (fs.Wells, fs.RandomField)):
        return landscape.minima().locations[0]
    if isinstance(landscape, fs.DoubleWell):
        return np.eye(1, landscape.dim)[0]
    return landscape.model.minimizer()


@pytest.mark.parametrize(("precision", "momentum"), [("single", 0.0), ("double", 0.7)])
@pytest.mark.parametrize("noisy", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if "wide" in name or name in SLOW else [])
        for name, (landscape, _, _) in EXAMPLES.items()
        # Runs in other coordinates, has no minimum, or consists of the user's functions.
        if not landscape.rotated
        and name != "classes in epochs, features"
        and not isinstance(landscape, fs.Custom)
    ],
)
def test_starts_at_and_near_a_minimum(name, noisy, precision, momentum):
    """Every ratio whose limit there is finite has that limit: no trajectory is lost."""
    landscape, lr, batches = EXAMPLES[name]
    if not noisy:
        quiet = [n for n in ("noise", "label_noise") if hasattr(landscape, n)]
        landscape = landscape.replace(**dict.fromkeys(quiet, 0.0))
    lowest, ends = minimum(landscape), []
    for distance in (0.0, 1e-25, 1e-18, 1e-10):
        study = fs.Study(
            landscape.replace(start=lowest + distance),
            fs.SGD(lr / 10, momentum),
            steps=60,
            trajectories=1000,
            batch_size=max(batch for batch in batches if isinstance(batch, int)),
            record=[0, 60],
            precision=precision,
        )
        result = fs.run(study, progress=False)
        assert (result["diverged"] == 0).all()
        assert np.isfinite(result["loss"]).all()
        ends.append(float(result["loss"][-1]))
        assert all((abs(z.dropna("step")) <= 4).all() for z in result.z_scores.values())
    # A batch of least squares takes its normals otherwise at the minimum than near it.
    error = 6 * float(result["loss_se"][-1])
    np.testing.assert_allclose(ends, ends[0], rtol=1e-3, atol=1e-12 + error)


@pytest.mark.parametrize("name", EXAMPLES)
def test_divergence_is_counted(name):
    landscape, _, (batch_size, *_) = EXAMPLES[name]
    study = fs.Study(landscape, fs.SGD(1e6), 60, 20, batch_size)
    result = fs.run(study, progress=False)
    if isinstance(landscape, fs.Dataset) and landscape.loss == "logistic" and not landscape.l2:
        assert result["diverged"][-1] == 0
        assert result["loss"][-1] > 1e3 * result["loss"][0]
    else:
        assert result["diverged"][-1] == 1


@pytest.mark.parametrize("name", EXAMPLES)
def test_text_forms(name):
    landscape, lr, _ = EXAMPLES[name]
    study = fs.Study(landscape, fs.SGD(lr), 1, 1)
    if isinstance(landscape, fs.Custom):
        with pytest.raises(fs.FastschedError, match="cannot be written as data or TOML"):
            study.to_toml()
    else:
        assert fs.Study.from_toml(study.to_toml()) == study
    assert study.landscape == landscape
    assert type(landscape).__name__ in repr(landscape)


def test_every_landscape_is_among_the_examples():
    known = {type(landscape) for landscape, _, _ in EXAMPLES.values()}
    public = {c for c in Spec.registry.values() if issubclass(c, Landscape) and is_dataclass(c)}
    assert public <= known
    for cls in known:
        assert "math::" in cls.__doc__
        assert "Source" in cls.__doc__
        assert "Raises" in cls.__doc__
