"""Runs to a target: errors reached, the bits of a fixed number, the cap, messages."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import same_data

import fastsched as fs


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr("fastsched.plan._STEADY_WORK", 2**17)


def study(**changes):
    options = {"steps": 64, "trajectories": 100_000, "seed": 3, "record": 10}
    landscape = fs.Quadratic(1 / np.arange(1, 17), noise="hessian", start=fs.Normal())
    measures = (fs.Loss(), fs.HittingTime(1.0), fs.Alignment())
    return fs.Study(landscape, fs.SGD(0.3), measures=measures, **(options | changes))


def run(target, **changes):
    return fs.run(study(**changes), target_se=target, progress=False)


def relative(result, name):
    return float(np.max(result[f"{name}_se"] / np.abs(result[name])))


def test_relative_error_of_the_loss():
    result = run(0.01)
    n = result.trajectories
    assert relative(result, "loss") <= 0.01
    assert result.complete
    assert result.study == study(trajectories=n)
    # No more blocks than it took.
    fewer = fs.run(study(trajectories=n - 128), progress=False)
    assert relative(fewer, "loss") > 0.01
    whole = fs.run(study(trajectories=n), progress=False)
    assert same_data(result, whole)


def test_every_variable_of_a_dict():
    limits = {"hitting_time": ("absolute", 0.05), "hitting_probability": 0.02, "loss": 0.05}
    result = run(limits)
    assert result["hitting_time_se"] <= 0.05
    assert relative(result, "hitting_probability") <= 0.02
    assert relative(result, "loss") <= 0.05
    assert 1000 < result.trajectories < 100_000


def test_unknown_values_are_left_out():
    """No gradient follows the last one: its alignment is not known."""
    result = run({"gradient_alignment": ("absolute", 0.01)})
    assert np.isnan(result["gradient_alignment"][-1])
    assert result.complete


def test_confidence():
    """Half the width of a 95 % interval is 1.96 standard errors."""
    result = fs.run(study(), target_se=0.02, confidence=0.95, progress=False)
    assert relative(result, "loss") <= 0.02 / 1.96
    assert same_data(result, run(0.02 / 1.959964))
    for options in ({"confidence": 0.9}, {"target_se": 0.1, "confidence": 1.0}):
        with pytest.raises(fs.FastschedError, match="confidence"):
            fs.run(study(), progress=False, **options)


def test_the_cap():
    result = run(1e-6, trajectories=700)
    assert result.complete
    assert result.trajectories == 700


def test_a_few_trajectories_are_not_enough():
    assert run(10.0).trajectories == 256


def test_with_a_store(tmp_path):
    first = fs.run(study(), store=tmp_path / "store", target_se=0.02, progress=False)
    second = fs.run(study(), store=tmp_path / "store", target_se=0.01, progress=False)
    assert second.trajectories > first.trajectories
    assert same_data(second, run(0.01))


@pytest.mark.parametrize(
    "target", [0, -1.0, "0.1", {}, {"loss": ("relative", 1)}, {1: 0.1}, {"loss": 0}, float("nan")]
)
def test_bad_targets(target):
    with pytest.raises(fs.FastschedError, match="target_se"):
        run(target)


def test_unknown_variables_are_named():
    with pytest.raises(fs.FastschedError, match=r"names 'los'.*one of loss, .*hitting_time"):
        run({"los": 0.1})
