"""What schedules refuse, and what the message says."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastsched import schedules as fs
from fastsched.errors import FastschedError

CONSTANT = fs.Constant(1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fs.Constant(math.nan), r"value = nan: value must be a finite number"),
        (lambda: fs.Constant(True), r"value = True"),
        (lambda: fs.Constant("0.1"), r"value = '0.1'"),
        (lambda: fs.StepDecay(1.0, 0), r"every = 0: every must be an integer, at least 1"),
        (lambda: fs.StepDecay(1.0, 2.5), r"every = 2.5"),
        (lambda: fs.StepDecay(1.0, 2, 0.0), r"factor = 0.0.*greater than 0"),
        (lambda: fs.MultiStep(1.0, [3, 2]), r"milestones = \[3, 2\].*increasing order"),
        (lambda: fs.MultiStep(1.0, [-1]), r"milestones\[0\] = -1"),
        (lambda: fs.MultiStep(1.0, 5), r"milestones = 5.*list of integers"),
        (lambda: fs.MultiStep(1.0, "12"), r"milestones = '12'"),
        (lambda: fs.MultiStep(1.0, np.ones((2, 2))), r"milestones\[0\] = array"),
        (lambda: fs.MultiStep(1.0, [[1], [2, 3]]), r"milestones\[0\] = \[1\]"),
        (lambda: fs.MultiStep(1.0, [3], -1.0), r"factor = -1.0"),
        (lambda: fs.Exponential(1.0, 0.0), r"gamma = 0.0"),
        (lambda: fs.Exponential(1.0, 2.0)(5000), r"is inf at step 5000.*must be finite"),
        (lambda: fs.Polynomial(1.0, 0), r"steps = 0"),
        (lambda: fs.Polynomial(1.0, 5, power=0.0), r"power = 0.0"),
        (lambda: fs.Linear(math.inf, 5), r"initial = inf"),
        (lambda: fs.Linear(1.0, -5), r"steps = -5"),
        (lambda: fs.Linear(1.0, 5, final=None), r"final = None"),
        (lambda: fs.InverseTime(1.0, 0.0), r"beta = 0.0"),
        (lambda: fs.InverseSqrt(1.0, -1.0), r"beta = -1.0"),
        (lambda: fs.PowerLaw(1.0, 0.5, 0.0), r"timescale = 0.0"),
        (lambda: fs.PowerLaw(1.0, math.nan), r"exponent = nan"),
        (lambda: fs.Cosine(1.0, True), r"steps = True"),
        (lambda: fs.Triangular(1.0, 0.5, 4), r"high = 0.5.*at least 1"),
        (lambda: fs.Triangular(0.1, 0.5, 0), r"half_cycle = 0"),
        (lambda: fs.Triangular(0.1, 0.5, 4, "saw"), r"mode = 'saw'.*'triangular2'"),
        (lambda: fs.Triangular(0.1, 0.5, 4, gamma=0.0), r"gamma = 0.0"),
        (lambda: fs.WarmRestarts(1.0, 0.5), r"period = 0.5.*at least 1"),
        (lambda: fs.WarmRestarts(1.0, 5, 0.5), r"multiplier = 0.5.*at least 1"),
        (lambda: fs.WarmRestarts(1.0, 5, decay=0.0), r"decay = 0.0"),
        (lambda: fs.OneCycle(1.0, 0), r"steps = 0"),
        (lambda: fs.OneCycle(1.0, 10, warmup=3), r"warmup = 3.*at most 1"),
        (lambda: fs.OneCycle(1.0, 10, start_factor=-1), r"start_factor = -1"),
        (lambda: fs.OneCycle(1.0, 10, final_factor=-1), r"final_factor = -1"),
        (lambda: fs.OneCycle(1.0, 10, shape="cos"), r"shape = 'cos'.*'cosine', 'linear'"),
        (lambda: fs.WSD(1.0, 10, warmup=11), r"warmup = 11.*at most 10"),
        (lambda: fs.WSD(1.0, 10, warmup=5, decay=6), r"decay = 6.*at most steps - warmup = 5"),
        (lambda: fs.WSD(1.0, 10, decay=0.2), r"decay = 0.2.*integer"),
        (lambda: fs.WSD(1.0, 10, shape="1-sqrt"), r"shape = '1-sqrt'"),
        (lambda: fs.WSD(1.0, 10, decay=4, shape="exponential"), r"final = 0.0.*not 0"),
        (lambda: fs.WSD(-1.0, 10, 0, 4, "exponential", 0.1), r"final = 0.1.*sign of the peak"),
        (lambda: fs.Piecewise([1], [1.0]), r"values = \[1.0\].*= 2 numbers"),
        (lambda: fs.Piecewise([2, 2], [1.0, 2.0, 3.0]), r"boundaries = \[2, 2\].*strictly"),
        (lambda: fs.Piecewise([2], [1.0, math.inf]), r"values\[1\] = inf"),
        (lambda: fs.Table([]), r"values = \[\].*non-empty one-dimensional"),
        (lambda: fs.Table([[1.0]]), r"got shape \(1, 1\)"),
        (lambda: fs.Table([1.0, math.nan]), r"all finite"),
        (lambda: fs.Table("abc"), r"values = 'abc'"),
        (lambda: fs.Function(1.0), r"f = 1.0.*function of the step"),
        (lambda: fs.Function(lambda t: None)(3), r"f\(3\) = None"),
        (lambda: fs.Function(lambda t: math.nan)(3), r"f\(3\) = nan"),
        (lambda: fs.Function(lambda t: np.ones(3))(3), r"f\(3\) = array"),
        (lambda: fs.Function(lambda t: np.ones(1))(3), r"f\(3\) = array"),
        (lambda: fs.Function(lambda t: 1j)(3), r"f\(3\) = 1j"),
        (lambda: fs.Function(lambda t: "0.1")(3), r"f\(3\) = '0.1'"),
        (lambda: fs.Function(lambda t: True)(3), r"f\(3\) = True"),
        (lambda: fs.Function(lambda t: 1 / t)(0), r"f fails at step 0: ZeroDivisionError"),
        (lambda: fs.MultiStep(1.0, np.array(5)), r"milestones = array\(5\).*list of integers"),
        (lambda: fs.Piecewise([1], np.ma.masked_array([1.0, 2.0])), r"values = masked_array"),
        (lambda: CONSTANT.warmup(-1), r"steps = -1"),
        (lambda: CONSTANT.warmup(5, math.nan), r"start = nan"),
        (lambda: fs.Warmup(1.0, 5), r"schedule = 1.0: schedule must be a Schedule"),
        (lambda: CONSTANT.then(2.0, 5), r"b = 2.0: b must be a Schedule"),
        (lambda: CONSTANT.then(CONSTANT, 1.5), r"at = 1.5"),
        (lambda: CONSTANT * math.inf, r"= inf"),
        (lambda: CONSTANT + True, r"= True"),
        (lambda: fs.Product(1.0, 2.0), r"b = 1.0: b must be a Schedule"),
        (lambda: fs.Sum("a", CONSTANT), r"a = 'a': a must be a finite number or a Schedule"),
        (lambda: CONSTANT.clip(1.0, 0.0), r"high = 0.0.*at least 1"),
        (lambda: CONSTANT.values(-1), r"steps = -1"),
        (lambda: CONSTANT.values(2.5), r"steps = 2.5"),
        (lambda: fs.hyperparameter("lr", "0.1"), r"lr = '0.1'.*finite number or a Schedule"),
        (lambda: fs.hyperparameter("lr", None), r"lr = None.*finite number or a Schedule"),
        (lambda: fs.hyperparameter("lr", math.inf), r"lr = inf"),
        (lambda: fs.hyperparameter("lr", False), r"lr = False"),
    ],
)
def test_bad_input(make: Callable[[], object], message: str) -> None:
    with pytest.raises(FastschedError, match=message):
        make()


@pytest.mark.parametrize("other", ["a", None, np.ones(3), [1.0]])
def test_operators_leave_strangers_alone(other: Any) -> None:
    with pytest.raises(TypeError):
        CONSTANT * other
    with pytest.raises(TypeError):
        other + CONSTANT


def test_hyperparameter() -> None:
    assert fs.hyperparameter("lr", CONSTANT) is CONSTANT
    value = fs.hyperparameter("lr", np.float32(0.5))
    assert type(value) is float
    assert value == 0.5
