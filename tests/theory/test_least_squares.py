"""One-pass least squares: golden values, the recursion against Volterra, and a simulation."""

import numpy as np
import pytest

import fastsched as fs
from fastsched.theory.least_squares import least_squares_risk, volterra_risk
from fastsched.theory.stability import one_pass_excess_risk

SPECTRUM = np.arange(1, 21) ** -1.5
ERROR = np.ones(20)
GOLDEN = [
    (1, 0.0, 0.2, False, 0.176992185793, 0.043540460117),
    (4, 0.0, 0.4, False, 0.081615119405, 0.012848055604),
    (4, 0.8, 0.1, False, 0.070976037781, 0.008511900392),
    (4, 0.8, 0.1, True, 0.068199598325, 0.008459934889),
]


@pytest.mark.parametrize(("batch", "momentum", "lr", "nesterov", "middle", "last"), GOLDEN)
def test_golden_values(batch, momentum, lr, nesterov, middle, last):
    optimizer = fs.SGD(fs.Linear(lr, 300), momentum, nesterov)
    risk = least_squares_risk(SPECTRUM, ERROR, optimizer, 300, batch, label_noise=0.3)
    assert risk[[50, 300]] == pytest.approx([middle, last], abs=6e-13)


@pytest.mark.parametrize("batch", [1, 5])
def test_recursion_equals_volterra(batch):
    risk = least_squares_risk(SPECTRUM, ERROR, fs.SGD(0.3), 1000, batch, 0.3)
    np.testing.assert_allclose(
        volterra_risk(SPECTRUM, ERROR, 0.3, 1000, batch, 0.3), risk, rtol=1e-12
    )


def test_limit_is_the_steady_excess_risk():
    risk = least_squares_risk(SPECTRUM, ERROR, fs.SGD(0.1, momentum=0.5), 20_000, 2, 0.3)
    exact = one_pass_excess_risk(SPECTRUM, 0.1, 0.09, momentum=0.5, batch_size=2)
    assert risk[-1] == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize(
    "optimizer",
    [
        fs.SGD(fs.Cosine(0.2, 30), momentum=0.6, velocity="classical"),
        fs.SGD(0.1, momentum=0.5, nesterov=True, weight_decay=0.1),
        fs.SGD(0.2, weight_decay=0.1, decay="lr"),
    ],
)
def test_against_simulation(optimizer):
    rng = np.random.default_rng(4)
    spectrum, target = np.array([1.0, 0.5, 0.2]), np.array([0.5, -1.0, 2.0])
    n, steps, sizes = 100_000, 30, np.tile([2, 3, 4], 10)
    theta = np.tile(target + np.array([1.0, -0.5, 1.5]), (n, 1))
    state = (np.zeros_like(theta),) * optimizer.slots
    values = optimizer.hyperparameters(steps)
    for t in range(steps):
        features = rng.normal(size=(sizes[t], n, 3)) * np.sqrt(spectrum)
        residual = np.sum(features * (theta - target), axis=2) + 0.3 * rng.normal(
            size=(sizes[t], n)
        )
        gradient = np.mean(features * residual[..., None], axis=0)
        theta, *state = optimizer.reference_step(theta, state, gradient, values, t)
    losses = (theta - target) ** 2 @ spectrum / 2
    error = [1.0, -0.5, 1.5]
    exact = least_squares_risk(spectrum, error, optimizer, steps, sizes, 0.3, target)[-1]
    se = losses.std() / np.sqrt(n)
    assert abs(losses.mean() - exact) <= 4 * se
    assert 0.01 * exact > 1.5 * se


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spectrum": [-1.0]}, "spectrum .* at least 0"),
        ({"error": [1.0, 2.0]}, "error .* of the spectrum's shape"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"batch_size": [1, 2]}, "batch_size .* of shape"),
        ({"label_noise": -1.0}, "label_noise = -1.0"),
    ],
)
def test_bad_parameters(changes, message):
    arguments = {"spectrum": [1.0], "error": [1.0], "optimizer": fs.SGD(0.1), "steps": 3}
    with pytest.raises(fs.FastschedError, match=message):
        least_squares_risk(**(arguments | changes))
