"""Overshoot: the table of the heavy ball, exact probabilities, rises of the loss, axes."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import bowl

import fastsched as fs

from .naive import expected

RATES = [0.01, 0.1, 0.5, 1.0]
DEPTHS = {
    0.5: [0.0, 0.000469, 0.25, 0.5],
    0.9: [0.153156, 0.603717, 0.842, 0.9],
    0.99: [0.85518, 0.957161, 1.038925, 0.99],
}


def run(landscape, optimizer, steps, trajectories, *, axes=None, **options):
    study = fs.Study(
        landscape, optimizer, steps, trajectories, measures=fs.Overshoot(axes), **options
    )
    return fs.run(study, progress=False).data


@pytest.mark.parametrize(("precision", "tolerance"), [("single", 1e-5), ("double", 1e-10)])
@pytest.mark.parametrize("momentum", DEPTHS)
def test_table(momentum, precision, tolerance):
    """A heavy ball of rate 1 along axes of curvature eta h."""
    landscape = fs.Quadratic(RATES, 0.0, [2.0, -1.0, 0.5, -3.0], minimum=[0.0, 0.5, -2.0, 1.0])
    data = run(landscape, fs.SGD(1.0, momentum), 100, 20, precision=precision)
    np.testing.assert_allclose(data["overshoot_depth"], DEPTHS[momentum], atol=1e-5)
    exact = [fs.theory.noise_free_overshoot(momentum, a).depth for a in RATES]
    np.testing.assert_allclose(data["overshoot_depth"], exact, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(data["overshoot_probability"], np.array(exact) > 0)
    np.testing.assert_array_equal(data["overshoot_depth_se"], 0)
    # x_t is r^t times a cosine of frequency phi: a change of side every pi / phi steps.
    phi = np.arccos((1 + momentum - np.array(RATES)) / (2 * np.sqrt(momentum)) + 0j).real
    assert np.all(np.abs(data["overshoot_crossings"] - 100 * phi / np.pi) <= 1)


@pytest.mark.parametrize("steps", [5, 6, 7, 8])
def test_steps_that_fill_up_a_group_change_nothing(steps):
    """Kernels take four steps at once: those after the last one must not count."""
    case = fs.Study(
        fs.Quadratic([1.0, 0.5], 0.7, fs.Normal()),
        fs.Adam(0.3),
        steps,
        30,
        record=[steps],
        measures=fs.Overshoot(),
        precision="double",
    )
    data = fs.run(case, progress=False).data
    for name, value in expected(case).items():
        np.testing.assert_allclose(data[name], value, rtol=1e-8, atol=1e-11, err_msg=name)


def check_probability(study):
    data = fs.run(study, progress=False).data
    for axis in range(study.landscape.dim):
        exact = fs.theory.overshoot_probability(study, axis)
        error = np.sqrt(exact * (1 - exact) / study.trajectories)
        assert 0.01 < exact < 0.99
        assert 0.01 * exact > 8 * error
        assert abs(data["overshoot_probability"][axis] - exact) <= 4 * error
        se = data["overshoot_probability_se"][axis].item()
        assert se == pytest.approx(error, rel=0.02)


def test_probability_of_sgd():
    landscape = fs.Quadratic([1.0, 0.3], 1.0, fs.Normal([0.3, -0.5], [0.0, 1.0]), [0.0, 0.5])
    check_probability(
        fs.Study(landscape, fs.SGD(fs.Linear(0.3, 30)), 25, 1_000_000, measures=fs.Overshoot())
    )


def test_probability_of_the_heavy_ball():
    # Two whole groups of steps: after them no idle step looks at the last point again.
    landscape = fs.Quadratic([1.0], noise=3.0)
    check_probability(fs.Study(landscape, fs.SGD(0.1, 0.9), 8, 700_000, measures=fs.Overshoot()))


def test_rise_of_the_loss_is_an_exit_from_the_interval_of_the_start():
    lr, start, steps, n = 0.1, 0.4, 30, 700_000
    data = run(fs.Quadratic([1.0], start=start), fs.SGD(lr), steps, n)
    stay = fs.theory.quadratic_chain(lr, 1.0, 1.0, start).survival(steps, start)
    error = np.sqrt(stay * (1 - stay) / n)
    assert abs(data["loss_rise_probability"] - (1 - stay)) <= 4 * error
    assert 0.01 * (1 - stay) > 8 * error
    assert data["loss_rise"] > 1


def test_more_axes_than_are_kept():
    """Without noise at eta h in (1, 2) the first step passes by eta h - 1, the deepest."""
    curvature = np.random.default_rng(0).permutation(np.linspace(1.05, 1.95, 90))
    data = run(fs.Quadratic(curvature, 0.0), fs.SGD(1.0), 5, 16, precision="double")
    assert data["axis"].values.tolist() == np.sort(np.argsort(-curvature)[:64]).tolist()
    np.testing.assert_allclose(data["overshoot_depth"], curvature[data["axis"]] - 1, rtol=1e-9)
    np.testing.assert_array_equal(data["overshoot_crossings"], 5)
    few = run(fs.Quadratic(curvature, 0.0), fs.SGD(1.0), 5, 16, axes=[3, 89], precision="double")
    assert few["axis"].values.tolist() == [3, 89]
    np.testing.assert_allclose(few["overshoot_depth"], curvature[[3, 89]] - 1, rtol=1e-9)


def test_a_start_at_the_minimum_has_no_depth():
    data = run(fs.Quadratic([1.0, 1.0], 0.1, [0.0, 1.0]), fs.SGD(0.3), 5, 32)
    assert data["overshoot_probability"][0] == 0
    assert np.isnan(data["overshoot_depth"][0])
    assert np.isfinite(data["overshoot_depth"][1])


@pytest.mark.parametrize("axes", [[1, 0], [0, 0], [-1], [0.5], [], 3, "all", [[0]]])
def test_bad_axes(axes):
    with pytest.raises(fs.FastschedError, match="axes must be increasing indices"):
        fs.Overshoot(axes)


@pytest.mark.parametrize(
    ("landscape", "measure", "message"),
    [
        (fs.Quadratic([1.0]), fs.Overshoot([1]), "axes must be less than .* dimension, 1"),
        (fs.DoubleWell(), fs.Overshoot(), "DoubleWell has no single minimum"),
        (fs.RandomField(2, 9), fs.Overshoot(), "RandomField has no single minimum"),
        (bowl(65), fs.Overshoot(), "axes must be given for Custom"),
    ],
)
def test_refused_with_the_study(landscape, measure, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.Study(landscape, fs.SGD(0.1), 4, 4, measures=measure)
