"""Every measure against its definition, trajectory by trajectory; and what holds for all."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import xarray
from helpers import same_data

import fastsched as fs

from .naive import check, expected

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
    "wells": (WELLS, 0.2, 1, (fs.HittingTime(-0.2), fs.Escape(), fs.Basins())),
    "curvature of wells": (WELLS, 0.2, 1, (fs.Sharpness(), fs.Average())),
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
        "trajectories": 50,
        "batch_size": batch_size,
        "seed": 11,
        "record": np.arange(42),
        "measures": (fs.Loss(), fs.Alignment(), *measures),
        "precision": "double",
    }
    rate = fs.Cosine(lr * (1 - momentum), 50)
    optimizer = fs.SGD(rate, momentum, weight_decay=0.01, velocity="classical")
    return fs.Study(landscape, optimizer, 41, **(options | changes))


SLOW = [
    ("quadratic", 0.0),
    ("least squares", 0.0),
    ("double well", 0.7),
    ("wells", 0.0),
    ("curvature of wells", 0.7),
    ("random field", 0.0),
]


@pytest.mark.parametrize(
    ("name", "momentum"),
    [
        ("quadratic", 0.7),
        ("least squares", 0.7),
        ("double well", 0.0),
        ("wells", 0.7),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW),
    ],
)
def test_by_definition(name, momentum):
    for record in (np.arange(42), [0, 1, 7, 40, 41], [3, 17]):
        case = study(name, momentum, record=record)
        check(fs.run(case, progress=False), expected(case))


@pytest.mark.parametrize("name", ["quadratic", "double well"])
def test_same_bits_for_any_division_and_number_of_threads(name, threads, monkeypatch):
    case = study(name, 0.7 if name == "quadratic" else 0.0, record=[0, 5, 41], trajectories=777)
    whole = fs.run(case, progress=False)
    monkeypatch.setattr("fastsched.plan._LARGEST_CALL", 2000)
    monkeypatch.setattr("fastsched.plan._SMALLEST_BLOCK", 1)
    for number in {1, threads}:
        numba.set_num_threads(number)
        assert same_data(fs.run(case, progress=False), whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "measure"),
    [
        (name, measure)
        for name in ("quadratic", "double well", "wells")
        for measure in (fs.Alignment(), *EXAMPLES[name][3])
    ],
    ids=str,
)
def test_other_measures_change_nothing(name, measure):
    """Not even the order; sums may differ in their last bit, as compiled otherwise."""
    together = fs.run(study(name, 0.7), progress=False).data
    alone = fs.run(study(name, 0.7, measures=measure), progress=False).data
    assert len(alone.data_vars) >= 4
    for variable, value in alone.data_vars.items():
        xarray.testing.assert_allclose(together[variable], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["quadratic", "double well"])
def test_results_are_saved(name, tmp_path):
    case = study(name, 0.7 if name == "quadratic" else 0.0, record=[3, 17])
    result = fs.run(case, progress=False)
    result.save(tmp_path / "result.nc")
    again = fs.load(tmp_path / "result.nc")
    assert again.study == case
    xarray.testing.assert_identical(again.data, result.data)
    assert str(again) == str(result)


MEASURES = [
    fs.Alignment(),
    fs.Average(),
    fs.Average("ema", decay=0.9),
    fs.Basins(),
    fs.Escape(),
    fs.Escape(radius=2.0),
    fs.Escape(radius=2.0, center=1.0),
    fs.Escape(radius=2.0, center=[1.0, -1.0]),
    fs.HittingTime(-0.1),
    fs.Loss(),
    fs.Overshoot(),
    fs.Overshoot(axes=[0, 1]),
    fs.Sharpness(),
]


@pytest.mark.parametrize("measure", MEASURES, ids=repr)
def test_text_forms(measure):
    """Every measure can be read back from what it prints, and from TOML."""
    names = {name: getattr(fs, name) for name in fs.__all__}
    again = eval(repr(measure), names)
    assert again == measure
    assert hash(again) == hash(measure)
    needs_minimum = isinstance(measure, (fs.Overshoot, fs.Escape)) and measure != fs.Escape()
    landscape = fs.Quadratic([1.0, 0.5]) if needs_minimum else fs.DoubleWell(2)
    case = fs.Study(landscape, fs.SGD(0.1), 4, 4, measures=measure)
    assert fs.Study.from_toml(case.to_toml()) == case


def test_every_measure_is_among_the_examples():
    assert {type(measure) for measure in MEASURES} == {
        value
        for value in vars(fs).values()
        if isinstance(value, type)
        and issubclass(value, fs.measures.Measure)
        and value not in (fs.measures.Measure, fs.TestLoss)
    }
