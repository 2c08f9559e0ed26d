"""Every measure against its definition, trajectory by trajectory; and what holds for all."""

from __future__ import annotations

import numpy as np
import pytest

import fastsched as fs

from .naive import expected

EVERYWHERE = (fs.Loss(), fs.Alignment())
AT_A_MINIMUM = fs.Overshoot()

FIELD = fs.RandomField(3, 20, confinement=0.3, noise=1.5, start=fs.Normal(0.5, 2.0))
WELLS = fs.Wells(
    [[-1.0, 0.0], [1.0, 0.5], [0.0, 2.0]],
    [[1.0, 2.0], [3.0, 1.0], [0.5, 0.5]],
    [0.0, 0.2, 0.5],
    softness=0.3,
    noise=[2.0, 1.5],
    start=fs.Normal(),
)

# Name: landscape, learning rate, batch size, measures.
EXAMPLES = {
    "quadratic": (
        fs.Quadratic([1.0, 0.5, 0.2], 0.7, fs.Normal([1.0, -0.5, 0.3], 0.5), [0.5, 0.0, -1.0]),
        0.5,
        2,
        (
            fs.HittingTime(0.3),
            fs.Escape(radius=1.5, center=[0.5, 0.0, -1.0]),
            fs.Overshoot(),
            fs.Sharpness(),
            fs.Average("ema", decay=0.8),
        ),
    ),
    "least squares": (
        fs.LeastSquares([1.0, 0.5, 0.2], 0.3, fs.Normal(0.5), [0.5, 0.0, -1.0]),
        0.3,
        2,
        (
            fs.HittingTime(0.3),
            fs.Escape(radius=2.0, center=[0.5, 0.0, -1.0]),
            fs.Overshoot(axes=[0, 2]),
            fs.Sharpness(),
            fs.Average("tail", start=9),
        ),
    ),
    "double well": (
        fs.DoubleWell(3, [0.5, 2.0], [2.0, 0.5, 0.5], start=fs.Normal([-1.0, 0.2, 0.0], 0.3)),
        0.2,
        1,
        (fs.HittingTime(-0.1), fs.Escape(), fs.Basins(), fs.Sharpness(), fs.Average()),
    ),
    "wells": (
        WELLS,
        0.2,
        1,
        (fs.HittingTime(-0.2), fs.Escape(), fs.Basins(), fs.Sharpness(), fs.Average()),
    ),
    "random field": (
        FIELD,
        0.2,
        1,
        (fs.HittingTime(-1.0), fs.Escape(), fs.Basins(), fs.Sharpness(), fs.Average()),
    ),
}


def study(name, momentum, **changes):
    landscape, lr, batch_size, measures = EXAMPLES[name]
    options = {
        "batch_size": batch_size,
        "seed": 11,
        "record": np.arange(42),
        "measures": (fs.Loss(), fs.Alignment(), *measures),
        "precision": "double",
    }
    rate = fs.Cosine(lr * (1 - momentum), 50)
    optimizer = fs.SGD(rate, momentum, weight_decay=0.01, velocity="classical")
    return fs.Study(landscape, optimizer, 41, 50, **(options | changes))


def check(result, values):
    for name, value in values.items():
        np.testing.assert_allclose(
            result[name], value, rtol=1e-8, atol=1e-11, equal_nan=True, err_msg=name
        )


SLOW = [("least squares", 0.0), ("double well", 0.7), ("wells", 0.0), ("random field", 0.7)]


@pytest.mark.parametrize(
    ("name", "momentum"),
    [
        ("quadratic", 0.0),
        ("quadratic", 0.7),
        ("least squares", 0.7),
        ("double well", 0.0),
        ("wells", 0.7),
        ("random field", 0.0),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW),
    ],
)
@pytest.mark.parametrize("record", [np.arange(42), [0, 1, 7, 40, 41], [3, 17]], ids=len)
def test_by_definition(name, momentum, record):
    case = study(name, momentum, record=record)
    result = fs.run(case, progress=False)
    check(result, expected(case))
