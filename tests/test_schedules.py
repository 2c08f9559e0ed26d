"""Schedules against closed forms, published values and other libraries."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import tomllib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsched import schedules as fs
from fastsched.errors import FastschedError
from fastsched.spec import Spec, from_dict


def cube(t: int) -> float:
    return float(t**3)


EXAMPLES: dict[str, fs.Schedule] = {
    "Constant": fs.Constant(0.1),
    "StepDecay": fs.StepDecay(0.1, every=3, factor=0.5),
    "MultiStep": fs.MultiStep(0.1, [2, 5, 5], factor=0.3),
    "Exponential": fs.Exponential(0.1, gamma=0.9),
    "Polynomial": fs.Polynomial(0.1, steps=7, power=2.0, final=0.01),
    "Linear": fs.Linear(0.1, steps=7, final=-0.2),
    "InverseTime": fs.InverseTime(0.1, beta=3.0),
    "InverseSqrt": fs.InverseSqrt(0.1, beta=3.0),
    "PowerLaw": fs.PowerLaw(0.1, exponent=0.75, timescale=10.0),
    "Cosine": fs.Cosine(0.1, steps=7, final=0.01),
    "Triangular": fs.Triangular(0.1, 0.3, half_cycle=3, mode="exp_range", gamma=0.9),
    "WarmRestarts": fs.WarmRestarts(0.1, period=2.5, multiplier=1.5, final=0.01, decay=0.9),
    "OneCycle": fs.OneCycle(0.1, steps=20, warmup=0.4, start_factor=0.1, shape="linear"),
    "WSD": fs.WSD(0.1, steps=20, warmup=3, decay=8, shape="sqrt", final=0.01),
    "Piecewise": fs.Piecewise([2, 5], [0.1, 0.3, 0.2]),
    "Table": fs.Table([0.1, 0.3, 0.2]),
    "Function": fs.Function(cube),
    "Warmup": (fs.Cosine(0.1, 7) + 0.5).warmup(3, start=0.01),
    "Then": (2 * fs.Linear(0.1, 7)).then(fs.Constant(0.1) * fs.Linear(0.2, 4), at=5),
    "Product": 0.5 * (fs.Linear(0.1, 7) + (fs.Constant(0.1) + fs.Cosine(0.1, 3))),
    "Sum": 0.5 + (-1.5 * fs.Cosine(0.1, 7) * (fs.Linear(0.1, 7) * fs.Constant(2.0))),
    "Clip": (fs.Linear(0.1, 7) * 3).clip(0.05, 0.2),
}
STORABLE = {name: s for name, s in EXAMPLES.items() if name != "Function"}
NAMES = {**vars(fs), "cube": cube}

every_example = pytest.mark.parametrize("name", EXAMPLES)
every_storable = pytest.mark.parametrize("name", STORABLE)


def close(actual: Any, expected: Any, atol: float = 1e-12) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


# Every class ---------------------------------------------------------------------------------


def test_every_schedule_class_has_an_example() -> None:
    concrete = {
        name
        for name, cls in Spec.registry.items()
        if issubclass(cls, fs.Schedule)
        and cls.__module__.startswith(fs.__name__)
        and "__dataclass_params__" in vars(cls)
    }
    assert concrete == set(EXAMPLES)
    assert all(type(s).__name__ == name for name, s in EXAMPLES.items())


@every_example
def test_docstring_has_formula_source_and_example(name: str) -> None:
    cls = type(EXAMPLES[name])
    text = cls.__doc__ or ""
    for part in (".. math::", "Parameters\n", "Raises\n", "Notes\n", "Examples\n", ">>> "):
        assert part in text, part
    undocumented = [f.name for f in dataclasses.fields(cls) if f"{f.name}" not in text]
    assert not undocumented


@every_example
def test_repr_evaluates_to_an_equal_schedule(name: str) -> None:
    s = EXAMPLES[name]
    again = eval(repr(s), dict(NAMES))
    assert again == s
    assert hash(again) == hash(s)
    assert repr(again) == repr(s)


@every_storable
def test_toml_round_trip(name: str) -> None:
    s = STORABLE[name]
    text = tomli_w.dumps({"lr": s.to_dict()})
    again = from_dict(tomllib.loads(text)["lr"], fs.Schedule, "lr")  # type: ignore[type-abstract]
    assert again == s
    assert again.digest() == s.digest()
    assert again.values(30).tolist() == s.values(30).tolist()


@every_example
def test_copies_are_equal(name: str) -> None:
    s = EXAMPLES[name]
    assert copy.deepcopy(s) == s
    assert pickle.loads(pickle.dumps(s)) == s
    assert s.replace() == s


def test_different_schedules_are_different() -> None:
    assert len(set(EXAMPLES.values())) == len(EXAMPLES)
    for s in EXAMPLES.values():
        assert sum(other == s for other in EXAMPLES.values()) == 1
    assert fs.Linear(1.0, 10) != fs.Linear(1.0, 11)
    assert fs.Table([1.0, 2.0]) != fs.Table([1.0, 3.0])
    assert fs.WSD(1.0, 10, warmup=2) != fs.WSD(1.0, 10, warmup=3)
    assert fs.Linear(1, 1e1) == fs.Linear(1.0, 10)


@every_example
def test_scalars_arrays_and_values_agree(name: str) -> None:
    s = EXAMPLES[name]
    one_by_one = [s(t) for t in range(24)]
    assert all(type(value) is float for value in one_by_one)
    values = s.values(24)
    assert values.dtype == np.float64
    assert values.tolist() == one_by_one
    grid = s(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    assert grid.shape == (2, 3, 4)
    assert grid.ravel().tolist() == one_by_one
    assert s([5, 1]).tolist() == [one_by_one[5], one_by_one[1]]
    assert s(np.int32(5)) == one_by_one[5]
    assert s.values(0).shape == s(np.array([], dtype=int)).shape == (0,)


@every_example
@pytest.mark.parametrize(
    "t", [-1, np.array([3, -1]), 1.0, np.array([0.0]), True, "1", None, [[1], 2]]
)
def test_steps_are_non_negative_integers(name: str, t: Any) -> None:
    with pytest.raises(FastschedError, match="t must be an integer or an array of integers"):
        EXAMPLES[name](t)


@every_example
def test_composes_with_everything(name: str) -> None:
    s = EXAMPLES[name]
    values = s.values(20)
    close(s.warmup(4).values(24)[4:], values)
    close((2 * s).values(20), 2 * values)
    close((s + s).values(20), 2 * values)
    assert eval(repr(2 * s.warmup(4)), dict(NAMES)) == 2 * s.warmup(4)


@pytest.mark.parametrize(
    ("s", "end"),
    [
        (fs.MultiStep(1.0, [3, 10]), 10),
        (fs.Polynomial(1.0, 10, power=3.0, final=0.2), 10),
        (fs.Linear(1.0, 10, final=0.2), 10),
        (fs.Cosine(1.0, 10, final=0.2), 10),
        (fs.OneCycle(1.0, 11), 10),
        (fs.WSD(1.0, 10, warmup=2, decay=4, final=0.2), 10),
        (fs.WSD(1.0, 10, warmup=2, decay=4, shape="exponential", final=0.2), 10),
        (fs.WSD(1.0, 10, warmup=2), 10),
        (fs.Piecewise([10], [1.0, 0.2]), 10),
        (fs.Table(np.linspace(1.0, 0.2, 11)), 10),
        (fs.Linear(1.0, 6).warmup(4), 10),
        (fs.Linear(1.0, 6).then(fs.Linear(3.0, 5), at=5), 10),
    ],
    ids=repr,
)
def test_holds_the_final_value(s: fs.Schedule, end: int) -> None:
    after = s(np.array([end, end + 1, end + 2, 1000 * end, 10**15]))
    assert np.all(after == after[0])


# Values --------------------------------------------------------------------------------------

COSINE = "1 .9755 .9045 .7939 .6545 .5000 .3455 .2061 .0955 .0245 0"
GOLDEN: list[tuple[fs.Schedule, str]] = [
    (fs.Cosine(1.0, 10), COSINE + " 0 0"),
    (
        fs.WarmRestarts(1.0, 4, 2),
        "1 .8536 .5000 .1464 1 .9619 .8536 .6913 .5000 .3087 .1464 .0381 1",
    ),
    (
        fs.MultiStep(1.0, [5, 8]),
        "1 1 1 1 1 .1000 .1000 .1000 .0100 .0100 .0100 .0100 .0100",
    ),
    (
        fs.Piecewise([5, 8], [1.0, 0.1, 0.01]),
        "1 1 1 1 1 .1000 .1000 .1000 .0100 .0100 .0100 .0100 .0100",
    ),
    (
        fs.OneCycle(1.0, 10),
        ".0400 .5200 1 .9505 .8117 .6113 .3887 .1883 .0495 0 0",
    ),
    (
        fs.Cosine(1.0, 7).warmup(3),
        "0 .3333 .6667 1 .9505 .8117 .6113 .3887 .1883 .0495 0 0 0",
    ),
    (
        fs.WSD(1.0, 10, warmup=3, decay=7, shape="cosine"),
        "0 .3333 .6667 1 .9505 .8117 .6113 .3887 .1883 .0495 0 0 0",
    ),
    (fs.Cosine(1.0, 10).warmup(3), "0 .3333 .6667 " + COSINE),
    (
        fs.Polynomial(1.0, 10, power=2),
        "1 .8100 .6400 .4900 .3600 .2500 .1600 .0900 .0400 .0100 0 0 0",
    ),
    (
        fs.Triangular(0.1, 1.0, 4),
        ".1000 .3250 .5500 .7750 1 .7750 .5500 .3250 .1000 .3250 .5500 .7750 1",
    ),
    (
        fs.Triangular(0.1, 1.0, 2, "triangular2"),
        ".1000 .5500 1 .5500 .1000 .3250 .5500 .3250 .1000 .2125 .3250 .2125 .1000",
    ),
    (
        fs.Triangular(0.1, 1.0, 2, "exp_range", 0.9),
        ".1000 .5050 .8290 .4281 .1000 .3657 .5783 .3152 .1000 .2743 .4138 .2412 .1000",
    ),
    (
        fs.InverseTime(2.0, 2.0),
        "1 .6667 .5000 .4000 .3333 .2857 .2500 .2222 .2000 .1818 .1667 .1538 .1429",
    ),
    (
        fs.InverseSqrt(math.sqrt(3.0), 3.0).warmup(3),
        "0 .3333 .6667 1 .8660 .7746 .7071 .6547 .6124 .5774",
    ),
    (
        fs.WSD(1.0, 10, warmup=2, decay=4),
        "0 .5000 1 1 1 1 1 .7500 .5000 .2500 0",
    ),
]


@pytest.mark.parametrize(("s", "row"), GOLDEN, ids=[repr(s) for s, _ in GOLDEN])
def test_published_values(s: fs.Schedule, row: str) -> None:
    expected = np.array([float(x) for x in row.split()])
    close(s.values(len(expected)), expected, atol=5.0001e-5)


CLOSED_FORMS: list[tuple[fs.Schedule, Callable[[int], float]]] = [
    (fs.Constant(0.3), lambda t: 0.3),
    (fs.StepDecay(0.3, 4, 0.5), lambda t: 0.3 * 0.5 ** math.floor(t / 4)),
    (fs.MultiStep(0.3, [0, 3, 3], 0.5), lambda t: 0.15 if t < 3 else 0.0375),
    (fs.MultiStep(0.3, []), lambda t: 0.3),
    (fs.Exponential(0.3, 0.97), lambda t: 0.3 * math.exp(t * math.log(0.97))),
    (
        fs.Polynomial(0.3, 20, 1.5, 0.1),
        lambda t: 0.1 + 0.2 * (max(20 - t, 0) / 20) ** 1.5,
    ),
    (fs.Linear(0.3, 20, 0.5), lambda t: 0.3 + 0.2 * min(t, 20) / 20),
    (fs.InverseTime(0.3, 0.5), lambda t: 0.3 / (t + 0.5)),
    (fs.InverseSqrt(0.3, 0.5), lambda t: 0.3 / math.sqrt(t + 0.5)),
    (fs.PowerLaw(0.3, 0.7, 5.0), lambda t: 0.3 * (1 + t / 5) ** -0.7),
    (
        fs.Cosine(0.3, 20, 0.1),
        lambda t: 0.1 + 0.2 * (1 + math.cos(math.pi * min(t, 20) / 20)) / 2,
    ),
    (
        fs.WSD(0.3, 20, 5, 10, "cosine", 0.1),
        lambda t: (
            0.3 * t / 5
            if t < 5
            else 0.1 + 0.1 * (1 + math.cos(math.pi * min(max(t - 10, 0), 10) / 10))
        ),
    ),
    (
        fs.WSD(0.3, 20, 0, 10, "sqrt", 0.1),
        lambda t: 0.1 + 0.2 * (1 - math.sqrt(min(max(t - 10, 0), 10) / 10)),
    ),
    (
        fs.WSD(0.3, 20, 0, 10, "exponential", 0.1),
        lambda t: 0.3 * 3.0 ** -(min(max(t - 10, 0), 10) / 10),
    ),
    (
        fs.WSD(-0.3, 20, 0, 10, "exponential", -0.1),
        lambda t: -0.3 * 3.0 ** -(min(max(t - 10, 0), 10) / 10),
    ),
    (fs.Function(lambda t: np.float32(t)), lambda t: float(t)),
    (fs.Function(lambda t: np.array(t)), lambda t: float(t)),
    (
        fs.Linear(0.3, 20, 0.5).warmup(4, start=0.1),
        lambda t: 0.1 + 0.2 * t / 4 if t < 4 else 0.3 + 0.2 * min(t - 4, 20) / 20,
    ),
]


@pytest.mark.parametrize(("s", "f"), CLOSED_FORMS, ids=[repr(s) for s, _ in CLOSED_FORMS])
def test_closed_forms(s: fs.Schedule, f: Callable[[int], float]) -> None:
    close(s.values(50), [f(t) for t in range(50)])


def test_ends_are_exact() -> None:
    for cls in (fs.Cosine, fs.Linear, fs.Polynomial):
        s = cls(0.1, 7, final=0.3)
        assert (s(0), s(7)) == (0.1, 0.3)


@pytest.mark.parametrize(
    ("s", "steps", "expected", "digits"),
    [
        (fs.Constant(0.01), 100, 0.9047921471, 10),
        (fs.Linear(0.01, 100), 100, 0.9507378363, 10),
        (fs.Cosine(0.01, 100), 100, 0.9507358545, 10),
        (fs.Constant(0.01), 10_000, 4.51733e-5, 10),
        (fs.Linear(0.01, 10_000), 10_000, 0.0067233566, 10),
        (fs.Cosine(0.01, 10_000), 10_000, 0.0067219547, 10),
    ],
)
def test_decoupled_decay_shrinkage(
    s: fs.Schedule, steps: int, expected: float, digits: int
) -> None:
    close(np.prod(1 - 0.1 * s.values(steps)), expected, atol=0.6 * 10.0**-digits)


def test_inverse_time_contracts_like_a_gamma_ratio() -> None:
    a, b, h, n = 0.75, 10.0, 1.0, 1000
    log_product = np.log1p(-h * fs.InverseTime(a, b).values(n)).sum()
    expected = (
        math.lgamma(n + b - a * h) + math.lgamma(b) - math.lgamma(n + b) - math.lgamma(b - a * h)
    )
    close(log_product, expected, atol=1e-10)


@pytest.mark.parametrize(
    ("s", "gamma", "omega"),
    [
        (fs.Constant(1.0), 0.04023444, 0.24854331),
        (fs.WSD(1.0, 100, decay=20), 0.04954420, 0.22302758),
        (fs.WSD(1.0, 100, decay=50), 0.06376312, 0.20772247),
        (fs.Linear(1.0, 100), 0.09725521, 0.20360842),
        (fs.Cosine(1.0, 100), 0.09469451, 0.20911435),
        (fs.InverseSqrt(1.0), 0.23874950, 0.22531359),
    ],
    ids=repr,
)
def test_last_iterate_bound(s: fs.Schedule, gamma: float, omega: float) -> None:
    eta = s.values(100)
    tail, tail2 = np.cumsum(eta[::-1])[::-1], np.cumsum((eta**2)[::-1])[::-1]
    distance = 0.5 / tail[0]
    noise = 0.5 * tail2[0] / tail[0] + 0.5 * np.sum(eta[:-1] / tail[1:] * tail2[:-1] / tail[:-1])
    close([math.sqrt(distance / noise), 2 * math.sqrt(distance * noise)], [gamma, omega], 6e-9)


# Warm restarts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "multiplier", "restarts"),
    [
        (3, 1, [0, 3, 6, 9, 12]),
        (10, 1.1, [0, 10, 21]),  # 10 (1 + 1.1), a rounding error above 21
        (2.5, 1, [0, 5, 10, 15]),
        (1.1, 1, [0, 11, 22]),
        (5, 3, [0, 5, 20, 65, 200, 605]),
        (1, 1, [0, 1, 2, 3]),
    ],
)
def test_restarts_are_at_whole_steps(period: float, multiplier: float, restarts: list[int]) -> None:
    s = fs.WarmRestarts(1.0, period, multiplier)
    assert [t for t in range(restarts[-1] + 1) if s(t) == 1.0] == restarts


@given(
    period=st.floats(1.0, 50.0),
    multiplier=st.one_of(st.just(1.0), st.floats(1.0001, 4.0)),
    t=st.integers(0, 10**6),
)
@settings(deadline=None)
def test_cycles_follow_their_sum(period: float, multiplier: float, t: int) -> None:
    start, cycle = 0.0, 0
    if multiplier == 1.0:
        cycle = int(t / period)
        start = cycle * period
    while start + period * multiplier**cycle <= t:
        start += period * multiplier**cycle
        cycle += 1
    length = period * multiplier**cycle
    s = fs.WarmRestarts(1.0, period, multiplier, decay=0.9)
    expected = 0.9**cycle * (1 + math.cos(math.pi * (t - start) / length)) / 2
    if min(t - start, start + length - t) > 1e-6:
        close(s(t), expected, atol=1e-7)


@pytest.mark.parametrize("multiplier", [1, 2, 3, 10])
def test_far_restarts(multiplier: int) -> None:
    s = fs.WarmRestarts(1.0, 7, multiplier)
    start, length = 0, 7
    for _ in range(12):
        assert s(start) == 1.0
        assert s(start + length - 1) < 0.5
        start, length = start + length, length * multiplier


# Composition ---------------------------------------------------------------------------------

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


# Bad input -----------------------------------------------------------------------------------

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


# Other libraries -----------------------------------------------------------------------------


def torch_values(make: Callable[[Any, Any], Any], steps: int, lr: float = 1.0) -> list[float]:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr, momentum=0.9)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    values = [optimizer.param_groups[0]["lr"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(steps - 1):
            scheduler.step()
            values.append(optimizer.param_groups[0]["lr"])
    return values


TORCH: list[tuple[fs.Schedule, Callable[[Any, Any], Any], int]] = [
    (fs.StepDecay(1.0, 3), lambda L, o: L.StepLR(o, 3), 20),
    (fs.MultiStep(1.0, [3, 5, 5]), lambda L, o: L.MultiStepLR(o, [3, 5, 5]), 20),
    (fs.Exponential(1.0, 0.9), lambda L, o: L.ExponentialLR(o, 0.9), 50),
    (fs.Polynomial(1.0, 15, 2.5), lambda L, o: L.PolynomialLR(o, 15, 2.5), 20),
    (fs.Linear(0.25, 15, 0.5), lambda L, o: L.LinearLR(o, 0.25, 0.5, 15), 20),
    (fs.Cosine(1.0, 15, 0.1), lambda L, o: L.CosineAnnealingLR(o, 15, 0.1), 16),
    *(
        (
            fs.WarmRestarts(1.0, p, m, 0.1),
            lambda L, o, p=p, m=m: L.CosineAnnealingWarmRestarts(o, p, m, 0.1),
            300,
        )
        for p, m in [(1, 1), (1, 2), (4, 2), (7, 1), (5, 3)]
    ),
    *(
        (
            fs.Triangular(0.1, 1.0, h, mode, gamma),
            lambda L, o, h=h, mode=mode, gamma=gamma: L.CyclicLR(
                o, 0.1, 1.0, h, mode=mode, gamma=gamma, cycle_momentum=False
            ),
            60,
        )
        for mode in ("triangular", "triangular2", "exp_range")
        for h, gamma in [(1, 1.0), (4, 0.9), (7, 1.02)]
    ),
    *(
        (fs.OneCycle(2.0, n), lambda L, o, n=n: L.OneCycleLR(o, 2.0, n), n)
        for n in (1, 2, 3, 4, 5, 7, 11, 100, 101)
    ),
    *(
        (
            fs.OneCycle(2.0, n, pct, 0.2, 0.01, shape),
            lambda L, o, n=n, pct=pct, shape=shape: L.OneCycleLR(
                o,
                2.0,
                n,
                pct_start=pct,
                anneal_strategy=shape[:3] if shape == "cosine" else shape,
                div_factor=5.0,
                final_div_factor=20.0,
            ),
            n,
        )
        for n, pct in [(2, 1.0), (9, 0.0), (10, 1.0), (13, 0.29), (50, 0.01), (64, 0.5)]
        for shape in ("cosine", "linear")
    ),
    (
        fs.Linear(1.0, 10).warmup(4, start=0.25),
        lambda L, o: L.SequentialLR(
            o, [L.LinearLR(o, 0.25, 1.0, 4), L.LinearLR(o, 1.0, 0.0, 10)], [4]
        ),
        20,
    ),
]


@pytest.mark.parametrize(
    ("s", "make", "steps"), TORCH, ids=[f"{k}-{s!r}" for k, (s, _, _) in enumerate(TORCH)]
)
def test_equals_torch(s: fs.Schedule, make: Callable[[Any, Any], Any], steps: int) -> None:
    close(s.values(steps), torch_values(make, steps), atol=2e-14 * steps)


def test_one_cycle_ends_relative_to_its_start() -> None:
    assert fs.OneCycle(2.0, 10)(9) == pytest.approx(2.0 * 1e-4 / 25, rel=1e-12)
    assert fs.OneCycle(2.0, 10, start_factor=0.5)(9) == pytest.approx(1e-4, rel=1e-12)
    assert fs.OneCycle(2.0, 10, final_factor=0.5)(9) == 1.0


def test_one_cycle_whose_peak_is_the_first_step() -> None:
    # PyTorch divides by zero here.
    s = fs.OneCycle(1.0, 10, warmup=0.1)
    assert s(0) == 1.0
    assert np.all(np.diff(s.values(10)) < 0)


def test_equals_optax() -> None:
    optax = pytest.importorskip("optax")
    t = np.arange(40)
    pairs = [
        (fs.Constant(0.7), optax.constant_schedule(0.7)),
        (fs.Polynomial(1.0, 15, 2.5, 0.1), optax.polynomial_schedule(1.0, 0.1, 2.5, 15)),
        (fs.Linear(1.0, 15, 0.1), optax.linear_schedule(1.0, 0.1, 15)),
        (fs.Cosine(1.0, 15, 0.1), optax.cosine_decay_schedule(1.0, 15, alpha=0.1)),
        (fs.Exponential(1.0, 0.9), optax.exponential_decay(1.0, 1, 0.9)),
        (
            fs.StepDecay(1.0, 4, 0.5),
            optax.exponential_decay(1.0, 4, 0.5, staircase=True),
        ),
        (
            fs.Exponential(1.0, 0.9).clip(0.3, 1.0),
            optax.exponential_decay(1.0, 1, 0.9, end_value=0.3),
        ),
        (
            fs.Piecewise([5, 8], [1.0, 0.5, 0.05]),
            optax.piecewise_constant_schedule(1.0, {5: 0.5, 8: 0.1}),
        ),
        (
            fs.Cosine(1.0, 25).warmup(5),
            optax.warmup_cosine_decay_schedule(0.0, 1.0, warmup_steps=5, decay_steps=30),
        ),
        (
            fs.WSD(1.0, 30, 5, 25, "cosine"),
            optax.warmup_cosine_decay_schedule(0.0, 1.0, warmup_steps=5, decay_steps=30),
        ),
        (
            fs.Linear(1.0, 10).then(fs.Cosine(0.5, 9), at=7),
            optax.join_schedules(
                [optax.linear_schedule(1.0, 0.0, 10), optax.cosine_decay_schedule(0.5, 9)], [7]
            ),
        ),
    ]
    for ours, theirs in pairs:
        close(ours(t), np.broadcast_to(np.asarray(theirs(t)), t.shape), atol=1e-6)


def test_equals_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    theirs = keras.optimizers.schedules
    pairs = [
        (fs.InverseTime(2.0 * 3 / 0.5, 3 / 0.5), theirs.InverseTimeDecay(2.0, 3, 0.5)),
        (fs.Polynomial(1.0, 15, 2.0, 0.1), theirs.PolynomialDecay(1.0, 15, 0.1, 2.0)),
        (fs.Cosine(1.0, 15, 0.1), theirs.CosineDecay(1.0, 15, alpha=0.1)),
        (
            fs.Cosine(1.0, 15, 0.1).warmup(4),
            theirs.CosineDecay(0.0, 15, alpha=0.1, warmup_target=1.0, warmup_steps=4),
        ),
        (fs.WarmRestarts(1.0, 4, 2.0), theirs.CosineDecayRestarts(1.0, 4, 2.0)),
        (fs.WarmRestarts(1.0, 4, 2.0, decay=0.5), theirs.CosineDecayRestarts(1.0, 4, 2.0, 0.5)),
        (fs.StepDecay(1.0, 4, 0.5), theirs.ExponentialDecay(1.0, 4, 0.5, staircase=True)),
        (  # Keras changes a step later
            fs.Piecewise([6, 9], [1.0, 0.5, 0.05]),
            theirs.PiecewiseConstantDecay([5, 8], [1.0, 0.5, 0.05]),
        ),
    ]
    for ours, schedule in pairs:
        close(ours.values(30), [float(schedule(t)) for t in range(30)], atol=2e-6)
