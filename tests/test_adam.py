"""Adam and AdamW: against PyTorch step by step, by hand, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from test_sgd import DECAY_TABLE

import fastsched as fs
from fastsched.kernels.body import PRECISIONS

STEPS = 200


def trajectory(optimizer, gradients, start, precision):
    """Return theta after every step by the optimizer's device function, in its precision."""
    dtype = PRECISIONS[precision]
    theta, state = np.full(gradients.shape[1], start, dtype), [np.zeros(gradients.shape[1], dtype)]
    state = state * optimizer.slots
    update = np.vectorize(optimizer.update_function, otypes=[dtype] * (1 + optimizer.slots))
    path = []
    for row, gradient in zip(optimizer.coefficients(STEPS), gradients, strict=True):
        theta, *state = update(theta, *state, dtype(0), gradient.astype(dtype), *row.astype(dtype))
        assert theta.dtype == dtype
        path.append(theta)
    return np.array(path)


def pytorch_trajectory(name, options, schedules, gradients, start, precision):
    """Return the same by `torch.optim`, its options set from schedules before every step."""
    torch = pytest.importorskip("torch")
    kind = torch.float32 if precision == "single" else torch.float64
    theta = torch.full((gradients.shape[1],), start, dtype=kind, requires_grad=True)
    optimizer = getattr(torch.optim, name)([theta], **options)
    path = []
    for t, gradient in enumerate(gradients):
        group = optimizer.param_groups[0]
        for key, schedule in schedules.items():
            group[key] = schedule(t)
        theta.grad = torch.tensor(gradient, dtype=kind)
        optimizer.step()
        path.append(theta.detach().numpy().copy())
    return np.array(path)


@pytest.fixture(scope="module")
def gradients():
    """Gradients of all sizes, some of them zero, fed to both."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(STEPS, 12)) * np.geomspace(1e-6, 1e3, 12) + 0.1
    values[rng.random(values.shape) < 0.05] = 0.0
    return values


COSINE = fs.Cosine(0.01, STEPS).warmup(10)
CASES = {
    "Adam": (fs.Adam(0.01), "Adam", {"lr": 0.01}, {}),
    "AdamW": (
        fs.AdamW(COSINE, weight_decay=0.3),
        "AdamW",
        {"lr": 0.01, "weight_decay": 0.3},
        {"lr": COSINE},
    ),
    "coupled": (
        fs.AdamW(COSINE, 0.8, 0.99, 1e-4, weight_decay=0.3, decay="coupled"),
        "Adam",
        {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-4, "weight_decay": 0.3},
        {"lr": COSINE},
    ),
    "scheduled decay": (
        fs.AdamW(COSINE, weight_decay=fs.Linear(0.5, STEPS)),
        "AdamW",
        {"lr": 0.01},
        {"lr": COSINE, "weight_decay": fs.Linear(0.5, STEPS)},
    ),
    "scheduled beta1": (
        fs.Adam(0.01, beta1=fs.Linear(0.95, STEPS, final=0.85)),
        "Adam",
        {"lr": 0.01},
        {"betas": lambda t: (fs.Linear(0.95, STEPS, final=0.85)(t), 0.999)},
    ),
}


@pytest.mark.parametrize(("precision", "tolerance"), [("single", 1e-6), ("double", 1e-12)])
@pytest.mark.parametrize("case", CASES)
def test_equals_pytorch_step_by_step(case, precision, tolerance, gradients):
    optimizer, name, options, schedules = CASES[case]
    ours = trajectory(optimizer, gradients, 1.5, precision)
    theirs = pytorch_trajectory(name, options, schedules, gradients, 1.5, precision)
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("decay", fs.AdamW.DECAYS)
def test_coefficients_are_the_reference_rule(decay, gradients):
    optimizer = fs.AdamW(COSINE + 0.001, weight_decay=fs.Linear(0.2, STEPS), decay=decay)
    values = optimizer.hyperparameters(STEPS)
    theta, state = np.full(gradients.shape[1], 1.5), [np.zeros(gradients.shape[1])] * 2
    path = trajectory(optimizer, gradients, 1.5, "double")
    for t, gradient in enumerate(gradients):
        theta, *state = optimizer.reference_step(theta, state, gradient, values, t)
        np.testing.assert_allclose(path[t], theta, rtol=1e-11, atol=1e-12)


def test_first_step_has_the_length_of_the_rate():
    """m / (1 - beta1) over the root of v / (1 - beta2) is the gradient's sign."""
    optimizer = fs.Adam(fs.Table([0.1]), eps=1e-12)
    row = optimizer.coefficients(1)[0]
    for gradient in (3e-5, -2.0):
        theta, *_ = optimizer.update_function.py_func(1.0, 0.0, 0.0, 0.0, gradient, *row)
        assert theta == pytest.approx(1 - 0.1 * np.sign(gradient), abs=1e-7)


@pytest.mark.parametrize(("steps", "schedule", "shrinkage"), DECAY_TABLE)
def test_shrinkage_is_the_product(steps, schedule, shrinkage):
    """prod(1 - eta_t lambda): where there is no gradient, only the decay moves theta."""
    optimizer = fs.AdamW(schedule, weight_decay=0.1)
    theta, mean, square = 1.0, 0.0, 0.0
    for row in optimizer.coefficients(steps):
        theta, mean, square = optimizer.update_function.py_func(theta, mean, square, 0.0, 0.0, *row)
    assert theta == pytest.approx(shrinkage, rel=2e-6)
    assert fs.theory.decay_shrinkage(optimizer, steps) == pytest.approx(theta, rel=1e-10)


def test_decay_scheduled_against_the_rate_shrinks_steadily():
    """lambda_t = lambda eta_max / eta_t holds the shrinkage of a step constant."""
    schedule = fs.Exponential(0.01, 0.99)
    optimizer = fs.AdamW(schedule, weight_decay=fs.Exponential(0.1, 1 / 0.99))
    assert fs.theory.decay_shrinkage(optimizer, 300) == pytest.approx(0.999**300, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0.0}, "lr = 0.0: lr must be greater than 0"),
        ({"lr": 0.1, "beta1": 1.0}, r"beta1 = 1.0: beta1 must be in the interval \[0, 1\)"),
        ({"lr": 0.1, "beta2": -0.1}, "beta2 = -0.1"),
        ({"lr": 0.1, "eps": 0.0}, "eps = 0.0: eps must be a finite number, greater than 0"),
        ({"lr": 0.1, "weight_decay": -1.0}, "weight_decay = -1.0"),
        ({"lr": 0.1, "decay": "l2"}, "decay = 'l2': decay must be one of"),
        ({"lr": 0.1, "beta1": "high"}, "beta1 = 'high'"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.AdamW(**arguments)


def test_bad_schedules_are_found_when_the_study_is_made():
    optimizer = fs.Adam(0.1, beta1=fs.Linear(0.5, 10, final=1.0))
    with pytest.raises(fs.FastschedError, match=r"beta1 = Linear.* at step 10"):
        fs.Study(fs.Quadratic([1.0]), optimizer, steps=20, trajectories=1)


@pytest.mark.parametrize("optimizer", [fs.Adam(0.1), fs.AdamW(0.1), fs.SignSGD(0.1)])
def test_rotated_runs_are_refused(optimizer):
    matrix = np.array([[2.0, 0.5], [0.5, 1.0]])
    features = fs.RandomFeatures([1.0, 0.5, 0.2], [1.0, 1.0, 1.0], features=2)
    for landscape, remedy in ((fs.Quadratic(matrix), "eigenvalues"), (features, "brute_force=")):
        with pytest.raises(fs.FastschedError, match=f"coordinate by coordinate.*{remedy}"):
            fs.Study(landscape, optimizer, steps=2, trajectories=1)
        fs.Study(landscape, fs.SGD(0.1), steps=2, trajectories=1)
    fs.Study(fs.Quadratic(np.diag([2.0, 1.0])), optimizer, steps=2, trajectories=1)
    fs.Study(features.replace(brute_force=True), optimizer, steps=2, trajectories=1)


def test_no_exact_theory():
    study = fs.Study(fs.Quadratic([1.0]), fs.Adam(0.1), steps=2, trajectories=1)
    with pytest.raises(fs.NoExactTheory, match="Adam is not linear in the gradient"):
        fs.exact(study)


@pytest.mark.parametrize(
    "optimizer",
    [fs.Adam(0.1), fs.AdamW(fs.Linear(0.1, 9), weight_decay=fs.Constant(0.1), decay="constant")],
)
def test_toml(optimizer):
    study = fs.Study(fs.Quadratic([1.0]), optimizer, steps=2, trajectories=1)
    assert fs.Study.from_toml(study.to_toml()) == study
