"""fs.exact: golden values, naive recursions, jumps, averages, limits and refusals."""

import numpy as np
import pytest
from scipy import stats

import fastsched as fs
from fastsched.kernels.probe import Probe
from fastsched.theory.exact import exact_curves, linear_dynamics, loss_moments
from fastsched.theory.stationary import noise_floor

H = 1 / np.arange(1, 101)
QUADRATIC = fs.Quadratic(H, noise="hessian", start=fs.Normal(0.0, 1.0))
LANDSCAPE = fs.Quadratic(
    np.geomspace(1, 0.01, 7),
    noise=np.linspace(1, 0.2, 7),
    start=fs.Normal(np.linspace(-1, 1, 7), 0.5),
    minimum=np.linspace(0.3, -2, 7),
)
STEPS = 60
RATES = (0.1, fs.Cosine(0.1, STEPS), fs.StepDecay(0.2, every=17))


def optimizers():
    for lr in RATES:
        for momentum in (0.0, 0.8, -0.4, fs.Linear(0.9, STEPS)):
            for nesterov in (False, True):
                for velocity in fs.SGD.VELOCITIES:
                    yield fs.SGD(lr, momentum, nesterov, velocity=velocity)
    for decay in fs.SGD.DECAYS:
        for weight_decay in (0.02, fs.Linear(0.05, STEPS)):
            for nesterov in (False, True):
                yield fs.SGD(RATES[1], 0.5, nesterov, weight_decay, decay, "classical")
                yield fs.SGD(RATES[2], 0.0, nesterov, weight_decay, decay)


def naive_moments(landscape, optimizer, batch_sizes):
    """Return mean and variance of every coordinate of theta after every step.

    The optimizer's plain rule is affine: its values at unit vectors are its matrix.
    """
    h, sigma, minimum = landscape.eigenvalues, landscape.noise_std, landscape.origin()
    steps, dim = len(batch_sizes), landscape.dim
    values = optimizer.hyperparameters(steps)
    zero, one = np.zeros(dim), np.ones(dim)

    def step(theta, velocity, gradient, t):
        state = (velocity,) if optimizer.slots else ()
        theta, *rest = optimizer.reference_step(theta, state, gradient, values, t)
        return np.stack([theta, *(rest or [zero])], axis=-1)

    mean, covariance = np.zeros((dim, 2)), np.zeros((dim, 2, 2))
    mean[:, 0], std = landscape.start_moments()
    covariance[:, 0, 0] = std**2
    means, variances = [mean[:, 0]], [covariance[:, 0, 0]]
    for t in range(steps):
        offset = step(zero, zero, -h * minimum, t)
        matrix = np.stack([step(one, zero, h, t), step(zero, one, zero, t)], axis=-1)
        noise = step(zero, zero, sigma / np.sqrt(batch_sizes[t]), t)
        mean = np.einsum("dij,dj->di", matrix, mean) + offset
        covariance = np.einsum("dij,djk,dlk->dil", matrix, covariance, matrix)
        covariance = covariance + noise[:, :, None] * noise[:, None, :]
        means.append(mean[:, 0])
        variances.append(covariance[:, 0, 0])
    return np.array(means), np.array(variances)


@pytest.mark.parametrize("batch_size", [3, fs.Linear(1, STEPS, final=9)])
def test_moments_of_every_form(batch_size):
    for optimizer in optimizers():
        study = fs.Study(
            LANDSCAPE,
            optimizer,
            STEPS,
            1,
            batch_size,
            record=np.arange(STEPS + 1),
            measures=fs.Loss(()),
        )
        mean, variance = naive_moments(LANDSCAPE, optimizer, study.batch_sizes())
        result = fs.exact(study)
        np.testing.assert_allclose(result["theta_mean"], mean, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(result["theta_variance"], variance, rtol=1e-11, atol=1e-14)
        second = (mean - LANDSCAPE.origin()) ** 2 + variance
        np.testing.assert_allclose(result["loss"], second @ LANDSCAPE.eigenvalues / 2, rtol=1e-12)


GOLDEN = [
    (fs.SGD(0.5), 0.045052462333),
    (fs.SGD(fs.Cosine(0.5, 500)), 0.020756040135),
    (fs.SGD(fs.Linear(0.5, 500)), 0.020428398515),
    (fs.SGD(fs.InverseSqrt(0.5)), 0.328829518081),
    (fs.SGD(0.05, momentum=0.9), 0.041150123596),
    (fs.SGD(fs.Cosine(0.05, 500), momentum=0.9), 0.020769199271),
    (fs.SGD(0.05, momentum=0.9, nesterov=True), 0.037637260573),
    (fs.SGD(fs.Cosine(0.05, 500), momentum=0.9, nesterov=True), 0.020759471065),
]


@pytest.mark.parametrize(("optimizer", "loss"), GOLDEN)
def test_golden_values(optimizer, loss):
    study = fs.Study(QUADRATIC, optimizer, 500, 1, batch_size=16, record=[500])
    assert fs.exact(study)["loss"].item() == pytest.approx(loss, abs=6e-13)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("average", [None, fs.Average(), fs.Average("ema", decay=0.99)])
def test_jumps_equal_the_recursion(momentum, average):
    from fastsched.theory.averaging import averaged

    lr = fs.Piecewise([700, 1400], [0.3, 0.1, 0.02])
    study = fs.Study(QUADRATIC, fs.SGD(lr, momentum), 3000, 1, record=20)
    dynamics, readout = linear_dynamics(study), None
    if average:
        dynamics, readout = averaged(dynamics, average, study.record_steps)
    jumped = loss_moments(dynamics, readout, study.record_steps)
    stepped = loss_moments(dynamics, readout, study.record_steps, jumps=False)
    np.testing.assert_allclose(jumped, stepped, rtol=1e-12)


def test_jumps_equal_the_closed_form():
    """s_k = s* + b^k (s_0 - s*) with b = (1 - eta h)^2."""
    eta, batch, steps = 0.5, 16, 10**6
    study = fs.Study(QUADRATIC, fs.SGD(eta), steps, 1, batch, record=[1000, steps])
    floor = eta / (batch * (2 - eta * H))
    k = study.record_steps[:, None]
    exact = np.sum(H * (floor + (1 - eta * H) ** (2.0 * k) * (1 - floor)), axis=1) / 2
    np.testing.assert_allclose(fs.exact(study)["loss"], exact, rtol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9, -0.5])
@pytest.mark.parametrize("nesterov", [False, True])
def test_the_limit_is_the_noise_floor(momentum, nesterov):
    optimizer = fs.SGD(0.2, momentum, nesterov)
    study = fs.Study(LANDSCAPE, optimizer, 10**6, 1, batch_size=4, record=[10**6])
    floor = noise_floor(optimizer, LANDSCAPE.eigenvalues, LANDSCAPE.noise_std**2, batch_size=4)
    assert fs.exact(study)["loss"].item() == pytest.approx(floor, rel=1e-12)


@pytest.mark.parametrize(
    ("optimizer", "edge"),
    [
        (fs.SGD(1.0), 2.0),
        (fs.SGD(1.0, momentum=0.9), 3.8),
        (fs.SGD(1.0, momentum=0.9, nesterov=True), 3.8 / 2.8),
    ],
)
def test_edges(optimizer, edge):
    losses = [
        fs.exact(
            fs.Study(
                fs.Quadratic([1.0], noise=0.0),
                optimizer.replace(lr=factor * edge),
                20_000,
                1,
                record=[20_000],
                measures=fs.Loss(()),
            )
        )["loss"].item()
        for factor in (0.999, 1.001)
    ]
    assert losses[0] < 1
    assert losses[1] > 1e6


def test_rate_decay_equals_batch_ramp():
    """Smith et al. 2018: four phases of halved rates against doubled batches."""
    landscape = fs.Quadratic(1 / np.arange(1, 1001.0), noise="hessian", start=fs.Normal())
    steps = 4000
    for rate, ratio in ((0.02, 1.0000), (0.1, 1.0005), (0.4, 1.0396)):
        bounds = [steps, 2 * steps, 3 * steps]
        decayed = fs.Study(
            landscape,
            fs.SGD(fs.Piecewise(bounds, [rate / 2**j for j in range(4)])),
            4 * steps,
            1,
            batch_size=8,
            record=[4 * steps],
            measures=fs.Loss(()),
        )
        ends = np.cumsum([steps // 2**j for j in range(4)])
        ramped = decayed.replace(
            optimizer=fs.SGD(rate),
            batch_size=fs.Piecewise(ends[:3], [8.0 * 2**j for j in range(4)]),
            steps=int(ends[3]),
            record=[int(ends[3])],
        )
        losses = [fs.exact(study)["loss"].item() for study in (decayed, ramped)]
        assert losses[1] / losses[0] == pytest.approx(ratio, abs=6e-5) or losses[0] / losses[
            1
        ] == pytest.approx(ratio, abs=6e-5)


def test_polyak_average_of_defossez_and_bach():
    """Golden sums of squared bias and variance at n = 1000, eta = 1."""
    steps = 1000
    for noise, start, exact in (
        (0.0, 1.0, 0.00252496),
        ("hessian", 0.0, 0.0462254),
    ):
        study = fs.Study(
            fs.Quadratic(H, noise=noise, start=start),
            fs.SGD(1.0),
            steps,
            1,
            record=[steps],
            measures=fs.Average(),
        )
        assert fs.exact(study)["average_loss"].item() == pytest.approx(exact, rel=2e-6)


@pytest.mark.parametrize(
    "average", [fs.Average(), fs.Average("ema", decay=0.9), fs.Average("tail", start=13)]
)
@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_averages_without_noise(average, momentum):
    """The mean of the average is the average of the means."""
    study = fs.Study(
        LANDSCAPE.replace(noise=0.0, start=1.0),
        fs.SGD(fs.Cosine(0.3, STEPS), momentum, weight_decay=0.01),
        STEPS,
        1,
        record=np.arange(STEPS + 1),
        measures=(fs.Loss(()), average),
    )
    result = fs.exact(study)
    path = result["theta_mean"].values
    mean = [path[0]]
    for t in range(1, STEPS + 1):
        if average.kind == "ema":
            mean.append(0.9 * mean[-1] + 0.1 * path[t])
        else:
            first = average.start or 0
            mean.append(path[first:t].mean(axis=0) if t > first else path[t])
    displaced = np.array(mean) - LANDSCAPE.origin()
    exact = displaced**2 @ LANDSCAPE.eigenvalues / 2
    np.testing.assert_allclose(result["average_loss"], exact, rtol=1e-11)


def test_matrix_curvature_is_the_same_problem():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    h = rng.uniform(0.1, 1, 5)
    matrix = basis * h @ basis.T
    start = rng.normal(size=5)
    kwargs = {"optimizer": fs.SGD(0.3), "steps": 20, "trajectories": 1}
    rotated = fs.exact(fs.Study(fs.Quadratic((matrix + matrix.T) / 2, start=start), **kwargs))
    plain = fs.exact(fs.Study(fs.Quadratic(h, start=basis.T @ start), **kwargs))
    for name in ("loss", "loss_std", "loss_quantile"):
        np.testing.assert_allclose(rotated[name], plain[name], rtol=1e-9)


def test_divergence_is_infinite_not_wrong():
    study = fs.Study(fs.Quadratic([1.0]), fs.SGD(3.0), 10_000, 1, record=[10, 10_000])
    result = fs.exact(study)
    assert np.isfinite(result["loss"][0])
    assert not np.isfinite(result["loss"][1])
    assert np.isposinf(result["loss_quantile"][0, 1])


class _Unknown(fs.Measure):
    def __init__(self):
        pass

    def probe(self, landscape, optimizer, steps):
        return Probe()

    def reduce(self, observed, kept, count):
        return {}

    def merge(self, left, right):
        return {}

    def variables(self, total, trajectories):
        return {}


def test_no_exact_theory(monkeypatch):
    study = fs.Study(QUADRATIC, fs.SGD(0.1), 10, 1)
    with pytest.raises(fs.NoExactTheory, match="no exact theory of _Unknown"):
        fs.exact(study.replace(measures=_Unknown()))
    with pytest.raises(fs.NoExactTheory, match="ask for them by fastsched\\.exact"):
        exact_curves(study, largest_work=10.0)

    class Other:
        @property
        def model(self):
            return self

    object.__setattr__(study, "optimizer", Other())
    with pytest.raises(fs.NoExactTheory, match="update of Other is not linear"):
        fs.exact(study)
    study = fs.Study(QUADRATIC, fs.SGD(0.1), 10, 1)
    object.__setattr__(study, "landscape", Other())
    with pytest.raises(fs.NoExactTheory, match="landscape Other"):
        fs.exact(study)


def test_exact_is_shaped_like_a_result(tmp_path):
    study = fs.Study(QUADRATIC, fs.SGD(0.1), 30, 1, measures=(fs.Loss(), fs.Average()))
    result = fs.exact(study)
    result.save(tmp_path / "exact.nc")
    loaded = fs.load(tmp_path / "exact.nc")
    assert loaded.study == study
    assert loaded.data.equals(result.data)
    assert "exact values" in str(loaded)
    assert loaded.exact is None


@pytest.mark.filterwarnings("error")
def test_quantiles_of_large_losses():
    """The sixth power of the standard deviation, 1e58, is not representable."""
    study = fs.Study(fs.Quadratic([1.0, 0.1]), fs.SGD(2.1), 700, 1, record=[0, 700])
    result = fs.exact(study, progress=False)
    # One coordinate is all of it: x ~ N(m, s), loss x^2 / 2.
    m, s = 1.1**700, 2.1**2 * (1.21**700 - 1) / 0.21
    assert result["loss"][1] == pytest.approx((m**2 + s) / 2, rel=1e-12)
    assert result["loss_std"][1] == pytest.approx(np.sqrt(s * (s / 2 + m**2)), rel=1e-12)
    exact = stats.ncx2.ppf(0.5, 1, m**2 / s) * s / 2
    assert result["loss_quantile"].sel(quantile=0.5)[1] == pytest.approx(exact, rel=1e-8)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("average", [fs.Average(), fs.Average("ema", decay=0.9)])
@pytest.mark.parametrize("steps", [2000, fs.Linear(10.0, 10**6)])
def test_moments_that_overflow_are_infinite(momentum, average, steps):
    """With jumps and without."""
    lr, count = (10.0, steps) if isinstance(steps, int) else (steps, 2000)
    landscape = fs.Quadratic([1.0, 0.1, 1e-5], start=[1.0, 1.0, 0.0], noise=[1.0, 1.0, 0.0])
    measures = (fs.Loss(), average)
    study = fs.Study(
        landscape, fs.SGD(lr, momentum), count, 1, record=[0, 1, 50, 300, 2000], measures=measures
    )
    result = fs.exact(study, progress=False)
    assert not any(np.isnan(value).any() for name, value in result.data.items() if "loss" in name)
    for name in ("loss", "loss_std", "average_loss", "average_loss_std"):
        assert np.isfinite(result[name][:3]).all()
        assert np.isposinf(result[name][-1])
    assert np.isposinf(result["loss_quantile"][:, -1]).all()
    assert np.isposinf(result["theta_variance"][-1, 0])
    assert (result["theta_mean"][:, 2] == 0).all()
    assert (result["theta_variance"][:, 2] == 0).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("curvature", [1e-140, 1e-100, 1e100, 1e140])
def test_moments_scale_with_the_curvature(curvature):
    h = np.array([1.0, 0.1, 0.01])
    losses = []
    for scale in (1.0, curvature):
        landscape = fs.Quadratic(scale * h, noise=scale * h, start=fs.Normal(1.0, 0.5))
        study = fs.Study(landscape, fs.SGD(0.5 / scale, 0.5), 100, 1, record=[10, 100])
        losses.append(fs.exact(study, progress=False).data)
    for name in ("loss", "loss_std", "loss_quantile"):
        np.testing.assert_allclose(losses[1][name], curvature * losses[0][name], rtol=1e-11)


@pytest.mark.filterwarnings("error")
def test_tiny_curvatures_have_a_spread():
    landscape = fs.Quadratic([1e-200], start=fs.Normal(0.0, 1.0), noise=0.0)
    study = fs.Study(landscape, fs.SGD(0.1), 10, 1, record=[10])
    result = fs.exact(study, progress=False)
    assert result["loss_std"].item() == pytest.approx(1e-200 / np.sqrt(2), rel=1e-12)
    median = stats.chi2.ppf(0.5, 1) * 0.5e-200
    assert result["loss_quantile"].sel(quantile=0.5).item() == pytest.approx(median, rel=1e-12)


def test_the_bits_do_not_depend_on_the_number_of_threads():
    import numba

    study = fs.Study(QUADRATIC, fs.SGD(fs.Linear(0.5, 100), 0.5), 100, 1, record=5)
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = fs.exact(study, progress=False)
    finally:
        numba.set_num_threads(threads)
    assert fs.exact(study, progress=False).data.equals(alone.data)


@pytest.mark.parametrize("landscape", [QUADRATIC, fs.LeastSquares([1.0, 0.1])])
def test_calls_in_pieces(landscape, monkeypatch):
    from fastsched.theory import moments

    study = fs.Study(landscape, fs.SGD(fs.Linear(0.1, 100), 0.5), 100, 1, record=[0, 40, 41, 100])
    dynamics, done = linear_dynamics(study), []
    whole = loss_moments(dynamics, None, study.record_steps, advance=done.append)
    assert sum(done) == pytest.approx(dynamics.work)
    monkeypatch.setattr(moments, "_LARGEST_CALL", 100)
    pieces = loss_moments(dynamics, None, study.record_steps, advance=done.append)
    assert len(done) > 10
    np.testing.assert_array_equal(pieces[0], whole[0])


def test_ctrl_c_cancels_the_quantiles(monkeypatch):
    """What is queued does not run any more."""
    from fastsched.theory import exact as module

    made = []

    class Law(module.LossLaw):
        def __init__(self, *arguments):
            made.append(self)
            if len(made) == 1:
                raise KeyboardInterrupt
            super().__init__(*arguments)

    monkeypatch.setattr(module, "LossLaw", Law)
    study = fs.Study(QUADRATIC, fs.SGD(0.1), 10_000, 1, record=64)
    with pytest.raises(KeyboardInterrupt):
        fs.exact(study, progress=False)
    assert len(made) < 20


def test_progress_adds_up(monkeypatch):
    from fastsched.progress import Bar, part_of

    done = []
    study = fs.Study(QUADRATIC, fs.SGD(0.1), 100, 1, record=8, measures=(fs.Loss(), fs.Average()))
    with part_of(Bar(done.append, lambda words: None), 1.0):
        fs.exact(study)
    assert sum(done) == pytest.approx(1.0)
