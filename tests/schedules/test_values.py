"""Schedules against closed forms and published values."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from helpers import close
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsched import schedules as fs

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


def test_one_cycle_ends_relative_to_its_start() -> None:
    assert fs.OneCycle(2.0, 10)(9) == pytest.approx(2.0 * 1e-4 / 25, rel=1e-12)
    assert fs.OneCycle(2.0, 10, start_factor=0.5)(9) == pytest.approx(1e-4, rel=1e-12)
    assert fs.OneCycle(2.0, 10, final_factor=0.5)(9) == 1.0


def test_one_cycle_whose_peak_is_the_first_step() -> None:
    # PyTorch divides by zero here.
    s = fs.OneCycle(1.0, 10, warmup=0.1)
    assert s(0) == 1.0
    assert np.all(np.diff(s.values(10)) < 0)
