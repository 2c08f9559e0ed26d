"""SGD in all its forms: by hand, against PyTorch, and what it refuses."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import fastsched as fs


def run_once(optimizer, steps, start=1.0, curvature=1.0):
    """Return the losses of one noise-free trajectory in one dimension."""
    study = fs.Study(
        fs.Quadratic([curvature], noise=0.0, start=start),
        optimizer,
        steps,
        trajectories=1,
        record=np.arange(steps + 1),
        precision="double",
    )
    return fs.run(study, progress=False).data["loss"].values


def constant_gradient(optimizer, steps):
    """Return theta after `steps` steps from 0 with gradient 1, by the coefficients table."""
    theta, state = 0.0, [0.0] * optimizer.slots
    for row in optimizer.coefficients(steps):
        theta, *state = optimizer.update_function.py_func(theta, *state, 0.0, 1.0, *row)
    return theta


@pytest.mark.parametrize(("velocity", "theta"), [("pytorch", -0.119), ("classical", -0.200)])
def test_witness_of_the_velocity_conventions(velocity, theta):
    """g = 1, mu = 0.9, rates 0.1 then 0.01 (theory of the two conventions)."""
    optimizer = fs.SGD(fs.Table([0.1, 0.01]), momentum=0.9, velocity=velocity)
    assert constant_gradient(optimizer, 2) == pytest.approx(theta, abs=1e-15)


FORMS = list(itertools.product(fs.SGD.VELOCITIES, (False, True), fs.SGD.DECAYS, (0.0, 0.9, -0.3)))


@pytest.mark.parametrize(("velocity", "nesterov", "decay", "momentum"), FORMS)
def test_coefficients_are_the_reference_rule(velocity, nesterov, decay, momentum):
    optimizer = fs.SGD(
        fs.Cosine(0.3, 20),
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=fs.Linear(0.2, 20),
        decay=decay,
        velocity=velocity,
    )
    rng = np.random.default_rng(0)
    values = optimizer.hyperparameters(20)
    theta, state = np.array(1.3), (np.array(0.0),) * optimizer.slots
    fast, fast_state = 1.3, [0.0] * optimizer.slots
    for t, row in enumerate(optimizer.coefficients(20)):
        g = rng.normal()
        theta, *state = optimizer.reference_step(theta, tuple(state), np.array(g), values, t)
        fast, *fast_state = optimizer.update_function.py_func(fast, *fast_state, 0.0, g, *row)
        assert fast == pytest.approx(float(theta), rel=1e-12)


@pytest.mark.parametrize(("nesterov", "weight_decay"), [(False, 0.0), (True, 0.0), (True, 0.05)])
def test_equals_pytorch(nesterov, weight_decay):
    torch = pytest.importorskip("torch")
    schedule = fs.Cosine(0.2, 40)
    theta = torch.ones(1, dtype=torch.float64, requires_grad=True)
    reference = torch.optim.SGD(
        [theta], lr=0.2, momentum=0.9, nesterov=nesterov, weight_decay=weight_decay
    )
    losses = [0.5]
    for t in range(40):
        reference.param_groups[0]["lr"] = schedule(t)
        reference.zero_grad()
        (0.5 * theta**2).sum().backward()
        reference.step()
        losses.append(float(0.5 * theta.detach() ** 2))
    optimizer = fs.SGD(schedule, momentum=0.9, nesterov=nesterov, weight_decay=weight_decay)
    np.testing.assert_allclose(run_once(optimizer, 40), losses, rtol=1e-10, atol=1e-300)


DECAY_TABLE = [
    (100, fs.Constant(0.01), 0.9047921471),
    (100, fs.Linear(0.01, 100), 0.9507378363),
    (100, fs.Cosine(0.01, 100), 0.9507358545),
    (10_000, fs.Constant(0.01), 4.51733e-5),
    (10_000, fs.Linear(0.01, 10_000), 0.0067233566),
    (10_000, fs.Cosine(0.01, 10_000), 0.0067219547),
]


@pytest.mark.parametrize(("steps", "schedule", "shrinkage"), DECAY_TABLE)
def test_decoupled_decay_shrinks_by_the_product(steps, schedule, shrinkage):
    """prod(1 - eta_t lambda): with a nearly flat loss only the decay moves theta."""
    optimizer = fs.SGD(schedule, weight_decay=0.1, decay="lr")
    losses = run_once(optimizer, steps, curvature=1e-12)
    assert np.sqrt(losses[-1] / losses[0]) == pytest.approx(shrinkage, rel=2e-6)


def test_decay_rules_in_numbers():
    schedule = fs.Table([0.2, 0.1])

    def factors(decay):
        optimizer = fs.SGD(schedule, weight_decay=0.5, decay=decay)
        return 1 - optimizer.decays(optimizer.hyperparameters(2))[1]

    np.testing.assert_allclose(factors("lr"), [0.9, 0.95])
    np.testing.assert_allclose(factors("schedule"), [0.5, 0.75])
    np.testing.assert_allclose(factors("constant"), [0.5, 0.5])
    np.testing.assert_allclose(factors("coupled"), [1.0, 1.0])


FLAT = 1e-30
"""A curvature at which the gradient moves nothing."""

WARM = {
    "one cycle": (fs.OneCycle(0.1, 100), 0.0778),
    "warm-up from 0": (fs.Cosine(0.1, 90).warmup(10), None),
    "peak beyond the study": (fs.Linear(0.1, 200).warmup(150), None),
    "never above 0": (fs.Constant(0.0), 1.0),
}
"""Rates that do not start at their peak; the factor by which lambda = 0.05 shrinks theta."""


def factor_of_warm_schedule(name):
    """Return the product of 1 - (eta_t / max eta) lambda, by its definition."""
    schedule, known = WARM[name]
    rates = [schedule(t) for t in range(100)]
    peak = max(rates)
    expected = math.prod(1 - 0.05 * (rate / peak) for rate in rates) if peak else 1.0
    assert known is None or expected == pytest.approx(known, abs=5e-5)
    return expected


@pytest.mark.parametrize("form", [fs.SGD, fs.AdamW, "momentum"])
@pytest.mark.parametrize("name", WARM)
def test_decay_by_schedule_is_relative_to_the_largest_rate(name, form):
    """A warm-up does not start at the base rate, which the schedule's multiplier belongs to."""
    arguments = {"lr": WARM[name][0], "weight_decay": 0.05, "decay": "schedule"}
    heavy = {"momentum": 0.9, "nesterov": True, "velocity": "classical"}
    optimizer = fs.SGD(**arguments, **heavy) if form == "momentum" else form(**arguments)
    expected = factor_of_warm_schedule(name)
    losses = run_once(optimizer, 100, curvature=FLAT)
    assert np.sqrt(losses[-1] / losses[0]) == pytest.approx(expected, rel=1e-12)
    assert fs.theory.decay_shrinkage(optimizer, 100) == pytest.approx(expected, rel=1e-12)
    if form is not fs.AdamW:
        study = fs.Study(fs.Quadratic([FLAT], noise=0.0), optimizer, 100, 1, record=[0, 100])
        losses = fs.exact(study)["loss"].values
        assert np.sqrt(losses[-1] / losses[0]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("optimizer", [fs.SGD, fs.AdamW])
def test_first_step_of_a_warmup_from_0_shrinks_nothing(optimizer):
    """One row alone is asked for where a kernel is built; its rate is 0."""
    arguments = {"weight_decay": 0.05, "decay": "schedule"}
    warm = optimizer(fs.Constant(0.1).warmup(5), **arguments)
    assert np.all(np.isfinite(warm.coefficients(1)))
    assert np.all(np.isfinite(warm.idle_coefficients))
    assert warm.decays(warm.hyperparameters(1))[1] == 0


def test_small_decay_survives_single_precision():
    """1 - 1e-8 is 1 in float32; a decay this small must act all the same on average."""
    study = fs.Study(
        fs.Quadratic([1e-12], noise=1.0, start=1.0),
        fs.SGD(1e-4, weight_decay=1e-4, decay="lr"),
        steps=40_000,
        trajectories=4096,
        record=[40_000],
    )
    loss = fs.run(study, progress=False).data["loss"].values[0] / 1e-12
    second = 1.0
    for _ in range(40_000):
        second = second * (1 - 1e-8) ** 2 + 1e-8
    assert loss == pytest.approx(second / 2, rel=2e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0.0}, "lr = 0.0: lr must be greater than 0"),
        ({"lr": -0.1}, "lr = -0.1: lr must be greater than 0"),
        ({"lr": np.nan}, "lr = nan: lr must be a finite number"),
        ({"lr": np.inf}, "lr = inf"),
        ({"lr": "fast"}, "lr = 'fast'"),
        ({"lr": 0.1, "momentum": 1.0}, r"momentum = 1.0: momentum must be .*\(-1, 1\)"),
        ({"lr": 0.1, "momentum": -1.0}, "momentum = -1.0"),
        ({"lr": 0.1, "weight_decay": -1e-3}, "weight_decay = -0.001"),
        ({"lr": 0.1, "decay": "l2"}, "decay = 'l2': decay must be one of 'coupled'"),
        ({"lr": 0.1, "velocity": "keras"}, "velocity = 'keras': velocity must be one of"),
        ({"lr": 0.1, "nesterov": 1}, "nesterov = 1"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.SGD(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": fs.Linear(0.1, 10, final=-0.1)}, "lr = Linear.* at step 6: lr must be at least 0"),
        ({"lr": 0.1, "momentum": fs.Linear(0.5, 10, final=1.0)}, "momentum = .* at step 10"),
        ({"lr": 0.1, "weight_decay": fs.Table([0.1, -0.1])}, "weight_decay = .* at step 1"),
    ],
)
def test_bad_schedules_are_found_when_the_study_is_made(arguments, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.Study(fs.Quadratic([1.0]), fs.SGD(**arguments), steps=20, trajectories=1)


MOMENTA = fs.Table([0.9, 0.5, 0.0, 0.0, 0.8, 0.7])
"""Momentum that touches 0."""


def velocities(skip, nesterov):
    """Return theta after each step of MOMENTA, gradient (t + 1)^2, from 0 at the rate 0.1.

    With `skip`, steps at zero momentum leave the velocity alone and use the gradient.
    """
    theta, v, path = 0.0, 0.0, []
    for t, mu in enumerate(MOMENTA.values(6)):
        g = (t + 1.0) ** 2
        if skip and mu == 0:
            theta -= 0.1 * g
        else:
            v = mu * v + g
            theta -= 0.1 * (g + mu * v if nesterov else v)
        path.append(theta)
    return path


@pytest.mark.parametrize("nesterov", [False, True])
def test_velocity_becomes_the_gradient_where_momentum_is_0(nesterov):
    optimizer = fs.SGD(0.1, momentum=MOMENTA, nesterov=nesterov)
    theta, v, path = 0.0, 0.0, []
    for t, row in enumerate(optimizer.coefficients(6)):
        theta, v = optimizer.update_function.py_func(theta, v, 0.0, (t + 1.0) ** 2, *row)
        path.append(theta)
    np.testing.assert_allclose(path, velocities(False, nesterov), rtol=1e-12)
    assert path[4] != pytest.approx(velocities(True, nesterov)[4], rel=1e-3)


@pytest.mark.parametrize("nesterov", [False, True])
def test_optax_replaces_the_velocity_where_momentum_is_0(nesterov):
    optax = pytest.importorskip("optax")
    momentum = fs.to_optax(MOMENTA, steps=6)
    rule = optax.inject_hyperparams(optax.sgd)(0.1, momentum=momentum, nesterov=nesterov)
    theta, state, path = 0.0, rule.init(np.float32(0)), []
    for t in range(6):
        update, state = rule.update(np.float32((t + 1.0) ** 2), state)
        theta += float(update)
        path.append(theta)
    np.testing.assert_allclose(path, velocities(False, nesterov), rtol=1e-5)


@pytest.mark.parametrize("nesterov", [False, True])
def test_pytorch_skips_its_velocity_where_momentum_is_0(nesterov):
    """The one difference of `velocity="pytorch"`; documented at `momentum`."""
    torch = pytest.importorskip("torch")
    theta = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([theta], lr=0.1, momentum=0.9, nesterov=nesterov)
    path = []
    for t, mu in enumerate(MOMENTA.values(6)):
        optimizer.param_groups[0]["momentum"] = float(mu)
        theta.grad = torch.tensor([(t + 1.0) ** 2], dtype=torch.float64)
        optimizer.step()
        path.append(theta.item())
    np.testing.assert_allclose(path, velocities(True, nesterov), rtol=1e-12)
