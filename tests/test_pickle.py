"""Pickles and copies: of the fields alone, equal to the original, and as immutable."""

from __future__ import annotations

import contextlib
import copy
import pickle

import numpy as np
import pytest
from gpu.examples import LANDSCAPES
from helpers import same_data

import fastsched as fs
from fastsched.run import RunFailed


def copies(value):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.loads(pickle.dumps(value, protocol))
    yield copy.copy(value)
    yield copy.deepcopy(value)


def use(landscape):
    """Ask for what a landscape derives from its fields."""
    for name in dir(type(landscape)):
        if not name.startswith("_"):
            with contextlib.suppress(fs.FastschedError):
                getattr(landscape, name)


def same(a, b):
    assert a == b
    assert hash(a) == hash(b)
    assert repr(a) == repr(b)


@pytest.mark.parametrize("name", LANDSCAPES)
def test_landscapes(name):
    landscape = LANDSCAPES[name][0]
    if isinstance(landscape, fs.Custom):
        pytest.skip("holds functions of a test")
    fresh = pickle.loads(pickle.dumps(landscape))
    before = pickle.dumps(fresh)
    use(fresh)
    assert len(vars(fresh)) >= len(fresh._fields())
    assert len(pickle.dumps(fresh)) == len(before)
    for other in copies(fresh):
        same(other, fresh)
        assert set(vars(other)) == set(fresh._fields())
        for value in vars(other).values():
            assert not (isinstance(value, np.ndarray) and value.flags.writeable)


def test_a_study_that_has_run(small_study):
    study = small_study.replace(record=20)
    before = pickle.dumps(study)
    study.run(progress=False)
    assert pickle.dumps(study) == before
    for other in copies(study):
        same(other, study)
        assert other.digest() == study.digest()
        assert not other.landscape.curvature.flags.writeable


def test_a_sweep_that_has_run(small_study):
    sweep = fs.sweep(small_study, {"optimizer.lr": [0.1, 0.2], "record": [[0, 50], [0, 20, 50]]})
    before = pickle.dumps(sweep)
    sweep.run(progress=False)
    assert pickle.dumps(sweep) == before
    for other in copies(sweep):
        same(other, sweep)
        assert not other.axes[1].values[0][0].flags.writeable


def test_attributes_that_are_not_fields_travel():
    """Those of classes from outside, which no constructor makes again."""
    landscape = fs.Quadratic([1.0])
    landscape._set(derived=np.arange(3.0))
    assert np.array_equal(pickle.loads(pickle.dumps(landscape)).derived, [0, 1, 2])


def test_joblib(small_study):
    joblib = pytest.importorskip("joblib")
    study = small_study.replace(seed=5)
    before = joblib.hash(study)
    study.run(progress=False)
    assert joblib.hash(study) == before
    assert joblib.hash(small_study.replace(seed=5)) == before
    assert joblib.hash(small_study.replace(seed=6)) != before


def test_joblib_memory(small_study, tmp_path):
    joblib = pytest.importorskip("joblib")
    calls = []

    def loss(study):
        calls.append(study)
        return float(study.run(progress=False).data["loss"][-1])

    remembered = joblib.Memory(tmp_path, verbose=0).cache(loss)
    study = small_study.replace(seed=7)
    assert remembered(study) == remembered(study)
    assert len(calls) == 1


def test_results(small_study):
    result = small_study.run(progress=False)
    assert result.exact is not None
    result.z_scores  # noqa: B018
    for other in copies(result):
        assert same_data(other, result)
        same(other.study, result.study)
        assert other.summary() == result.summary()
    estimate = small_study.estimate()
    for other in copies(estimate):
        assert other == estimate


def test_results_of_sweeps(small_study):
    sweep = fs.sweep(small_study, {"optimizer.lr": {"low": 0.01, "high": 0.2}})
    result = sweep.run(progress=False)
    for other in copies(result):
        assert same_data(other, result)
        same(other.sweep, result.sweep)
    ranking = result.best()
    for other in copies(ranking):
        assert repr(other) == repr(ranking)


def test_tuned(small_study):
    tuned = fs.tune(small_study, "optimizer.lr", (0.01, 0.2), progress=False)
    for other in copies(tuned):
        same(other.study, tuned.study)
        assert repr(other) == repr(tuned)


@pytest.mark.parametrize(
    "error",
    [fs.FastschedError("no"), fs.NoExactTheory("none"), fs.ResultFileError("damaged")],
)
def test_errors(error):
    for other in copies(error):
        assert type(other) is type(error)
        assert str(other) == str(error)


def test_failed_runs(small_study):
    error = RunFailed("the run failed", small_study.run(progress=False))
    error.add_note("on a Monday")
    for other in copies(error):
        assert str(other) == "the run failed"
        assert same_data(other.result, error.result)
        assert other.__notes__ == ["on a Monday"]
    # Other packages, such as tblib, change how exceptions are pickled.
    make, arguments, _ = error.__reduce__()
    assert str(make(*arguments)) == str(error)
