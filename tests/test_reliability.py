"""Means that a few trajectories decide, and results that diverge: what is shown of them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray
from helpers import Page

import fastsched as fs
from fastsched.demo import draw_zoo
from fastsched.kernels import reduce
from fastsched.measures.base import mean_and_deviation
from fastsched.plot import drawable
from fastsched.reliability import estimable, without_stationary_mean
from fastsched.sweep_plot import sweep_drawable

HEAVY = fs.Study(fs.LeastSquares([1.0], label_noise=0.1), fs.SGD(0.8), 60, 20_000)


@pytest.fixture(scope="module")
def heavy():
    return fs.run(HEAVY, progress=False)


@pytest.fixture(scope="module")
def swept():
    return fs.run(fs.sweep(HEAVY, {"optimizer.lr": [0.1, 0.2, 0.8]}), progress=False)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def flagged(samples, study=None):
    """Return for each row of samples whether its mean is called not estimable."""
    padded = np.pad(samples, ((0, 0), (0, -samples.shape[1] % reduce.LANES)))
    moments = reduce.block_moments(padded, samples.shape[1])
    study = study or fs.Study(fs.Quadratic([1.0]), fs.SGD(0.1), 1, 2)
    data = xarray.Dataset(mean_and_deviation("loss", moments))
    return ~estimable(fs.Result(study, data), "loss").values


@pytest.mark.parametrize("n", [100, 1000])
def test_samples_with_a_variance_are_estimable(n):
    rng = np.random.default_rng(1)
    shape = (1000, n)
    assert flagged(rng.exponential(size=shape)).mean() < 0.005
    assert flagged(rng.chisquare(1, size=shape)).mean() < 0.005
    assert flagged(rng.lognormal(size=shape)).mean() < 0.1


@pytest.mark.parametrize(("n", "least"), [(100, 0.4), (1000, 0.8), (10_000, 0.95)])
def test_samples_without_a_mean_are_not_estimable(n, least):
    rng = np.random.default_rng(2)
    found = flagged(rng.pareto(0.75, size=(200, n)) + 1)
    assert found.mean() > least
    assert not flagged(np.full((1, n), 3.0)).any()  # a constant
    assert not flagged(rng.pareto(0.75, size=(200, 99))).any()  # too few to know


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"optimizer": fs.SGD(0.6)}, False),
        ({"optimizer": fs.SGD(0.5, momentum=0.9)}, True),
        ({"optimizer": fs.SGD(fs.Linear(0.8, 60))}, False),
        ({"optimizer": fs.SGD(fs.Constant(0.8))}, True),
        ({"batch_size": 4}, False),
        ({"optimizer": fs.SGD(0.8, weight_decay=0.1)}, False),
        ({"landscape": fs.Quadratic([1.0])}, False),
        ({"landscape": fs.RandomFeatures([1.0, 1.0], [1.0, 1.0], 2, label_noise=0.1)}, True),
    ],
)
def test_theory_knows_heavy_stationary_laws(change, expected):
    assert without_stationary_mean(HEAVY.replace(**change)) is expected


def test_heavy_results_lead_with_quantiles(heavy):
    """The mean of this study has no variance: 12.68 +- 12.54 beside an exact 8.75e+06."""
    lines = heavy.summary().splitlines()
    head = lines[4].split()
    assert head[:3] == ["step", "5", "%"]
    assert head.index("loss") > head.index("95")
    last = next(line for line in lines if line.split()[:1] == ["60"])
    assert "n/e" in last
    assert "12.68" not in last
    assert "n/e: not estimable." in heavy.summary()
    assert "one_pass_limit" in heavy.summary()
    assert np.isnan(heavy.z_scores["loss"].values[-1])


def test_light_results_are_as_ever():
    result = fs.run(HEAVY.replace(optimizer=fs.SGD(0.1), trajectories=500), progress=False)
    assert "n/e" not in result.summary()
    head = next(line for line in result.summary().splitlines() if line.startswith("step"))
    assert head.split()[:2] == ["step", "loss"]
    assert np.isfinite(result.z_scores["loss"].values[-1])
    assert "mean not estimable" not in legend(result.plot())


def test_the_judgement_is_that_of_loaded_results(heavy, tmp_path):
    heavy.save(tmp_path / "out.nc")
    assert repr(fs.load(tmp_path / "out.nc")) == repr(heavy)


def test_figures_draw_the_median(heavy, swept):
    ax = heavy.plot()
    assert "median (mean not estimable)" in legend(ax)
    assert "not estimable at 60 of 61 steps" in ax.get_title()
    mean = next(line for line in ax.lines if line.get_label() == "lr = 0.8")
    assert np.isfinite(mean.get_ydata()).sum() == 1
    assert ax.get_ylim()[1] < 1e5  # the exact mean of 8.75e+06 does not flatten the rest
    ax = swept.plot(x="lr")
    assert "loss: median" in legend(ax)
    ax = swept.plot()
    assert "lr = 0.8: median" in legend(ax)
    assert "lr = 0.1: median" not in legend(ax)
    curve = next(line for line in ax.lines if line.get_label() == "lr = 0.8")
    assert np.isnan(curve.get_ydata()[1:]).all()


def test_rankings_put_them_last(swept):
    ranking = swept.best()
    assert ranking.members[-1] == {"lr": 0.8}
    assert ranking.candidates == [{"lr": 0.1}]
    assert ranking.estimable.tolist() == [True, True, False]
    assert np.isnan(ranking.p[-1])
    assert not ranking.diverged.any()
    row = next(line for line in repr(ranking).splitlines() if line.startswith("0.8"))
    assert "not estimable" in row
    assert "n/e" in row
    row = next(line for line in swept.summary().splitlines() if line.startswith("0.8"))
    assert "n/e" in row
    # With the largest first it would lead.
    assert swept.best(largest=True).members[-1] == {"lr": 0.8}
    alone = fs.run(fs.sweep(HEAVY, {"optimizer.lr": [0.8, 0.85]}), progress=False)
    assert "no member has a mean that is estimable" in alone.summary()


def test_report_of_heavy_results(heavy, swept, tmp_path):
    for result in (heavy, swept):
        result.report(tmp_path / "page.html")
        text = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert "n/e: not estimable." in text
        assert "img" in Page(text).tags


@pytest.fixture(scope="module")
def diverged():
    """A study whose exact values leave the range of floats."""
    study = fs.Study(
        fs.Quadratic([1.0, 0.1]),
        fs.SGD(10.0),
        2000,
        100,
        measures=(fs.Loss(), fs.Average()),
    )
    return fs.run(fs.sweep(study, {"optimizer.lr": [0.1, 10.0]}), progress=False)


def test_diverged_results_are_drawn(diverged, tmp_path):
    result = diverged.member(10.0)
    assert len(result.summary()) > 100
    assert len(diverged.summary()) > 100
    assert not np.isfinite(result.z_scores["loss"].values[-1])
    for name in drawable(result):
        ax = result.plot(variable=name)
        ax.figure.savefig(tmp_path / "fig.png", dpi=40)
        check(ax)
        plt.close("all")
    for name in sweep_drawable(diverged):
        for x in ("step", "lr"):
            ax = diverged.plot(variable=name, x=x)
            ax.figure.savefig(tmp_path / "fig.png", dpi=40)
            check(ax)
            plt.close("all")
    for each in (result, diverged):
        each.report(tmp_path / "page.html")
    draw_zoo({"a": result, "b": diverged.member(0.1)}).savefig(tmp_path / "fig.png", dpi=40)
    draw_zoo({"a": result}).savefig(tmp_path / "fig.png", dpi=40)


def test_figures_say_what_diverges(diverged):
    ax = diverged.member(10.0).plot()
    assert "up to 100 % of the trajectories diverge" in ax.get_title()
    assert ax.get_ylim()[1] < 1e33  # not the exact mean's 1e300
    # The exact value of a member without an estimate does not flatten the others.
    ax = diverged.plot(x="lr")
    assert np.nanmax([np.nanmax(line.get_ydata()) for line in ax.lines]) < 1
    assert "diverge" in ax.get_title()


def check(ax):
    assert all(np.isfinite(ax.get_ylim()))
    assert max(np.abs(ax.get_ylim())) < 1e300


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]
