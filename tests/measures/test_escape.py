"""Exits by hand, against exact chains of intervals, balls and wells, and Poisson counts."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import same_data
from scipy import stats

import fastsched as fs

from .naive import first, walk
from .test_hitting_time import study

LEFT = fs.DoubleWell(noise=np.sqrt(2.0))


def check_against(data, survival, steps, trajectories):
    """Compare with the exact probabilities of survival after 0, 1, ..., `steps` updates."""
    mean = survival[:-1].sum()
    assert abs(data["escape_time"] - mean) <= 4 * data["escape_time_se"]
    assert 0.01 * mean > 8 * data["escape_time_se"]
    # Where few are expected their number is Poisson's: 5 are allowed for it.
    exact = survival[data["step"].values]
    error = np.sqrt(exact * (1 - exact) / trajectories)
    assert np.all(np.abs(data["escape_survival"] - exact) <= 4.5 * error + 5 / trajectories)
    rate = (1 - survival[-1]) / mean
    assert abs(data["escape_rate"] - rate) <= 4 * data["escape_rate_se"]
    assert data["escape_rate_low"] < data["escape_rate"] < data["escape_rate_high"]


# Without noise at eta h = 3 the distance is 2^t to the last digit.
@pytest.mark.parametrize(
    ("radius", "steps", "time"),
    [
        (0.5, 6, 0),
        (np.nextafter(1.0, 0), 6, 0),
        (1.0, 6, 1),
        (1.9, 6, 1),
        (2.0, 6, 2),
        (np.nextafter(64.0, 0), 6, 6),
        (64.0, 6, None),
        (1.0, 1, 1),
    ],
)
def test_by_hand(radius, steps, time):
    case = study(
        fs.Quadratic([1.0], noise=0.0), 3.0, -1.0, steps, 20, radius=radius,
        record=np.arange(steps + 1),
    )  # fmt: skip
    data = fs.run(case, progress=False).data
    assert data["escape_probability"] == (time is not None)
    assert data["escape_time"] == (steps if time is None else time)
    np.testing.assert_array_equal(data["escape_time_quantile"], np.nan if time is None else time)
    np.testing.assert_array_equal(
        data["escape_survival"], (np.inf if time is None else time) > data["step"]
    )
    exposure = 20 * data["escape_time"].item()
    events = 20 if time is not None else 0
    if exposure:
        assert data["escape_rate"] == events / exposure
    else:
        for end in ("", "_se", "_low", "_high"):
            assert np.isnan(data[f"escape_rate{end}"])


@pytest.mark.parametrize("radius", [0.35, 0.5, 0.7, 1.2])
def test_interval_of_poisson_counts(radius):
    """From none to many events."""
    case = study(fs.Quadratic([1.0], start=0.0), 0.1, -1.0, 60, 200, radius=radius)
    data = fs.run(case, progress=False).data
    times = first(np.abs(walk(case).theta[:, :, 0]) > radius)
    events, exposure = np.isfinite(times).sum(), np.minimum(times, 60).sum()
    assert events == 0 if radius == 1.2 else events > 0
    low, high = (float(data[f"escape_rate_{end}"]) * exposure for end in ("low", "high"))
    assert stats.poisson.cdf(events, high) == pytest.approx(0.025, rel=1e-9)
    if events:
        assert stats.poisson.sf(events - 1, low) == pytest.approx(0.025, rel=1e-9)
    else:
        assert low == 0
        assert data["escape_rate"] == data["escape_rate_se"] == 0
        assert high == pytest.approx(-np.log(0.025), rel=1e-9)


def test_interval_against_the_chain():
    lr, radius, steps, n = 0.1, 0.5, 150, 300_000
    case = study(fs.Quadratic([1.0], start=0.2), lr, -1.0, steps, n, radius=radius)
    chain = fs.theory.quadratic_chain(lr, 1.0, 1.0, radius)
    data = fs.run(case, progress=False).data
    check_against(data, chain.survival(np.arange(steps + 1), 0.2), steps, n)


def test_ball_against_the_chain():
    """In four dimensions, around a minimum far from zero."""
    lr, noise, radius, steps, n = 0.2, 0.8, 0.8, 60, 700_000
    minimum = np.array([10.0, -3.0, 0.5, 2.0])
    start = minimum + np.array([0.3, -0.1, 0.2, 0.0])
    case = study(fs.Quadratic(0.5 * np.ones(4), noise, start, minimum), lr, -1.0, steps, n)
    case = case.replace(measures=(fs.HittingTime(-1.0), fs.Escape(radius=radius)))
    chain = fs.theory.RadialChain(1 - lr * 0.5, lr * noise, 4, radius)
    data = fs.run(case, progress=False).data
    survival = chain.survival(np.arange(steps + 1), np.linalg.norm(start - minimum))
    check_against(data, survival, steps, n)


def test_center_of_a_rotated_quadratic():
    """The ball lies around a point of the space that the matrix is given in."""
    turn = stats.ortho_group.rvs(3, random_state=2)
    matrix = turn @ np.diag([1.0, 0.5, 0.2]) @ turn.T
    center, start = np.array([0.5, -1.0, 0.2]), np.array([1.0, -1.0, 0.3])
    landscape = fs.Quadratic((matrix + matrix.T) / 2, 0.0, start)
    case = study(landscape, 0.3, -1.0, 30, record=np.arange(31))
    case = case.replace(measures=(fs.HittingTime(-1.0), fs.Escape(radius=0.9, center=center)))
    x = [start]
    for _ in range(30):
        x.append(x[-1] - 0.3 * matrix @ x[-1])
    distances = np.linalg.norm(np.array(x) - center, axis=1)
    expected = np.argmax(distances > 0.9)
    assert 1 < expected < 30
    assert fs.run(case, progress=False)["escape_time"] == expected


def inside(theta):
    return theta[0] < 1.0


@pytest.fixture(scope="module")
def region_runs():
    """The double well in one and three dimensions, left where theta_1 >= 1."""
    runs = {}
    for dim in (1, 3):
        noise = np.sqrt(2.0) * np.append(1, np.full(dim - 1, 0.2))
        runs[dim] = fs.run(
            fs.Study(
                fs.DoubleWell(dim, 0.7, noise),
                fs.SGD(0.1),
                600,
                200_000 if dim == 1 else 60_000,
                seed=dim,
                measures=(fs.Escape(region=inside), fs.Basins()),
            ),
            progress=False,
        )
    return runs


def test_region_against_the_chain(region_runs):
    survival = fs.theory.double_well_chain(0.1, np.sqrt(2.0), 1.0).survival(np.arange(601), -1.0)
    check_against(region_runs[1].data, survival, 600, 200_000)


def test_other_dimensions_change_no_passage(region_runs):
    survival = fs.theory.double_well_chain(0.1, np.sqrt(2.0), 1.0).survival(np.arange(601), -1.0)
    data = region_runs[3].data
    z = (data["escape_time"] - survival[:-1].sum()) / data["escape_time_se"]
    assert abs(z) <= 4
    assert 0.02 * data["escape_time"] > 8 * data["escape_time_se"]
    exact = survival[data["step"].values]
    error = np.sqrt(exact * (1 - exact) / 60_000)
    assert np.all(np.abs(data["escape_survival"] - exact) <= 4.5 * error + 5 / 60_000)


def test_basin_against_the_chain():
    steps, n = 500, 280_000
    case = fs.Study(LEFT, fs.SGD(0.1), steps, n, measures=(fs.Escape(), fs.Basins()))
    survival = fs.theory.double_well_chain(0.1, np.sqrt(2.0), 0.0).survival(
        np.arange(steps + 1), -1.0
    )
    check_against(fs.run(case, progress=False).data, survival, steps, n)


def turned_gradient(theta, draws, out):
    x = 0.6 * theta[0] + 0.8 * theta[1]
    y = 0.8 * theta[0] - 0.6 * theta[1]
    along, across = x**3 - x, 0.7 * y
    out[0], out[1] = 0.6 * along + 0.8 * across, 0.8 * along - 0.6 * across


def turned_loss(theta):
    x = 0.6 * theta[0] + 0.8 * theta[1]
    y = 0.8 * theta[0] - 0.6 * theta[1]
    return x**4 / 4 - x**2 / 2 + 0.35 * y**2


def turned_inside(theta):
    return 0.6 * theta[0] + 0.8 * theta[1] < 1.0


@pytest.mark.slow
def test_rotation_changes_no_passage():
    n, steps = 60_000, 600
    landscape = fs.Custom(
        turned_gradient, turned_loss, 2, noise=np.sqrt(2.0), start=np.array([-0.6, -0.8])
    )
    case = fs.Study(landscape, fs.SGD(0.1), steps, n, measures=fs.Escape(region=turned_inside))
    survival = fs.theory.double_well_chain(0.1, np.sqrt(2.0), 1.0).survival(
        np.arange(steps + 1), -1.0
    )
    data = fs.run(case, progress=False).data
    z = (data["escape_time"] - survival[:-1].sum()) / data["escape_time_se"]
    assert abs(z) <= 4
    assert 0.02 * data["escape_time"] > 8 * data["escape_time_se"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"radius": 0.0}, "radius = 0.0: radius must be a finite number, greater than 0"),
        ({"radius": np.inf}, "radius = inf"),
        ({"radius": "1"}, "radius = '1'"),
        ({"center": 1.0}, "center = 1.0: center must be left out unless radius is given"),
        ({"radius": 1.0, "center": "here"}, "center = 'here'"),
        ({"radius": 1.0, "center": [np.nan]}, "center"),
        ({"radius": 1.0, "region": inside}, "region .* must be left out where radius is given"),
        ({"region": 3}, "region = 3: region must be a function"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.Escape(**parameters)


def fails(theta):
    return theta[5] > 0 and no_such_name  # noqa: F821


def sometimes(theta):
    if theta[0] < 1.0:
        return True


FIELD = fs.RandomField(2, 8, 1.0, 0.5, 0.3, 0.1)


@pytest.mark.parametrize(
    ("landscape", "measure", "message"),
    [
        (fs.Quadratic([1.0]), fs.Escape(), "Quadratic has no basins; DoubleWell, Wells and"),
        (LEFT, fs.Escape(radius=1.0), "DoubleWell has no single minimum"),
        (fs.Quadratic([1.0, 2.0]), fs.Escape(radius=1.0, center=[0.0] * 3), r"center .* \(2,\)"),
        (LEFT, fs.Escape(region=fails), "region"),
        (LEFT, fs.Escape(region=lambda th: th < 1.0), "region .* an array of 1 dimension"),
        (LEFT, fs.Escape(region=lambda th: th[:1] < 1.0), "region .* an array of 1 dimension"),
        (LEFT, fs.Escape(region=lambda th: None), "region .* it returns None"),
        (LEFT, fs.Escape(region=lambda th: (True,)), "region .* it returns a tuple"),
        (LEFT, fs.Escape(region=lambda th: "in"), "region .* it returns a str"),
        (LEFT, fs.Escape(region=lambda th: 1j * th[0]), "region .* it returns a complex"),
        (LEFT, fs.Escape(region=sometimes), "region .* a bool on some paths and None on others"),
        (FIELD, fs.Escape(region=sometimes), "region .* a bool on some paths and None on others"),
        (FIELD, fs.Escape(region=lambda th: th[0] < 1 / 0), "region fails at the start"),
    ],
)
def test_refused_with_the_study(landscape, measure, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.Study(landscape, fs.SGD(0.1), 4, 4, measures=measure)


@pytest.mark.parametrize(
    "region",
    [
        lambda theta: 1 if theta[0] < 1.0 else 0,
        lambda theta: np.bool_(theta[0] < 1.0),
        lambda theta: np.all(theta < 1.0),
    ],
)
def test_regions_that_are_accepted(region):
    fs.Study(LEFT, fs.SGD(0.1), 60, 64, measures=fs.Escape(region=region))


def test_a_region_may_return_a_number():
    region = fs.Escape(region=lambda theta: max(1.0 - theta[0], 0.0))
    case = fs.Study(LEFT, fs.SGD(0.1), 60, 64, measures=region)
    expected = fs.run(case.replace(measures=fs.Escape(region=inside)), progress=False)
    assert same_data(fs.run(case, progress=False), expected)


def test_a_region_is_not_data():
    case = fs.Study(LEFT, fs.SGD(0.1), 4, 4, measures=fs.Escape(region=inside))
    with pytest.raises(fs.FastschedError, match="region is a function"):
        case.to_toml()
