"""The random field: its covariance, its derivatives, its minima, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import draws, fast_losses
from scipy import optimize

import fastsched as fs

FIELDS = {
    "line": (fs.RandomField(1, 200, confinement=0.1, seed=1), 100),
    "plane": (fs.RandomField(2, 60, length_scale=2.0, amplitude=3.0, confinement=0.5), 100),
    "space": (fs.RandomField(6, 100, confinement=0.5, seed=5), 25),
}


@pytest.fixture(scope="module")
def catalogues():
    return {name: field.minima(starts) for name, (field, starts) in FIELDS.items()}


def test_covariance_over_seeds():
    """A^2 exp(-r^2 / (2 l^2)) for any number of waves, averaged over many places of each field."""
    amplitude, length, dim, seeds = 1.5, 0.7, 3, 2000
    rng = np.random.default_rng(0)
    here = rng.uniform(-50, 50, size=(700, dim))
    directions = rng.normal(size=here.shape)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    distances = np.array([0.0, 0.4, 1.0, 3.0])
    points = here + distances[:, None, None] * directions
    bowl = 0.05 * np.sum(points**2, axis=-1)
    products = np.empty((seeds, len(distances)))
    for seed in range(seeds):
        field = fs.RandomField(dim, 30, length, amplitude, 0.1, seed=seed)
        values = field.reference_loss(points.reshape(-1, dim)).reshape(bowl.shape) - bowl
        products[seed] = np.mean(values * values[0], axis=1)
    error = products.std(axis=0) / np.sqrt(seeds)
    expected = amplitude**2 * np.exp(-(distances**2) / (2 * length**2))
    assert np.max(np.abs(products.mean(axis=0) - expected) / error) < 4
    assert 0.01 * amplitude**2 > 8 * error[:2].max()
    assert 0.01 * amplitude**2 > error.max()


def test_waves_and_phases_are_those_of_the_seed():
    generator = np.random.Generator(np.random.Philox(7))
    field = fs.RandomField(3, 40, length_scale=0.5, seed=7)
    np.testing.assert_array_equal(field.frequencies, generator.normal(size=(40, 3)) * 2)
    np.testing.assert_array_equal(field.phases, 2 * np.pi * generator.random(40))


@pytest.mark.parametrize("name", FIELDS)
def test_derivatives(name):
    field = FIELDS[name][0]
    rng = np.random.default_rng(2)
    for theta, v in 3 * rng.normal(size=(5, 2, field.dim)):
        slope = optimize.approx_fprime(theta, lambda x: field.reference_loss(x[None])[0], 1e-7)
        np.testing.assert_allclose(field.gradient(theta), slope, atol=1e-5)
        numeric = np.atleast_2d(optimize.approx_fprime(theta, field.gradient, 1e-7))
        hessian = field.hessian(theta)
        np.testing.assert_allclose(hessian, numeric, atol=1e-5)
        np.testing.assert_allclose(field.hessian_vector(theta, v), hessian @ v, rtol=1e-12)
        reference = field.reference_gradient(theta[None], draws(), 1e40)[0]
        np.testing.assert_allclose(field.gradient(theta), reference, rtol=1e-12)


@pytest.mark.parametrize("name", FIELDS)
def test_every_minimum_is_one(name, catalogues):
    field, minima = FIELDS[name][0], catalogues[name]
    assert len(minima.losses) > 1
    assert minima.locations.shape == minima.curvatures.shape == (len(minima.losses), field.dim)
    assert np.all(np.diff(minima.losses) > 0)
    np.testing.assert_allclose(minima.losses, field.reference_loss(minima.locations), rtol=1e-14)
    for theta, curvatures in zip(minima.locations, minima.curvatures, strict=True):
        assert np.linalg.norm(field.gradient(theta)) < 1e-8
        np.testing.assert_array_equal(curvatures, np.linalg.eigvalsh(field.hessian(theta)))
        assert curvatures[0] > 0
        distances = np.linalg.norm(minima.locations - theta, axis=1)
        assert np.sum(distances < 0.01 * field.length_scale) == 1


def test_catalogue_of_a_line_is_complete(catalogues):
    field = FIELDS["line"][0]
    grid = np.linspace(-40, 40, 80_001)
    slope = np.concatenate(
        [
            field.reference_gradient(part[:, None], draws(), 1e40)[:, 0]
            for part in np.array_split(grid, 20)
        ]
    )
    up = np.flatnonzero((slope[:-1] < 0) & (slope[1:] >= 0))
    brackets = zip(grid[up], grid[up + 1], strict=True)
    found = [
        optimize.brentq(lambda x: field.gradient(np.array([x]))[0], *bracket, xtol=1e-13)
        for bracket in brackets
    ]
    assert len(found) > 4
    locations = np.sort(catalogues["line"].locations[:, 0])
    np.testing.assert_allclose(locations, found, atol=1e-10)


def test_descent_ends_in_a_catalogued_minimum(catalogues):
    field = FIELDS["plane"][0].replace(noise=0.0, start=fs.Normal(0, 6.0))
    study = fs.Study(field, fs.SGD(0.2), 3000, 400, record=[3000], precision="double")
    losses = fast_losses(study)[0]
    distance = np.abs(losses[:, None] - catalogues["plane"].losses)
    assert np.max(np.min(distance, axis=1)) < 1e-10
    assert len(np.unique(np.argmin(distance, axis=1))) > 3


def test_minima_are_the_same_every_time():
    field = FIELDS["plane"][0]
    first, again, other = (field.minima(5, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.locations, again.locations)
    assert not np.array_equal(first.locations, other.locations)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_scales(scale):
    """s^3 f(theta / s): the same descents, in other units."""
    field = FIELDS["plane"][0]
    plain = field.minima(10)
    scaled = field.replace(
        length_scale=field.length_scale * scale,
        amplitude=field.amplitude * scale**3,
        confinement=field.confinement * scale,
    ).minima(10)
    np.testing.assert_allclose(scaled.losses / scale**3, plain.losses, rtol=1e-9)
    np.testing.assert_allclose(scaled.locations / scale, plain.locations, atol=1e-9)
    np.testing.assert_allclose(scaled.curvatures / scale, plain.curvatures, rtol=1e-7)


def test_without_amplitude_it_is_a_quadratic():
    start = fs.Normal(0.5, 2.0)
    flat = fs.RandomField(6, 9, amplitude=0.0, confinement=0.7, noise=np.arange(6.0), start=start)
    bowl = fs.Quadratic(np.full(6, 0.7), noise=np.arange(6.0), start=start)
    results = [
        fs.run(
            fs.Study(landscape, fs.SGD(0.3, momentum=0.5), 20, 64, 4, precision="double"),
            progress=False,
        )
        for landscape in (flat, bowl)
    ]
    np.testing.assert_allclose(results[0]["loss"], results[1]["loss"], rtol=1e-13)
    minima = flat.minima(3)
    assert minima.losses.tolist() == [0.0]
    assert minima.locations.tolist() == [[0.0] * 6]
    np.testing.assert_allclose(minima.curvatures, 0.7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "dim = 0"),
        ({"dim": 2.5}, "dim = 2.5"),
        ({"waves": 0}, "waves = 0"),
        ({"length_scale": 0.0}, "length_scale = 0.0"),
        ({"amplitude": -1.0}, "amplitude = -1.0"),
        ({"amplitude": np.nan}, "amplitude = nan"),
        ({"confinement": 0.0}, "confinement = 0.0"),
        ({"noise": -1.0}, "noise = -1.0"),
        ({"noise": "hessian"}, "noise = 'hessian'"),
        ({"noise": [1.0, 2.0, 3.0]}, r"noise .* shape \(2,\)"),
        ({"seed": -1}, "seed = -1"),
        ({"start": [1.0]}, r"start .* shape \(2,\)"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.RandomField(**{"dim": 2, "waves": 50, **arguments})


def test_bad_points():
    field = fs.RandomField(2, 200)
    with pytest.raises(fs.FastschedError, match=r"theta .* shape \(2,\)"):
        field.gradient([1.0])
    with pytest.raises(fs.FastschedError, match=r"theta .* all finite"):
        field.hessian([1.0, np.inf])
    with pytest.raises(fs.FastschedError, match=r"v .* shape \(2,\)"):
        field.hessian_vector([1.0, 2.0], [1.0])
    with pytest.raises(fs.FastschedError, match="starts = 0"):
        field.minima(starts=0)
    with pytest.raises(fs.FastschedError, match="seed = -1"):
        field.minima(seed=-1)
