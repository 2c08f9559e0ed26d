"""Tuned hyper-parameters, against the optimum of the exact theory."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import fastsched as fs

LANDSCAPE = fs.Quadratic(1 / np.arange(1, 31), noise="hessian", start=fs.Normal())
SHAPES = {"cosine": fs.Cosine(1.0, 100), "number": 0.5, "WSD": fs.WSD(0.2, 100, 10, 30)}


def study(lr, **changes):
    options = {"batch_size": 4, "record": [0, 100]}
    return fs.Study(LANDSCAPE, fs.SGD(lr), 100, 2000, **(options | changes))


def exact_best(shape):
    def final(position):
        rate = float(np.exp(position))
        peak = 1.0 if isinstance(shape, float) else float(shape.values(100).max())
        lr = rate if isinstance(shape, float) else (rate / peak) * shape
        return float(fs.exact(study(lr))["loss"][-1])

    bounds = np.log([0.01, 1.9])
    return np.exp(minimize_scalar(final, bounds=bounds, method="bounded").x)


@pytest.mark.parametrize("name", SHAPES)
def test_the_best_rate_is_that_of_theory(name):
    shape = SHAPES[name]
    best = exact_best(shape)
    scores = []
    for seed in range(8):
        tuned = fs.tune(study(shape, seed=seed), "optimizer.lr", (0.01, 1.9), progress=False)
        assert tuned.value_se < 0.02 * best
        scores.append((tuned.value - best) / tuned.value_se)
    assert np.max(np.abs(scores)) < 4
    # The error is right, not only large enough.
    assert 0.3 < np.std(scores) < 2


def test_the_search_ends_far_below_the_error():
    """Other bounds, the same random numbers: the same value."""
    values = [
        fs.tune(study(fs.Cosine(1.0, 100)), "optimizer.lr", (low, 1.9), progress=False)
        for low in (0.01, 0.012, 0.015)
    ]
    spread = np.std([tuned.value for tuned in values])
    assert spread < 0.1 * values[0].value_se


def test_what_it_gives():
    tuned = fs.tune(study(fs.Cosine(1.0, 100)), "optimizer.lr", (0.01, 1.9), progress=False)
    assert tuned.study.optimizer.lr(0) == pytest.approx(tuned.value)
    again = fs.run(tuned.study, progress=False)
    assert float(again["loss"][-1]) == tuned.objective
    assert float(again["loss_se"][-1]) == tuned.objective_se
    assert np.all(np.diff(tuned.values) > 0)
    assert tuned.objectives.min() >= tuned.objective - 3 * tuned.objective_se
    assert "Tuned(value=" in repr(tuned)


def test_functions_bounds_and_other_parameters():
    def median(result):
        return result["loss_quantile"].sel(quantile=0.5).isel(step=-1)

    tuned = fs.tune(study(0.5), "optimizer.lr", (0.01, 1.9), median, progress=False)
    assert np.isnan(tuned.value_se)
    assert "a function" in tuned.unknown_se
    assert 0.01 < tuned.value < 1.9
    with pytest.warns(RuntimeWarning, match="lies at a bound"):
        edge = fs.tune(study(0.5), "optimizer.lr", (1e-4, 1e-3), progress=False)
    assert edge.value == pytest.approx(1e-3, rel=0.02)
    assert np.isnan(edge.value_se)
    assert edge.unknown_se == "the value lies at a bound"
    assert "unknown: the value lies at a bound" in repr(edge)
    hits = study(0.1, measures=(fs.HittingTime(0.2),))
    soon = fs.tune(hits, "optimizer.lr", (0.05, 1.0), "hitting_time", progress=False)
    often = fs.tune(
        hits, "optimizer.lr", (0.05, 1.0), "hitting_probability", largest=True, progress=False
    )
    assert soon.objective < float(fs.run(hits, progress=False)["hitting_time"])
    assert often.objective == often.objectives.max()


@pytest.mark.parametrize("edge", [0.95, 1.05])
def test_error_of_a_value_near_a_bound(edge):
    """A bound inside the distance of the differences must not cost the error."""
    free = fs.tune(study(fs.Cosine(1.0, 100)), "optimizer.lr", (0.05, 1.5), progress=False)
    bounds = (edge * free.value, 1.5) if edge < 1 else (0.05, edge * free.value)
    bound = fs.tune(study(fs.Cosine(1.0, 100)), "optimizer.lr", bounds, progress=False)
    assert bound.value == pytest.approx(free.value, rel=0.01)
    assert bound.unknown_se == ""
    assert bound.value_se == pytest.approx(free.value_se, rel=0.5)


def test_error_where_neighbours_diverge():
    """Without noise the best rate is just below the stability limit."""
    fast = fs.Study(fs.Quadratic([1.0, 0.1], noise=0.0, start=fs.Normal()), fs.SGD(1.0), 60, 64)
    tuned = fs.tune(fast, "optimizer.lr", (1e-3, 1e5), progress=False)
    assert tuned.value == pytest.approx(2 / 1.1, rel=0.03)
    assert np.isnan(tuned.value_se)
    assert "trajectories diverge" in tuned.unknown_se


def test_rates_whose_mean_is_not_estimable_are_not_the_best():
    """Beyond the mean-square limit of 2/3 the sample's mean says nothing of the infinite one."""
    heavy = fs.Study(fs.LeastSquares([1.0], label_noise=0.1), fs.SGD(0.1), 60, 2000)
    tuned = fs.tune(heavy, "optimizer.lr", (0.01, 1.2), progress=False)
    assert tuned.value < 0.1
    assert np.all(np.isinf(tuned.objectives[tuned.values > 0.8]))


def test_the_last_step_counts_though_it_was_not_asked_for():
    """Without the last step the best rate would be that of the last step recorded."""
    tuned = fs.tune(study(0.5, record=[0, 5]), "optimizer.lr", (0.01, 1.9), progress=False)
    whole = fs.tune(study(0.5), "optimizer.lr", (0.01, 1.9), progress=False)
    assert tuned.value == whole.value
    assert tuned.value == pytest.approx(exact_best(0.5), abs=4 * tuned.value_se)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("study", "optimizer.lr", (0.1, 1)), "study must be a Study"),
        ((study(0.1), "optimizer.lrr", (0.1, 1)), "has no 'lrr'"),
        ((study(0.1), 3, (0.1, 1)), "path = 3"),
        ((study(0.1), "optimizer.nesterov", (0.1, 1)), "optimizer.nesterov = False"),
        ((study(0.1), "optimizer.lr", (1, 0.1)), "the least first"),
        ((study(0.1), "optimizer.lr", 0.1), "a least and a greatest value"),
        ((study(0.1), "optimizer.lr", (0.1, 1), "nothing"), "objective = 'nothing'"),
        ((study(0.1), "optimizer.lr", (0.1, 1), 3), "objective = 3"),
        ((study(0.1), "optimizer.lr", (100.0, 200.0)), "tried trajectories diverge"),
        (
            (study(0.1), "batch_size", (1, 8)),
            "batch_size = 4: batch_size must be a hyper-parameter",
        ),
        ((study(0.1), "optimizer.lr", (0.1, 1), lambda result: "a"), "that returns a number"),
        ((study(0.1), "optimizer.lr", (0.1, 1), lambda result: "1.5"), "objective = '1.5'"),
        ((study(0.1), "optimizer.lr", (0.1, 1), lambda result: None), "objective = None"),
        ((study(0.1), "optimizer.lr", (0.1, 1), lambda result: 1j), "objective = 1j"),
        ((study(0.1), "optimizer.lr", (0.1, 1), lambda result: [1.0]), r"objective = \[1.0\]"),
        ((study(0.1), "optimizer.lr", (0.1, 1), lambda result: np.ones(1)), "objective = array"),
        ((study(0.1), "optimizer.lr", (0.1, 1), lambda result: result["loss"]), "objective = <xa"),
        ((study(0.1), "optimizer.lr", (0.1, 1), lambda result: 1 / 0), "objective fails: ZeroDiv"),
        ((study(0.1), "optimizer.lr", (0.1, 1), "loss_se"), "objective = 'loss_se'"),
        ((study(fs.Constant(0.1), measures=fs.Sharpness()), "optimizer.lr", (0.1, 1)), "objective"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.tune(*arguments, progress=False)


def test_one_progress_bar_for_all_runs(monkeypatch):
    from fastsched import progress

    bars, done = [], []
    bar = type("Tqdm", (contextlib.nullcontext,), {})()
    bar.update, bar.n = done.append, 0
    bar.set_postfix_str = lambda words, refresh: bars.append(words)

    def made(total, unit):
        bars.append(total)
        return bar

    monkeypatch.setattr(progress, "_tqdm", made)
    tuned = fs.tune(study(0.5), "optimizer.lr", (0.01, 1.9))
    assert bars[0] > 9
    assert all(words.endswith(f"{tuned.objective:.6g}") for words in bars[-2:])
    assert sum(done) == pytest.approx(len(tuned.values))
