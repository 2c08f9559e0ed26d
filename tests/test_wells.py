"""Wells: derivatives, minima, saddles, and Monte Carlo against single quadratics."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import fast_losses
from scipy import optimize

import fastsched as fs

RNG = np.random.default_rng(4)
THREE = fs.Wells(
    [[-2.0, 0.0], [2.0, 0.0], [0.0, 2.5]],
    [[1.0, 2.0], [4.0, 3.0], [0.5, 0.5]],
    [0.0, 0.5, 0.3],
    softness=0.2,
)


def test_hessian_against_finite_differences():
    for theta in RNG.normal(size=(5, 2)) * 2:
        numeric = optimize.approx_fprime(theta, THREE.gradient, 1e-7)
        np.testing.assert_allclose(THREE.hessian(theta), numeric, atol=2e-5)


def test_one_well_is_a_quadratic():
    h, noise, center = [1.0, 0.3, 2.0], [0.2, 0.4, 0.1], [0.5, -1.0, 2.0]
    wells = fs.Wells([center], [h], 0.7, softness=0.5, noise=noise, start=fs.Normal())
    quadratic = fs.Quadratic(h, noise=noise, minimum=center, start=fs.Normal())
    study = fs.Study(
        wells, fs.SGD(0.2, momentum=0.5), 40, 30, 2, record=np.arange(41), precision="double"
    )
    a, b = (fast_losses(study.replace(landscape=f)) for f in (wells, quadratic))
    np.testing.assert_allclose(a + 0.7, b, rtol=1e-9, atol=1e-9)
    curved = study.replace(landscape=wells.replace(noise="hessian"))
    plain = study.replace(landscape=quadratic.replace(noise="hessian"))
    np.testing.assert_allclose(fast_losses(curved) + 0.7, fast_losses(plain), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("noise", [0.3, "hessian"])
def test_far_wells_keep_to_themselves(noise):
    """A trajectory that starts in one of two far wells is on its quadratic, exactly known."""
    wells = fs.Wells(
        [[-20.0, 0.0], [20.0, 5.0]], [[1.0, 0.4], [3.0, 2.0]], [0.0, 1.0],
        noise=noise, start=[20.0, 6.0],
    )  # fmt: skip
    model = fs.Quadratic([3.0, 2.0], noise, start=[20.0, 6.0], minimum=[20.0, 5.0])
    study = fs.Study(wells, fs.SGD(0.1), 50, 400_000, record=[5, 50])
    result = fs.run(study, progress=False)
    exact = fs.exact(study.replace(landscape=model))
    above, error = result["loss"].values + 1, result["loss_se"].values
    assert np.all(0.01 * exact["loss"].values > 6 * error)
    assert np.all(np.abs(above - exact["loss"].values) <= 4 * error)


def test_minima_are_near_the_centres():
    minima = THREE.minima()
    assert np.all(np.diff(minima.losses) > 0)
    np.testing.assert_allclose(minima.losses, [-0.5, -0.3, 0.0], atol=0.01)
    np.testing.assert_array_equal(THREE.assign(minima.locations), [1, 2, 0])
    np.testing.assert_allclose(minima.curvatures[0], [3, 4], rtol=1e-3)
    for location, loss in zip(minima.locations, minima.losses, strict=True):
        np.testing.assert_allclose(THREE.gradient(location), 0, atol=1e-8)
        assert THREE.reference_loss(location[None])[0] == pytest.approx(loss, abs=1e-12)
    hard = THREE.replace(softness=1e-3)
    np.testing.assert_allclose(hard.minima().locations, THREE.centers[[1, 2, 0]], atol=1e-12)


def test_wells_that_merge_have_one_minimum():
    wells = fs.Wells([[-0.1], [0.1]], [[1.0], [1.0]], softness=1.0)
    assert len(wells.minima().losses) == 1
    assert np.isnan(wells.barriers()).tolist() == [[True]]


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_saddle_of_symmetric_wells(dim):
    """Half way, where the weights are equal: height h a^2 / 2 - s log 2."""
    direction = RNG.normal(size=dim)
    center = 1.5 * direction / np.linalg.norm(direction)
    h, s = 2.0, 0.3
    wells = fs.Wells([center, -center], np.full((2, dim), h), softness=s)
    first, second = wells.minima().locations
    saddle = wells.saddle(first, second)
    np.testing.assert_allclose(saddle.location, 0, atol=1e-7)
    assert saddle.loss == pytest.approx(h * 1.5**2 / 2 - s * np.log(2))
    expected = np.full(dim, h)
    expected[0] = h - h**2 * 1.5**2 / s
    np.testing.assert_allclose(saddle.curvatures, expected)


def test_saddles_of_three_wells():
    minima = THREE.minima()
    barriers = THREE.barriers()
    for a in range(3):
        assert np.isnan(barriers[a, a])
        for b in set(range(3)) - {a}:
            assert barriers[a, b] > 0
            forth, back = (minima.losses[k] + barriers[k, m] for k, m in ((a, b), (b, a)))
            assert forth == pytest.approx(back)
            saddle = THREE.saddle(minima.locations[a], minima.locations[b])
            np.testing.assert_allclose(THREE.gradient(saddle.location), 0, atol=1e-7)
            assert saddle.curvatures[0] < 0 < saddle.curvatures[1]
            assert forth <= saddle.loss + 1e-9
    # Flooding a grid: the least level at which the minima are connected.
    x, y = np.meshgrid(np.linspace(-3, 3, 301), np.linspace(-1.5, 4, 276))
    loss = THREE.reference_loss(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)
    level = flood(loss, *(nearest(x, y, minima.locations[k]) for k in (0, 1)))
    assert minima.losses[0] + barriers[0, 1] == pytest.approx(level, abs=0.01)


def nearest(x, y, point):
    return np.unravel_index(np.argmin((x - point[0]) ** 2 + (y - point[1]) ** 2), x.shape)


def flood(loss, start, end):
    """Return the level at which the basins of two grid points meet."""
    from scipy import ndimage

    low, high = loss[start], loss.max()
    while high - low > 1e-4:
        middle = (low + high) / 2
        labels = ndimage.label(loss <= middle)[0]
        met = labels[start] == labels[end] != 0
        low, high = (low, middle) if met else (middle, high)
    return high


def test_weights():
    weights = THREE.weights(np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 2.5]]))
    np.testing.assert_allclose(np.sum(weights, axis=1), 1)
    np.testing.assert_allclose(np.max(weights, axis=1), 1, atol=1e-3)
    assert THREE.assign([2.0, 0.1]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"centers": [1.0, 2.0]}, "centers .* got shape"),
        ({"centers": [[np.nan]]}, "centers .* all finite"),
        ({"curvatures": [[1.0]]}, r"curvatures .* shape \(2, 1\), got shape \(1, 1\)"),
        ({"curvatures": [[1.0], [0.0]]}, "curvatures .* positive"),
        ({"depths": [1.0]}, r"depths .* shape \(2,\)"),
        ({"softness": 0.0}, "softness = 0.0"),
        ({"noise": -1.0}, "noise = -1.0"),
        ({"noise": "fisher"}, "noise = 'fisher'"),
        ({"start": [1.0, 2.0]}, r"start .* shape \(1,\)"),
    ],
)
def test_bad_input(arguments, message):
    good = {"centers": [[-1.0], [1.0]], "curvatures": [[1.0], [2.0]]}
    with pytest.raises(fs.FastschedError, match=message):
        fs.Wells(**{**good, **arguments})


def test_bad_saddle():
    with pytest.raises(fs.FastschedError, match=r"end .* shape \(2,\), got shape \(3,\)"):
        THREE.saddle([0.0, 1.0], [1.0, 2.0, 3.0])
    one = fs.Wells([[0.0]], [[1.0]])
    with pytest.raises(fs.FastschedError, match="no saddle was found"):
        one.saddle([-1.0], [1.0])
