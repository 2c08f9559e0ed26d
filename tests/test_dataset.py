"""Finite sums over data: sampling of rows, exact moments, minimizers, the local model."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import draws, fast_losses, slow_losses
from scipy import optimize, stats

import fastsched as fs

RNG = np.random.default_rng(3)
INPUTS = RNG.normal(size=(12, 3)) * [1, 0.6, 0.3]
TARGETS = INPUTS @ [1.0, -1.0, 2.0] + 0.5 * RNG.normal(size=12)
CLASSES = (TARGETS > 0.2).astype(float)


def exact_loss(data, lr, steps, batch_size):
    """Return the expected loss of SGD with replacement by the recursion of E e e^T."""
    phi, n = data.design, len(data.design)
    hessian, residuals = data.hessian(), phi @ data.minimizer() - data.targets
    error = -data.minimizer()
    mean, second = error.copy(), np.outer(error, error)
    pull = data.l2 * data.minimizer()
    values = []
    for _ in range(steps + 1):
        least = data.reference_loss(data.minimizer()[None])[0]
        values.append(least + 0.5 * np.sum(hessian * second))
        slope_mean = phi @ mean
        slope_second = np.einsum("ri,ij,rj->r", phi, second, phi)
        squares = slope_second + 2 * residuals * slope_mean + residuals**2
        sample = np.einsum("r,ri,rj->ij", squares, phi, phi) / n
        plain = hessian - data.l2 * np.eye(3)
        # The mean gradient of the rows is plain e - pull: at the minimizer they balance l2.
        expected = (
            plain @ second @ plain
            - np.outer(plain @ mean, pull)
            - np.outer(pull, plain @ mean)
            + np.outer(pull, pull)
        )
        noise = (sample - expected) / batch_size
        step = np.eye(3) - lr * hessian
        second = step @ second @ step.T + lr**2 * noise
        mean = step @ mean
    return np.array(values)


@pytest.mark.parametrize(("batch_size", "l2"), [(1, 0.0), (3, 0.0), (2, 0.3)])
def test_with_replacement_against_exact_moments(batch_size, l2):
    data = fs.Dataset(INPUTS, TARGETS, l2=l2)
    study = fs.Study(data, fs.SGD(0.1), 40, 250_000, batch_size, record=[1, 2, 10, 40])
    result = fs.run(study, progress=False)
    expected = exact_loss(data, 0.1, 40, batch_size)[[1, 2, 10, 40]]
    loss, error = result["loss"].values, result["loss_se"].values
    assert np.all(0.01 * expected > 8 * error)
    assert np.all(np.abs(loss - expected) <= 4 * error)


@pytest.mark.parametrize("batch_size", [1, 3, 7, fs.Piecewise([1, 2], [2, 5, 3])])
def test_an_epoch_visits_every_row_once(batch_size):
    """Rows are axes: a visit at rate 1 sets a parameter to its target."""
    data = fs.Dataset(np.eye(7), np.arange(7.0), replacement=False)
    sizes = fs.Study(data, fs.SGD(1.0), 20, 1, batch_size).batch_sizes()
    begins, counts, _ = data.step_table(sizes).T
    epoch = int(np.argmax(begins[1:] == 0)) + 1
    assert np.sum(counts[:epoch]) == 7
    rates = fs.Table(counts[:epoch])
    study = fs.Study(data, fs.SGD(rates), epoch, 50, batch_size, record=np.arange(epoch + 1))
    result = fs.run(study, progress=False)
    left = (7 - np.cumsum(counts[:epoch])) / 7
    loss, error = result["loss"].values, result["loss_se"].values
    assert loss[-1] == pytest.approx(0, abs=1e-10)
    assert np.all(np.abs(loss - loss[0] * np.append(1, left)) <= 4 * error + 1e-6)
    drawn = fs.run(study.replace(landscape=data.replace(replacement=True)), progress=False)
    assert drawn["loss"][-1] > 0.1


def test_second_epoch_has_another_order():
    data = fs.Dataset(np.eye(40), np.ones(40), replacement=False)
    orders = [
        np.stack([data._reference_rows(draws(3, t), 1)[:, 0] for t in range(s, s + 40)], axis=1)
        for s in (0, 40)
    ]
    for order in orders:
        assert np.all(np.sort(order, axis=1) == np.arange(40))
    assert not np.any(np.all(orders[0] == orders[1], axis=1))


@pytest.mark.parametrize("replacement", [True, False])
def test_rows_are_drawn_uniformly(replacement):
    data = fs.Dataset(np.eye(4), np.ones(4), replacement=replacement)
    rows = data._reference_rows(draws(24_000), 4)
    code = rows @ 4 ** np.arange(4)
    counts = np.unique(code, return_counts=True)[1]
    assert len(counts) == (256 if replacement else 24)
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("features", [None, fs.FeatureMap(4, "erf", seed=2)])
def test_minimizer_hessian_and_noise(loss, features):
    data = fs.Dataset(INPUTS, TARGETS if loss == "squared" else CLASSES, loss, features, l2=0.05)
    best = data.minimizer()
    np.testing.assert_allclose(data.gradient(best), 0, atol=1e-9)
    theta = RNG.normal(size=data.dim)
    for k, axis in enumerate(np.eye(data.dim)):
        numeric = (data.gradient(theta + 1e-6 * axis) - data.gradient(theta - 1e-6 * axis)) / 2e-6
        np.testing.assert_allclose(data.hessian(theta)[k], numeric, atol=1e-7)
    single = np.stack(
        [
            fs.Dataset(row[None], [label], loss, features).gradient(theta)
            for row, label in zip(INPUTS, data.targets, strict=True)
        ]
    )
    np.testing.assert_allclose(
        data.gradient_covariance(theta), np.cov(single.T, bias=True), atol=1e-12
    )


def test_separable_classes_have_no_minimizer():
    data = fs.Dataset([[1.0], [2.0], [-1.0]], [1, 1, 0], "logistic")
    with pytest.raises(fs.FastschedError, match="a hyperplane separates the classes"):
        data.minimizer()
    assert abs(data.replace(l2=0.1).minimizer()[0]) < 5


def test_classes_have_many_names():
    data = fs.Dataset(INPUTS, CLASSES, "logistic", l2=0.1)
    for other in (CLASSES > 0, 2 * CLASSES - 1):
        same = fs.Dataset(INPUTS, other, "logistic", l2=0.1)
        np.testing.assert_array_equal(same.minimizer(), data.minimizer())


def test_start_far_from_rank_deficient_minimum():
    data = fs.Dataset([[1.0, 1.0], [2.0, 2.0]], [1.0, 2.0], start=np.array([5.0, -3.0]))
    np.testing.assert_allclose(data.minimizer(), [0.5, 0.5])
    result = fs.run(fs.Study(data, fs.SGD(0.1), 200, 16), progress=False)
    assert result["loss"][-1] < 1e-10


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("features", [None, 5])
def test_test_split(loss, features):
    targets = TARGETS if loss == "squared" else CLASSES
    data = fs.Dataset(
        INPUTS[:8], targets[:8], loss, features, l2=0.1, start=0.7,
        test_inputs=INPUTS[8:], test_targets=targets[8:],
    )  # fmt: skip
    study = fs.Study(data, fs.SGD(0.1), 30, 1, 8, precision="double",
                     measures=(fs.TestLoss(), fs.Loss()), record=[0, 30])  # fmt: skip
    result = fs.run(study, progress=False)
    theta = data.start_moments()[0][None]
    assert result["test_loss"][0] == pytest.approx(data.reference_test_loss(theta)[0], rel=1e-12)
    assert result["loss"][0] == pytest.approx(data.reference_loss(theta)[0], rel=1e-12)
    assert fs.Study.from_toml(study.to_toml()) == study
    for other in (data.replace(test_inputs=None, test_targets=None), fs.Quadratic([1.0])):
        with pytest.raises(fs.FastschedError, match="TestLoss needs a Dataset with test_inputs"):
            study.replace(landscape=other)


def test_local_quadratic_model():
    data = fs.Dataset(INPUTS, TARGETS, l2=0.02, start=fs.Normal(0.3, 0.1))
    model = fs.Quadratic.from_dataset(data)
    np.testing.assert_allclose(np.sort(model.eigenvalues), np.linalg.eigvalsh(data.hessian()))
    # Far from the minimum the noise grows, which the model leaves out: compare near it.
    near = data.replace(start=data.minimizer())
    exact = fs.exact(fs.Study(fs.Quadratic.from_dataset(near), fs.SGD(1e-3), 1, 1, record=[1]))[
        "loss"
    ].item()
    least = data.reference_loss(data.minimizer()[None])[0]
    step = exact_loss_from_minimum(near, 1e-3)
    assert exact == pytest.approx(step - least, rel=1e-6)
    with pytest.raises(fs.FastschedError, match=r"l2 = 0\.0: .* singular"):
        fs.Quadratic.from_dataset(fs.Dataset([[1.0, 1.0], [2.0, 2.0]], [1.0, 2.0]))
    with pytest.raises(fs.FastschedError, match=r"start\.std"):
        fs.Quadratic.from_dataset(data.replace(start=fs.Normal(0, [1.0, 2.0, 3.0])))


def exact_loss_from_minimum(data, lr):
    """Return the expected loss after a step from the minimizer, over all rows."""
    best = data.minimizer()
    slopes = (data.design @ best - data.targets)[:, None] * data.design + data.l2 * best
    return float(np.mean(data.reference_loss(best - lr * slopes)))


def test_gradient_of_the_loss():
    for loss, targets in (("squared", TARGETS), ("logistic", CLASSES)):
        data = fs.Dataset(INPUTS, targets, loss, l2=0.3)
        theta = RNG.normal(size=3)
        numeric = optimize.approx_fprime(
            theta, lambda x, d=data: d.reference_loss(x[None])[0], 1e-7
        )
        np.testing.assert_allclose(data.gradient(theta), numeric, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": [1.0, 2.0]}, "inputs .* got shape"),
        ({"inputs": np.empty((0, 3))}, "inputs .* got shape"),
        ({"inputs": [[1.0, np.nan]] * 12}, "inputs .* all finite"),
        ({"targets": TARGETS[:5]}, r"targets .* shape \(12,\), got shape \(5,\)"),
        ({"targets": np.full(12, np.nan)}, "targets .* all finite"),
        ({"loss": "hinge"}, "loss = 'hinge'"),
        ({"loss": "logistic"}, "0 or 1, or -1 or 1"),
        ({"features": 0}, "features = 0"),
        ({"features": fs.Normal()}, "features = "),
        ({"replacement": 1}, "replacement = 1"),
        ({"l2": -1.0}, "l2 = -1.0"),
        ({"start": [1.0]}, r"start .* shape \(3,\)"),
        ({"test_inputs": INPUTS}, "test_targets = None"),
        ({"test_inputs": INPUTS[:, :2], "test_targets": TARGETS}, "test_inputs .* 3 columns"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.Dataset(**{"inputs": INPUTS, "targets": TARGETS, **arguments})


@pytest.mark.parametrize(("replacement", "batch_size"), [(True, 2**24 + 1), (False, 13)])
def test_batches_that_are_too_large(replacement, batch_size):
    study = fs.Study(
        fs.Dataset(INPUTS, TARGETS, replacement=replacement), fs.SGD(0.1), 5, 5, batch_size
    )
    allowed = "at most 16777216" if replacement else "number of rows, 12, without replacement"
    with pytest.raises(fs.FastschedError, match=f"batch_size = {batch_size}: .* {allowed}"):
        fs.run(study, progress=False)


@pytest.mark.parametrize("precision", ["single", "double"])
def test_a_batch_may_be_larger_than_the_data(precision):
    data = fs.Dataset(INPUTS, TARGETS, start=0.5)
    study = fs.Study(data, fs.SGD(0.1), 5, 20, 64, record=np.arange(6), precision=precision)
    tolerance = 1e-4 if precision == "single" else 1e-11
    np.testing.assert_allclose(fast_losses(study), slow_losses(study), rtol=tolerance)


def test_large_batches_divide_the_variance():
    """64 rows out of 12: the gradient of a step has 1/64 of the variance of one row's."""
    data = fs.Dataset(INPUTS, TARGETS)
    n, rate = 40_000, 0.5
    study = fs.Study(data, fs.SGD(rate), 1, n, 64, record=[1])
    losses = fast_losses(study)[0]
    after = data.start_moments()[0] - rate * data.gradient(np.zeros(3))
    spread = rate**2 * data.gradient_covariance(np.zeros(3)) / 64
    excess = np.trace(data.hessian() @ spread) / 2
    error = losses.std() / np.sqrt(n)
    assert excess > 20 * error
    assert abs(losses.mean() - data.reference_loss(after[None])[0] - excess) < 4 * error


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_shapes_and_types_of_the_data(loss):
    rows, targets = INPUTS > 0, TARGETS > 0.2
    expected = fs.Dataset(
        rows.astype(float), targets.astype(float), loss, test_inputs=rows.astype(float),
        test_targets=targets.astype(float),
    )  # fmt: skip
    for x, y in [
        (rows, targets),
        (rows.tolist(), targets.tolist()),
        (rows, targets[:, None]),
        (rows.astype(np.float32), targets.astype(int)[:, None].tolist()),
    ]:
        assert fs.Dataset(x, y, loss, test_inputs=x, test_targets=y) == expected
    for wrong in (targets[:11, None], targets[None], np.stack([targets, targets], axis=1)):
        with pytest.raises(fs.FastschedError, match=r"test_targets .* \(12,\), got shape"):
            expected.replace(test_targets=wrong)


def test_data_frames():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": INPUTS[:, 0], "b": INPUTS[:, 1] > 0, "c": np.arange(12)})
    expected = fs.Dataset(np.stack([INPUTS[:, 0], INPUTS[:, 1] > 0, np.arange(12)], 1), TARGETS)
    for targets in (pd.Series(TARGETS), pd.DataFrame({"y": TARGETS})):
        assert fs.Dataset(frame, targets) == expected
    with pytest.raises(fs.FastschedError, match=r"inputs = .* shape \(n, v\)"):
        fs.Dataset(frame.assign(b="no"), TARGETS)


def test_feature_map():
    features = fs.FeatureMap(6, "tanh", seed=1)(INPUTS)
    assert features.shape == (12, 6)
    assert np.all(np.abs(features) < 1)
    with pytest.raises(fs.FastschedError, match="activation = 'swish'"):
        fs.FeatureMap(3, "swish")
