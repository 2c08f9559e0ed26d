"""Hitting times by hand, against an exact chain, SciPy's survival analysis, and over seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import fastsched as fs
from fastsched.measures.base import QUANTILES

from .naive import first, walk


def study(landscape, lr, level, steps, trajectories=1, *, radius=1e3, **options):
    """A study of hitting times and exits, so that both files' tests share a kernel."""
    measures = (fs.HittingTime(level), fs.Escape(radius=radius, center=0.0))
    return fs.Study(
        landscape,
        fs.SGD(lr),
        steps,
        trajectories,
        **{"precision": "double", "measures": measures, **options},
    )


# Without noise at eta h = 1/2 the loss is 4^-t / 2 to the last digit.
@pytest.mark.parametrize(
    ("level", "steps", "time"),
    [
        (1.0, 8, 0),
        (0.5, 8, 0),
        (np.nextafter(0.5, 0), 8, 1),
        (0.125, 8, 1),
        (np.nextafter(0.125, 0), 8, 2),
        (0.5 * 4.0**-8, 8, 8),
        (0.5 * 4.0**-8, 7, None),
        (-1.0, 8, None),
        (0.125, 1, 1),
    ],
)
def test_by_hand(level, steps, time):
    landscape = fs.Quadratic([1.0], noise=0.0)
    case = study(landscape, 0.5, level, steps, 20, record=np.arange(steps + 1))
    data = fs.run(case, progress=False).data
    assert data["hitting_probability"] == (time is not None)
    assert data["hitting_time"] == (steps if time is None else time)
    np.testing.assert_array_equal(data["hitting_time_quantile"], np.nan if time is None else time)
    later = np.inf if time is None else time
    np.testing.assert_array_equal(data["hitting_survival"], later > data["step"])
    for name in ("probability", "time", "survival"):
        np.testing.assert_array_equal(data[f"hitting_{name}_se"], 0)


def test_against_the_chain():
    """From 3 down to |x| <= 0.9: too wide a step to be passed over, so |x| is x."""
    level, lr, steps = 0.5 * 0.9**2, 0.1, 40
    case = study(
        fs.Quadratic([1.0], start=3.0), lr, level, steps, 200_000, record=np.arange(steps + 1)
    )
    data = fs.run(case, progress=False).data
    chain = fs.theory.GaussianChain(lambda x: (1 - lr) * x, lr, lower=0.9)
    survival = chain.survival(np.arange(steps + 1), 3.0)
    mean = survival[:-1].sum()
    assert abs(data["hitting_time"] - mean) <= 4 * data["hitting_time_se"]
    assert 0.01 * mean > 8 * data["hitting_time_se"]
    error = np.sqrt(survival * (1 - survival) / case.trajectories)
    assert np.all(np.abs(data["hitting_survival"] - survival) <= 4.5 * error + 1e-12)
    chance = 1 - survival[-1]
    assert abs(data["hitting_probability"] - chance) <= 4 * error[-1]
    passed = 1 - survival
    for q, quantile in zip(QUANTILES, data["hitting_time_quantile"].values, strict=True):
        # The sampled quantile is where the exact law passes q, within four standard errors.
        spread = 4 * np.sqrt(q * (1 - q) / case.trajectories)
        assert (
            np.searchsorted(passed, q - spread) <= quantile <= np.searchsorted(passed, q + spread)
        )


@pytest.mark.parametrize("steps", [30, 90])
def test_against_survival_analysis(steps):
    case = study(fs.Quadratic([1.0], 4.0), 0.05, 0.01, steps, 150, record=np.arange(steps + 1))
    data = fs.run(case, progress=False).data
    times = first(walk(case).loss <= 0.01)
    hit = np.isfinite(times)
    sample = stats.CensoredData(uncensored=times[hit], right=np.full(np.sum(~hit), steps))
    sf = stats.ecdf(sample).sf
    np.testing.assert_allclose(data["hitting_survival"], sf.evaluate(data["step"]), rtol=1e-12)
    one_sigma = sf.confidence_interval(2 * stats.norm.cdf(1) - 1, method="linear")
    survival = data["hitting_survival"].values
    inner = (survival > 0.2) & (survival < 0.8)
    assert inner.sum() > 10
    error = (one_sigma.high.evaluate(data["step"]) - one_sigma.low.evaluate(data["step"])) / 2
    np.testing.assert_allclose(data["hitting_survival_se"][inner], error[inner], rtol=1e-9)
    for q, quantile in zip(QUANTILES, data["hitting_time_quantile"].values, strict=True):
        below = np.flatnonzero(sf.probabilities <= 1 - q + 1e-12)
        reached = below.size and sf.quantiles[below[0]] in times
        assert quantile == sf.quantiles[below[0]] if reached else np.isnan(quantile)


def test_errors_are_the_spread_between_seeds():
    base = study(fs.Quadratic([1.0], start=3.0), 0.1, 0.4, 60, 400, record=[15, 60])
    results = [fs.run(base.replace(seed=seed), progress=False).data for seed in range(300)]
    for name, tolerance in (("time", 4 / np.sqrt(600)), ("survival", 4 / np.sqrt(600))):
        values, errors = (
            np.array([np.atleast_1d(data[f"hitting_{name}{end}"])[0] for data in results])
            for end in ("", "_se")
        )
        assert np.std(values) / np.sqrt(np.mean(errors**2)) == pytest.approx(1, abs=tolerance)


def test_few_trajectories_beyond_a_quantile_tell_no_error():
    data = fs.run(study(fs.Quadratic([1.0]), 0.1, 0.01, 60, 99), progress=False).data
    assert np.isnan(data["hitting_time_quantile_se"]).values.tolist() == [
        True, False, False, False, True
    ]  # fmt: skip
    one = fs.run(study(fs.Quadratic([1.0]), 0.1, 0.01, 60, 1), progress=False).data
    assert np.isnan(one["hitting_time_se"])
    assert np.isnan(one["hitting_time_quantile_se"]).all()


@pytest.mark.parametrize("level", ["low", np.nan, np.inf, None, [1.0]])
def test_bad_level(level):
    with pytest.raises(fs.FastschedError, match="level must be a finite number"):
        fs.HittingTime(level)
