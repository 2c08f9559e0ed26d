"""Trajectories stop once no measure of the study can change, with the same statistics."""

from __future__ import annotations

import numpy as np
import pytest

import fastsched as fs
from fastsched import plan
from fastsched.feed import kernel_source

STEPS = 300

# One landscape for each of the three loops, with measures of first passages.
CASES = {
    "separable": (fs.DoubleWell(2, noise=2.0, start=-1.0), (fs.Escape(), fs.HittingTime(0.1))),
    "summed": (
        fs.LeastSquares([1.0, 0.5], label_noise=1.0, start=0.3),
        (fs.HittingTime(0.01), fs.Escape(radius=0.5, center=0.0)),
    ),
    "coupled": (
        fs.Wells([[-1.0], [1.0]], [[2.0], [1.0]], [0.0, 0.1], 0.3, noise=2.0, start=-1.0),
        (fs.Escape(),),
    ),
}


def study(name, *more, steps=STEPS, trajectories=333):
    landscape, measures = CASES[name]
    return fs.Study(
        landscape, fs.SGD(0.1), steps, trajectories, 2, measures=(*measures, *more),
        precision="double",
    )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_same_statistics_as_with_a_measure_that_goes_on(name):
    stopped = fs.run(study(name), progress=False).data
    whole = fs.run(study(name, fs.Loss(())), progress=False).data
    assert float(stopped["escape_probability"]) > 0
    for variable in stopped:
        np.testing.assert_allclose(stopped[variable], whole[variable], rtol=1e-12)


def test_more_steps_change_nothing_once_all_have_left(monkeypatch):
    """Also where a trajectory's steps are taken in several kernel calls."""
    short = fs.run(study("separable", steps=3000), progress=False).data
    assert float(short["escape_probability"]) == 1
    assert float(short["hitting_probability"]) == 1
    monkeypatch.setattr(plan, "_LARGEST_CALL", 2**12)
    long = fs.run(study("separable", steps=50_000), progress=False).data
    for variable in ("escape_time", "escape_rate", "escape_rate_high", "hitting_time"):
        assert float(short[variable]) == float(long[variable])
        if f"{variable}_se" in short:
            assert float(short[f"{variable}_se"]) == float(long[f"{variable}_se"])


@pytest.mark.parametrize("name", CASES)
def test_only_first_passages_stop_the_loop(name):
    stop = "if not moving:\n            break"
    assert stop in kernel_source(study(name))
    for more in (fs.Loss(()), fs.Average(), fs.Alignment()):
        assert stop not in kernel_source(study(name, more))
