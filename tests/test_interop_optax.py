"""Schedules from and to Optax."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from helpers import close

from fastsched import interop
from fastsched.errors import FastschedError
from fastsched.schedules import Constant, Cosine, Function, Linear, Table

SCHEDULE = 2.0 * Cosine(0.3, steps=8).warmup(3)


@pytest.fixture
def jax() -> Any:
    pytest.importorskip("optax")
    return pytest.importorskip("jax")


def test_from_optax(jax: Any) -> None:
    import optax

    cosine = interop.from_optax(optax.cosine_decay_schedule(1.0, 10), 13)
    assert isinstance(cosine, Table)
    close(cosine.values(13), Cosine(1.0, 10).values(13), atol=1e-6)
    assert interop.from_optax(optax.constant_schedule(0.5), 3) == Table([0.5] * 3)
    joined = optax.join_schedules(
        [optax.linear_schedule(0.0, 1.0, 3), optax.cosine_decay_schedule(1.0, 10)], [3]
    )
    close(
        interop.from_optax(joined, 15).values(15), Cosine(1.0, 10).warmup(3).values(15), atol=1e-6
    )


def test_from_optax_takes_functions_that_branch(jax: Any) -> None:
    table = interop.from_optax(lambda t: 1.0 if t < 2 else 0.5, 4)
    assert table == Table([1.0, 1.0, 0.5, 0.5])
    assert interop.from_optax(lambda t: math.sqrt(t), 5)(4) == 2.0


UNTRACEABLE: dict[str, Callable[[Any], Any]] = {
    "math": lambda t: math.cos(t),
    "float": lambda t: float(t) / 2,
    "NumPy": lambda t: np.interp(t, [0, 4], [1.0, 0.0]),
    "branch": lambda t: 1.0 if t < 2 else 0.5,
    "list": lambda t: [0.1, 0.2, 0.3, 0.4, 0.5][t],
    "table": lambda t: {0: 1.0, 2: 0.5}.get(t, 0.25),
    "method": lambda t: t.bit_length() / 4,
    "format": lambda t: float(f"{t:d}.5"),
    "library": lambda t: float(Fraction(1, t + 1)),
}
"""Schedules that only a Python integer suits."""


@pytest.mark.parametrize("name", UNTRACEABLE)
def test_from_optax_of_functions_that_jax_cannot_trace(jax: Any, name: str) -> None:
    f = UNTRACEABLE[name]
    assert interop.from_optax(f, 5) == Table([float(f(t)) for t in range(5)])


@pytest.mark.parametrize(
    ("f", "cause"),
    [
        (lambda t: [0.1, 0.2][t], r"schedule\(2\) raised IndexError: list index out of range"),
        (lambda t: 1 / (t - 1.0) if t == 1 else 1.0, r"schedule\(1\) raised ZeroDivisionError"),
        (lambda t: "fast" if t > 1 else 0.1, r"schedule\(2\) raised ValueError: .*'fast'"),
        (lambda t: {"lr": 0.1}, r"schedule\(0\) raised TypeError"),
        (lambda: 0.1, r"schedule\(0\) raised TypeError: "),
    ],
)
def test_from_optax_names_the_cause(jax: Any, f: Callable[..., Any], cause: str) -> None:
    with pytest.raises(FastschedError, match=cause):
        interop.from_optax(f, 5)


def test_from_optax_takes_low_precision(jax: Any) -> None:
    table = interop.from_optax(lambda t: jax.numpy.asarray(1 / (1 + t), jax.numpy.bfloat16), 2)
    assert table == Table([1.0, 0.5])


def test_from_optax_rejects(jax: Any) -> None:
    with pytest.raises(FastschedError, match=r"schedule = 0.1"):
        interop.from_optax(0.1, 5)  # type: ignore[arg-type]
    with pytest.raises(FastschedError, match="steps = 0"):
        interop.from_optax(lambda t: t, 0)
    with pytest.raises(FastschedError, match="finite"):
        interop.from_optax(lambda t: math.nan, 3)
    with pytest.raises(FastschedError, match="one-dimensional"):
        interop.from_optax(lambda t: jax.numpy.ones(2), 3)
    with pytest.raises(FastschedError, match="one-dimensional"):
        interop.from_optax(lambda t: [0.1] * (t + 1), 3)


@pytest.mark.parametrize("steps", [None, 20])
def test_to_optax_under_transformations(jax: Any, steps: int | None) -> None:
    f = interop.to_optax(SCHEDULE, steps)
    expected = SCHEDULE.values(20)
    grid = np.arange(20).reshape(4, 5)
    close(f(5), expected[5], 1e-7)
    close(jax.jit(f)(5), expected[5], 1e-7)
    close(f(jax.numpy.asarray(grid)), expected.reshape(4, 5), 1e-7)
    close(jax.vmap(jax.vmap(f))(grid), expected.reshape(4, 5), 1e-7)
    close(jax.jit(jax.vmap(f))(np.arange(20)), expected, 1e-7)
    _, scanned = jax.lax.scan(lambda count, _: (count + 1, f(count)), 0, None, length=20)
    close(scanned, expected, 1e-7)
    assert f(5).dtype == np.float32
    close(f(1000), 0.0, 1e-7)


@pytest.mark.parametrize("steps", [None, 20])
def test_to_optax_in_double_precision(jax: Any, steps: int | None) -> None:
    with jax.enable_x64(True):
        f = jax.jit(interop.to_optax(SCHEDULE, steps))
        assert [float(f(t)) for t in range(20)] == SCHEDULE.values(20).tolist()


@pytest.mark.parametrize("steps", [None, 20])
def test_to_optax_drives_an_optimizer(jax: Any, steps: int | None) -> None:
    import optax

    optimizer = optax.sgd(interop.to_optax(SCHEDULE, steps))
    theta = jax.numpy.zeros(())
    state = optimizer.init(theta)

    @jax.jit
    def update(theta: Any, state: Any) -> Any:
        updates, state = optimizer.update(jax.numpy.ones(()), state)
        return optax.apply_updates(theta, updates), state

    for _ in range(10):
        theta, state = update(theta, state)
    close(theta, -SCHEDULE.values(10).sum(), 1e-5)


@pytest.mark.parametrize("steps", [None, 20])
def test_to_optax_inside_join_schedules(jax: Any, steps: int | None) -> None:
    """The second schedule is evaluated before its start, at negative counts."""
    import optax

    f = interop.to_optax(SCHEDULE, steps)
    joined = optax.join_schedules([optax.constant_schedule(0.25), f, f], [4, 12])
    expected = Constant(0.25).then(SCHEDULE, at=4).then(SCHEDULE, at=12).values(20)
    close([joined(t) for t in range(20)], expected, 1e-7)
    jitted = jax.jit(joined)
    close([jitted(t) for t in range(20)], expected, 1e-7)
    close(jax.jit(jax.vmap(joined))(np.arange(20)), expected, 1e-7)
    assert f(-3) == f(0)
    close(interop.from_optax(joined, 20).values(20), expected, 1e-7)


def test_to_optax_and_back(jax: Any) -> None:
    for steps in (None, 12):
        table = interop.from_optax(interop.to_optax(Linear(1.0, 8), steps), 12)
        assert table == Table(Linear(1.0, 8).values(12))
    assert interop.from_optax(interop.to_optax(Function(lambda t: t % 2)), 3)(1) == 1.0


def test_to_optax_rejects(jax: Any) -> None:
    with pytest.raises(FastschedError, match=r"schedule = 0.1: schedule must be a Schedule"):
        interop.to_optax(0.1)  # type: ignore[arg-type]
    with pytest.raises(FastschedError, match="steps = 0"):
        interop.to_optax(SCHEDULE, 0)
