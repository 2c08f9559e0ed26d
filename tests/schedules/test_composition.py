"""Warm-up, succession, products, sums and clipping, of any schedules."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest
import tomli_w
from helpers import close
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsched import schedules as fs
from fastsched.errors import FastschedError
from fastsched.spec import from_dict

from .examples import NAMES, cube

numbers = st.floats(-10, 10).map(lambda x: round(x, 3))
horizons = st.integers(1, 30)
simple = st.one_of(
    st.builds(fs.Constant, numbers),
    st.builds(fs.Linear, numbers, horizons, numbers),
    st.builds(fs.Cosine, numbers, horizons, numbers),
    st.builds(fs.StepDecay, numbers, horizons, st.floats(0.1, 1.5)),
    st.builds(fs.InverseSqrt, numbers, st.floats(0.5, 9.0)),
    st.builds(fs.Table, st.lists(numbers, min_size=1, max_size=5)),
    st.builds(fs.WarmRestarts, numbers, st.floats(1, 9), st.floats(1, 3)),
    st.builds(fs.OneCycle, numbers, horizons, st.floats(0, 1)),
)
anything = st.recursive(
    simple,
    lambda s: st.one_of(
        st.builds(fs.Warmup, s, st.integers(0, 9), numbers),
        st.builds(fs.Then, s, s, st.integers(0, 9)),
        st.builds(fs.Product, st.one_of(numbers, s), s),
        st.builds(fs.Sum, st.one_of(numbers, s), s),
        st.builds(fs.Clip, s, st.floats(-9, 0), st.floats(0, 9)),
    ),
    max_leaves=5,
)


@given(anything)
@settings(max_examples=150, deadline=None)
def test_any_composition_round_trips(s: fs.Schedule) -> None:
    assert s.values(40).tolist() == [s(t) for t in range(40)]
    assert eval(repr(s), dict(NAMES)) == s
    text = tomli_w.dumps({"lr": s.to_dict()})
    assert from_dict(tomllib.loads(text)["lr"], fs.Schedule, "lr") == s  # type: ignore[type-abstract]


@given(a=anything, b=anything, c=numbers, n=st.integers(0, 20))
@settings(max_examples=100, deadline=None)
def test_composition_algebra(a: fs.Schedule, b: fs.Schedule, c: float, n: int) -> None:
    x, y = a.values(60), b.values(60)
    scale = 1 + np.abs(x).max() * np.abs(y).max()
    assert (a * b).values(60).tolist() == (x * y).tolist()
    assert (a + b).values(60).tolist() == (x + y).tolist()
    assert c * a == a * c == np.float64(c) * a
    assert c + a == a + c == np.float64(c) + a
    close((c * (a + b)).values(60) / scale, (c * a + c * b).values(60) / scale)
    assert a.clip(-1, 2).values(60).tolist() == np.clip(x, -1, 2).tolist()
    then = a.then(b, at=n).values(60)
    assert then[:n].tolist() == x[:n].tolist()
    assert then[n:].tolist() == y[: 60 - n].tolist()
    warm = a.warmup(n, start=c).values(60)
    assert warm[n:].tolist() == x[: 60 - n].tolist()
    if n:
        assert warm[0] == c
        close(warm[:n], c + (x[0] - c) * np.arange(n) / n)


def test_the_names_of_methods_stay_methods() -> None:
    table, pieces = fs.Table([1.0, 2.0]), fs.Piecewise([1], [1.0, 2.0])
    assert table.values(3).tolist() == pieces.values(3).tolist() == [1.0, 2.0, 2.0]
    wsd = fs.WSD(1.0, 10, warmup=2, decay=4)
    assert wsd.warmup(2, start=1.0) == fs.Warmup(wsd, 2, 1.0)
    assert wsd.replace(warmup=3) == fs.WSD(1.0, 10, 3, 4)
    assert fs.OneCycle(1.0, 10).warmup(2)(2) == pytest.approx(0.04)
    assert fs.OneCycle(1.0, 10).to_dict()["warmup"] == 0.3


def test_sum_of_a_list_and_readable_reprs() -> None:
    a, b = fs.Constant(1.0), fs.Constant(2.0)
    assert sum([a, b])(0) == 3.0
    assert repr(2 * (a + b)) == "2.0 * (Constant(value=1.0) + Constant(value=2.0))"
    assert repr(a.warmup(100)) == "Constant(value=1.0).warmup(steps=100, start=0.0)"
    assert repr((a * b).clip(0, 1)) == (
        "(Constant(value=1.0) * Constant(value=2.0)).clip(low=0.0, high=1.0)"
    )


def test_tables_do_not_change() -> None:
    given = np.array([1.0, 2.0])
    s = fs.Table(given)
    given[0] = 5.0
    s.values(2)[0] = 5.0
    assert s(0) == 1.0
    with pytest.raises(AttributeError):
        s.values = given


def test_functions_are_not_data() -> None:
    s = fs.Function(cube)
    for schedule in (s, 2 * s, s.warmup(3)):
        with pytest.raises(FastschedError, match=r"TOML.*Table\(schedule.values\(steps\)\)"):
            schedule.to_dict()
        with pytest.raises(FastschedError, match="TOML"):
            schedule.digest()
    assert fs.Table(s.values(3)).to_dict() == {"type": "Table", "values": [0.0, 1.0, 8.0]}
