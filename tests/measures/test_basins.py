"""Occupancy and changes of basins against exact chains; flat against sharp wells."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import bowl
from scipy import special, stats

import fastsched as fs

from .naive import basins_of, catalogue, descended


def exact_basins(move, std, start, boundary, steps):
    """Return what the chain x' = move(x) + std(x) xi does about a boundary, from a point.

    The probability of being on the right after 0, 1, ..., `steps` updates, and the mean numbers
    of changes from left to right and back, by the trapezoidal rule on a grid of which the
    boundary is a point: of order h^2 there, and exact elsewhere.
    """
    h = 0.005
    x = boundary + h * np.arange(-800, 801)
    kernel = h * stats.norm.pdf(x, move(x)[:, None], std(x)[:, None])
    to_right = special.ndtr((move(x) - boundary) / std(x))
    left = np.where(x < boundary, 1.0, np.where(x == boundary, 0.5, 0.0))
    first = special.ndtr((move(start) - boundary) / std(start))
    right, changes = [float(start > boundary), first], np.array([0.0, 0.0])
    changes[0 if start < boundary else 1] = first if start < boundary else 1 - first
    density = h * stats.norm.pdf(x, move(start), std(start))
    for _ in range(steps - 1):
        right.append(density @ to_right)
        changes += [density @ (left * to_right), density @ ((1 - left) * (1 - to_right))]
        density = density @ kernel
    return np.array(right), changes


def check(data, right, changes, trajectories):
    exact = np.stack([1 - right, right], axis=1)[data["step"].values]
    # Where few are expected their number is Poisson's: 5 are allowed for it.
    error = np.sqrt(exact * (1 - exact) / trajectories)
    assert np.all(np.abs(data["basin_occupancy"] - exact) <= 4.5 * error + 5 / trajectories)
    assert np.all(np.abs(data["basin_final"] - exact[-1]) <= 4 * error[-1])
    found, spread = data["basin_transitions"].values, data["basin_transitions_se"].values
    np.testing.assert_array_equal(np.diag(found), 0)
    for count, se, expected in zip(found[[0, 1], [1, 0]], spread[[0, 1], [1, 0]], changes,
                                   strict=True):  # fmt: skip
        assert abs(count - expected) <= 4 * se
        # Changes come in bursts, so their number is less sure than most.
        assert 0.035 * expected > 8 * se


def test_double_well_against_the_chain():
    lr, sigma, steps, n = 0.1, 2.0, 400, 150_000
    study = fs.Study(
        fs.DoubleWell(noise=sigma), fs.SGD(lr), steps, n, measures=(fs.Escape(), fs.Basins())
    )
    data = fs.run(study, progress=False).data
    right, changes = exact_basins(
        lambda x: x - lr * (x**3 - x), lambda x: lr * sigma + 0 * x, -1.0, 0.0, steps
    )
    assert right[-1] > 0.49  # it has been long enough
    check(data, right, changes, n)
    # Left and right are alike: in the end both are as full.
    assert abs(data["basin_final"][0] - right[-1]) <= 0.02


LR, STEPS, N = 0.05, 600, 150_000
CENTERS, CURVATURES, SOFTNESS = np.array([-0.5, 0.5]), np.array([1.0, 4.0]), 0.05


def wells(noise):
    """A flat well on the left and a sharp one, as deep, on the right, from where it starts."""
    return fs.Wells(CENTERS[:, None], CURVATURES[:, None], 0.0, SOFTNESS, noise, start=0.5)


def energies(x):
    return CURVATURES * (np.asarray(x)[..., None] - CENTERS) ** 2 / 2


def weights(x):
    return special.softmax(-energies(x) / SOFTNESS, axis=-1)


def slope(x):
    return np.sum(weights(x) * CURVATURES * (np.asarray(x)[..., None] - CENTERS), axis=-1)


@pytest.fixture(scope="module")
def sharp_and_flat():
    """Runs with the same mean noise in the sharp well: isotropic, and like the curvature."""
    runs = {}
    for noise in (2.0, "hessian"):
        study = fs.Study(wells(noise), fs.SGD(LR), STEPS, N, measures=fs.Basins())
        runs["hessian" if isinstance(noise, str) else "isotropic"] = fs.run(study, progress=False)
    return runs


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["isotropic", "hessian"])
def test_wells_against_the_chain(sharp_and_flat, noise):
    # Where the losses are equal; they are again at 1.5, where nothing gets.
    a, b = np.sqrt(CURVATURES)
    boundary = (a * CENTERS[0] + b * CENTERS[1]) / (a + b)

    def std(x):
        isotropic = np.full(np.shape(x), 2.0)
        curved = np.sqrt(weights(x) @ CURVATURES)
        return LR * (curved if noise == "hessian" else isotropic)

    right, changes = exact_basins(lambda x: x - LR * slope(x), std, 0.5, boundary, STEPS)
    check(sharp_and_flat[noise].data, right, changes, N)


@pytest.mark.slow
def test_noise_like_the_curvature_prefers_the_flat_well(sharp_and_flat):
    """Isotropic noise prefers it by its width alone, as Boltzmann's law says."""
    x = np.linspace(-4, 4, 100_001)
    temperature = LR * 4.0 / 2
    mass = np.exp(SOFTNESS * special.logsumexp(-energies(x) / SOFTNESS, axis=-1) / temperature)
    boltzmann = mass[energies(x).argmin(axis=-1) == 0].sum() / mass.sum()
    isotropic, curved = (
        float(sharp_and_flat[noise].data["basin_final"][0]) for noise in ("isotropic", "hessian")
    )
    # Up to the rate's first order, eta h / 4 = 0.05 in the sharp well.
    assert isotropic / (1 - isotropic) == pytest.approx(boltzmann / (1 - boltzmann), rel=0.2)
    assert curved / (1 - curved) > 2 * isotropic / (1 - isotropic)


FIELD = fs.RandomField(2, 30, confinement=0.2, noise=1.0, start=fs.Normal(0.0, 3.0))


@pytest.mark.slow
def test_random_field_against_long_descents():
    """The basin is that in which a descent of thirty times as many steps ends."""
    study = fs.Study(FIELD, fs.SGD(0.1), 4, 2000, record=[0], measures=fs.Basins())
    data = fs.run(study, progress=False).data
    starts = fs.kernels.reference.path(
        FIELD, study.optimizer, study.batch_sizes(), np.arange(2000), 0, "single"
    )
    points = next(starts).theta.astype(np.float64)
    assert len(catalogue(FIELD)) > 3
    short = basins_of(FIELD, points)
    ends = descended(FIELD, points, 3000)
    distances = np.linalg.norm(ends[:, None] - catalogue(FIELD), axis=-1)
    settled = distances.min(axis=1) < 1e-6
    assert np.mean(settled) > 0.98
    assert np.mean(short[settled] == distances.argmin(axis=1)[settled]) > 0.98
    occupancy = np.bincount(short, minlength=len(catalogue(FIELD))) / 2000
    np.testing.assert_allclose(data["basin_occupancy"][0], occupancy, atol=1e-3)


@pytest.mark.parametrize(
    "landscape",
    [fs.Quadratic([1.0]), fs.LeastSquares([1.0]), bowl(2)],
    ids=lambda landscape: type(landscape).__name__,
)
def test_refused_where_there_are_no_basins(landscape):
    with pytest.raises(fs.FastschedError, match="has no basins; DoubleWell, Wells and RandomField"):
        fs.Study(landscape, fs.SGD(0.1), 4, 4, measures=fs.Basins())
