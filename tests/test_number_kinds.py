"""Numbers and arrays of other libraries: stored like Python's and NumPy's, everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import fastsched as fs
from fastsched import errors, schedules


def torch_made(values):
    torch = pytest.importorskip("torch")
    dtype = torch.int64 if np.asarray(values).dtype.kind == "i" else torch.float64
    return torch.tensor(values, dtype=dtype)


def torch_with_gradient(values):
    torch = pytest.importorskip("torch")
    return torch.tensor(np.asarray(values, dtype=float), requires_grad=True)


def jax_made(values):
    return pytest.importorskip("jax.numpy").asarray(values)


def pandas_made(values):
    pd = pytest.importorskip("pandas")
    values = np.asarray(values)
    if values.ndim == 0:
        return values
    return pd.Series(values) if values.ndim == 1 else pd.DataFrame(values)


MAKERS = [np.array, xr.DataArray, torch_made, torch_with_gradient, jax_made, pandas_made]
made = pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)

# JAX rounds to single precision: 0.5, 0.25 and so on are exact.
STUDY = fs.Study(fs.Quadratic([1.0, 0.5]), fs.SGD(0.5), 100, 64)


def same(a, b):
    """Assert that two descriptions cannot be told apart."""
    assert a == b
    assert hash(a) == hash(b)
    assert repr(a) == repr(b)


@made
@pytest.mark.parametrize(
    "build",
    [
        lambda x: fs.SGD(x(0.5), momentum=x(0.25), weight_decay=x(0.125)),
        lambda x: fs.AdamW(x(0.5), eps=x(2.0**-20)),
        lambda x: fs.SGD(fs.Cosine(x(0.5), x(100), final=x(0.25)).warmup(x(5), x(0.125))),
        lambda x: fs.SGD(fs.StepDecay(x(0.5), x(10.0), x(0.5)).then(fs.Constant(x(1)), x(20))),
        lambda x: fs.SGD(fs.Constant(0.5).clip(x(0.25), x(1))),
        lambda x: fs.HittingTime(x(0.5)),
        lambda x: fs.Quadratic(x([1.0, 0.5]), noise=x(0.5), start=x(0.25), minimum=x([1.0, 2.0])),
        lambda x: fs.Quadratic(x([[1.0, 0.5], [0.5, 1.0]]), start=fs.Normal(x(0.5), x(0.25))),
        lambda x: fs.LeastSquares(x([1.0, 0.5]), x(0.5), target=x([0.5, 1.0])),
        lambda x: fs.RandomFeatures(x([1.0, 0.5]), x([0.5, 1.0]), x(3), seed=x(1)),
        lambda x: fs.Wells(x([[0.0, 1.0], [2.0, 1.0]]), x(np.ones((2, 2))), depths=x([0.5, 1.0])),
        lambda x: fs.DoubleWell(x(3), across=x([0.5, 1.0]), noise=x(0.5)),
        lambda x: fs.Dataset(x([[1.0, 0.0], [0.5, 2.0]]), x([0.5, 1.0]), l2=x(0.5)),
        lambda x: fs.MultiStep(x(0.5), x([10, 20])),
        lambda x: fs.Piecewise(x([10]), x([0.5, 0.25])),
        lambda x: fs.Table(x([0.5, 0.25])),
        lambda x: fs.Loss(quantiles=x([0.25, 0.5])),
        lambda x: fs.Overshoot(axes=x([0, 3])),
        lambda x: fs.Escape(radius=x(0.5), center=x([0.5, 1.0])),
        lambda x: fs.Average("ema", decay=x(0.5)),
        lambda x: STUDY.replace(steps=x(100), trajectories=x(64), batch_size=x(4), seed=x(2)),
        lambda x: STUDY.replace(record=x(20)),
        lambda x: STUDY.replace(record=x([0, 50, 100])),
        lambda x: fs.sweep(STUDY, {"optimizer.lr": x([0.5, 0.25]), "batch_size": x([1, 4])}),
        lambda x: fs.sweep(STUDY, {"optimizer.lr": {"a": x(0.5), "b": x(0.25)}}),
        lambda x: fs.sweep(STUDY, {"optimizer.lr": [x(0.5), x(0.25)]}),
        lambda x: fs.sweep(STUDY, {"optimizer.lr, optimizer.momentum": x([[0.5, 0.25], [1, 0]])}),
        lambda x: fs.sweep(STUDY, {"optimizer.lr, batch_size": [(x(0.5), x(1)), (x(0.25), x(2))]}),
        lambda x: fs.sweep(STUDY, {"landscape.noise": {"a": x([0.5, 1.0]), "b": x(1.0)}}),
    ],
)
def test_numbers_and_arrays_everywhere(make, build):
    given, plain = build(make), build(lambda values: values)
    same(given, plain)
    assert given.to_dict() == plain.to_dict()
    assert given.digest() == plain.digest()
    if isinstance(given, (fs.Study, fs.Sweep)):
        assert given.to_toml() == plain.to_toml()


@made
def test_operands(make):
    s = fs.Linear(1.0, steps=10)
    half = make(0.5)
    for given, plain in [
        (s * half, s * 0.5),
        (s + half, s + 0.5),
        (half * s, 0.5 * s),
        (half + s, 0.5 + s),
    ]:
        # xarray keeps the result of its own operators in an array of objects.
        same(given.item() if isinstance(given, xr.DataArray) else given, plain)
    for other in (make([0.5, 1.0]), make([0.5])):
        with pytest.raises(fs.FastschedError, match=r"(a|b) must be"):
            schedules.Product(s, other)


@made
def test_steps_of_a_schedule(make):
    s = fs.Linear(1.0, steps=10)
    if make is torch_with_gradient:  # such tensors are not integers
        make = torch_made
    assert s(make(5)) == 0.5
    assert s(make([0, 5])).tolist() == [1.0, 0.5]
    assert s(make([[0], [5]])).shape == (2, 1)


def test_a_tensor_in_single_precision():
    torch = pytest.importorskip("torch")
    for tensor in (torch.tensor(0.1), torch.tensor(0.1, requires_grad=True)):
        study = STUDY.replace(optimizer=fs.SGD(tensor))
        plain = STUDY.replace(optimizer=fs.SGD(float(tensor.detach())))
        same(study, plain)
        assert study.to_toml() == plain.to_toml()
        assert type(study.optimizer.lr) is float
    half = torch.tensor(0.5, dtype=torch.bfloat16)
    same(fs.SGD(half), fs.SGD(0.5))
    same(fs.Table(torch.stack([half, 2 * half])), fs.Table([0.5, 1.0]))
    same(fs.Table([half, half.double().requires_grad_()]), fs.Table([0.5, 0.5]))
    same(fs.Quadratic([[half * 2, half], [half, half * 2]]), fs.Quadratic([[1, 0.5], [0.5, 1]]))
    jnp = pytest.importorskip("jax.numpy")
    same(fs.Table(jnp.array([0.5, 1.0], jnp.bfloat16)), fs.Table([0.5, 1.0]))


def test_data_frames_of_mixed_types():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"rate": [0.5, 0.25], "batch": pd.array([1, 4], dtype="Int64")})
    expected = fs.Table([0.5, 0.25]), fs.Piecewise([1], [0.5, 0.25])
    same(fs.Table(frame["rate"]), expected[0])
    same(fs.Table(frame["rate"].convert_dtypes()), expected[0])
    same(fs.Piecewise(frame["batch"][:1], frame["rate"]), expected[1])
    same(
        fs.Wells(frame, np.ones((2, 2)), noise=0.5),
        fs.Wells(frame.to_numpy(float), np.ones((2, 2)), noise=0.5),
    )
    velocity = pd.Series(["pytorch", "classical"])
    same(
        fs.sweep(STUDY, {"optimizer.velocity": velocity}),
        fs.sweep(STUDY, {"optimizer.velocity": ["pytorch", "classical"]}),
    )
    with pytest.raises(fs.FastschedError, match=r"values = .* all finite"):
        fs.Table(pd.Series([0.5, None]))
    with pytest.raises(fs.FastschedError, match=r"centers = .* must be"):
        fs.Wells(frame.assign(batch=[True, False]), np.ones((2, 2)))


@made
def test_arguments_of_functions(make):
    study = fs.Study(fs.Quadratic([1.0]), fs.SGD(0.5), 4, 64, record=[4])
    result = fs.run(study, progress=False, target_se=make(0.5), confidence=make(0.75))
    assert result.trajectories == 64
    options = {"device": "cpu", "progress": False}
    with pytest.warns(RuntimeWarning, match=r"lies at a bound of \(0.25, 0.5\)"):
        tuned = fs.tune(study, "optimizer.lr", make([0.25, 0.5]), lambda r: make(1.0), **options)
    assert tuned.objective == 1.0
    assert fs.theory.noise_floor(fs.SGD(0.5), make([1.0]), make(3.0)) == pytest.approx(0.5)
    rates = fs.theory.linear_rule(fs.SGD(0.5), 3, make([1.0, 4.0, 4.0])).noise
    assert rates[:, 0].tolist() == [-0.5, -0.25]


@pytest.mark.parametrize(
    "value",
    [
        np.array([0.5]),
        np.array(True),
        np.array(0.5 + 0j),
        np.array("0.5"),
        np.array(0.5, dtype=object),
        np.ma.masked_array(0.5),
        np.ma.masked,
        np.timedelta64(5, "s"),
        np.array(np.datetime64("2020")),
        xr.DataArray([0.5]),
        xr.DataArray(True),
        xr.Dataset({"lr": 0.5}),
    ],
    ids=repr,
)
def test_what_is_no_number(value):
    assert not errors.is_number(value) or value.dtype == bool
    for build in (fs.SGD, fs.Constant, fs.HittingTime):
        with pytest.raises(fs.FastschedError, match=r"must be a finite number"):
            build(value)
    with pytest.raises(fs.FastschedError, match=r"steps = .* must be an integer"):
        fs.Linear(1.0, steps=value)


@pytest.mark.parametrize(
    "value",
    [
        np.array([True, False]),
        np.array([0.5 + 0j, 1.0]),
        np.array(["a", "b"]),
        np.array([0.5, 1.0], dtype=object),
        np.array([(0.5, 1.0)], dtype=[("a", float), ("b", float)]),
        np.ma.masked_array([0.5, 1.0]),
        np.array([1, 2], dtype="m8[s]"),
        xr.DataArray([True, False]),
    ],
    ids=repr,
)
def test_what_is_no_array_of_numbers(value):
    with pytest.raises(fs.FastschedError, match=r"values = .* must be"):
        fs.Table(value)
    with pytest.raises(fs.FastschedError, match=r"curvature = .* must be"):
        fs.Quadratic(value)


def test_tensors_that_are_no_numbers():
    torch = pytest.importorskip("torch")
    for value in (
        torch.tensor(True),
        torch.tensor([0.5]),
        torch.tensor(1j),
        torch.empty((), device="meta"),
    ):
        with pytest.raises(fs.FastschedError, match=r"lr = .* must be a finite number"):
            fs.SGD(value)
    with pytest.raises(fs.FastschedError, match=r"steps = .* must be an integer"):
        fs.Linear(1.0, torch.tensor(2.5))


def test_stored_arrays_are_read_only_copies():
    source = np.array([0.5, 1.0])
    for value in (source, xr.DataArray(source)):
        spectrum = fs.Quadratic(value).curvature
        assert type(spectrum) is np.ndarray
        assert spectrum.dtype == np.float64
        assert not spectrum.flags.writeable
        assert not np.shares_memory(spectrum, source)
