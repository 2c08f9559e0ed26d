"""Schedules from and to PyTorch and Optax."""

from __future__ import annotations

import copy
import math
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import close, stepped

from fastsched import interop
from fastsched.errors import FastschedError
from fastsched.schedules import Cosine, Function, Linear, OneCycle, Schedule, StepDecay, Table

SCHEDULE = 2.0 * Cosine(0.3, steps=8).warmup(3)


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture
def jax() -> Any:
    pytest.importorskip("optax")
    return pytest.importorskip("jax")


def an_optimizer(torch: Any, lr: Any = 1.0) -> Any:
    """SGD with momentum, two groups of unlike rates, after one update."""
    a, b = (torch.ones(3, requires_grad=True) for _ in range(2))
    groups = [{"params": [a]}, {"params": [b], "lr": 0.25}]
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=0.9)
    (a.sum() + b.sum()).backward()
    optimizer.step()
    return optimizer


TORCH: dict[str, tuple[Callable[[Any, Any], Any], Schedule | None]] = {
    "LambdaLR": (lambda L, o: L.LambdaLR(o, lambda t: 0.5**t), None),
    "MultiplicativeLR": (lambda L, o: L.MultiplicativeLR(o, lambda t: 0.5), None),
    "StepLR": (lambda L, o: L.StepLR(o, 3), StepDecay(1.0, 3)),
    "CosineAnnealingLR": (lambda L, o: L.CosineAnnealingLR(o, 20), Cosine(1.0, 20)),
    "CosineAnnealingWarmRestarts": (lambda L, o: L.CosineAnnealingWarmRestarts(o, 3, 2), None),
    "OneCycleLR": (lambda L, o: L.OneCycleLR(o, 2.0, 12), OneCycle(2.0, 12)),
    "CyclicLR": (lambda L, o: L.CyclicLR(o, 0.1, 1.0, 3, scale_fn=lambda c: 0.5**c), None),
    "SequentialLR": (
        lambda L, o: L.SequentialLR(
            o, [L.LinearLR(o, 0.25, 1.0, 4), L.CosineAnnealingLR(o, 8)], milestones=[4]
        ),
        Cosine(1.0, 8).warmup(4, start=0.25),
    ),
    "ChainedScheduler": (
        lambda L, o: L.ChainedScheduler([L.ConstantLR(o, 0.5, 3), L.ExponentialLR(o, 0.9)]),
        None,
    ),
}


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("tensor", [False, True])
def test_from_torch_samples_and_changes_nothing(torch: Any, name: str, tensor: bool) -> None:
    make, ours = TORCH[name]
    lr = torch.tensor(1.0, dtype=torch.float64) if tensor else 1.0
    optimizer = an_optimizer(torch, lr)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    before = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = interop.from_torch(scheduler, 12)
        again = interop.from_torch(scheduler, 12)
    assert isinstance(table, Table)
    assert table == again
    assert repr((optimizer.state_dict(), scheduler.state_dict())) == repr(before)
    assert all(
        p is q
        for p, q in zip(
            parameters, [p for g in optimizer.param_groups for p in g["params"]], strict=True
        )
    )
    close(table.values(12), stepped(scheduler, 12), atol=1e-15)
    if ours is not None:
        close(table.values(12), ours.values(12), atol=1e-12)


def test_from_torch_goes_on_from_the_present(torch: Any) -> None:
    scheduler = torch.optim.lr_scheduler.ExponentialLR(an_optimizer(torch), 0.5)
    stepped(scheduler, 4)
    assert interop.from_torch(scheduler, 2) == Table([0.125, 0.0625])


def test_from_torch_copies_no_parameters_or_state(torch: Any) -> None:
    optimizer = an_optimizer(torch)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    def refuse(self: Any, memo: Any) -> Any:
        raise AssertionError("a tensor was copied")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "__deepcopy__", refuse)
        assert interop.from_torch(scheduler, 2) == Table([1.0, 0.5])


def test_from_torch_rejects(torch: Any) -> None:
    schedulers, optimizer = torch.optim.lr_scheduler, an_optimizer(torch)
    with pytest.raises(FastschedError, match="other than ReduceLROnPlateau"):
        interop.from_torch(schedulers.ReduceLROnPlateau(optimizer), 5)
    with pytest.raises(FastschedError, match="PyTorch LRScheduler"):
        interop.from_torch(optimizer, 5)
    with pytest.raises(FastschedError, match="steps = 0"):
        interop.from_torch(schedulers.StepLR(optimizer, 3), 0)
    with pytest.raises(FastschedError, match=r"steps = 20: the scheduler ends after \d+ steps"):
        interop.from_torch(schedulers.OneCycleLR(optimizer, 1.0, 12), 20)


@pytest.mark.parametrize("lr", [0.0, 0.1])
def test_to_torch_reproduces_the_values(torch: Any, lr: float) -> None:
    optimizer = an_optimizer(torch, lr)
    scheduler = interop.to_torch(SCHEDULE, optimizer)
    for value in SCHEDULE.values(20):
        assert [group["lr"] for group in optimizer.param_groups] == [value, value]
        optimizer.step()
        scheduler.step()


def test_to_torch_and_back(torch: Any) -> None:
    scheduler = interop.to_torch(SCHEDULE, an_optimizer(torch))
    assert interop.from_torch(scheduler, 20) == Table(SCHEDULE.values(20))


def test_to_torch_resumes_from_its_state(torch: Any) -> None:
    optimizer = an_optimizer(torch)
    scheduler = interop.to_torch(SCHEDULE, optimizer)
    stepped(scheduler, 6)
    saved, saved_optimizer = scheduler.state_dict(), optimizer.state_dict()
    other = an_optimizer(torch)
    resumed = interop.to_torch(SCHEDULE, other)
    other.load_state_dict(saved_optimizer)
    resumed.load_state_dict(saved)
    assert stepped(resumed, 5) == SCHEDULE.values(10)[5:].tolist()


def test_to_torch_rejects(torch: Any) -> None:
    with pytest.raises(FastschedError, match=r"schedule = 0.1: schedule must be a Schedule"):
        interop.to_torch(0.1, an_optimizer(torch))  # type: ignore[arg-type]
    with pytest.raises(FastschedError, match=r"optimizer = 'SGD'"):
        interop.to_torch(SCHEDULE, "SGD")  # type: ignore[arg-type]


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


def test_from_optax_rejects(jax: Any) -> None:
    with pytest.raises(FastschedError, match=r"schedule = 0.1"):
        interop.from_optax(0.1, 5)  # type: ignore[arg-type]
    with pytest.raises(FastschedError, match="steps = 0"):
        interop.from_optax(lambda t: t, 0)
    with pytest.raises(FastschedError, match="finite"):
        interop.from_optax(lambda t: math.nan, 3)
    with pytest.raises(FastschedError, match="one-dimensional"):
        interop.from_optax(lambda t: jax.numpy.ones(2), 3)


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


@pytest.mark.parametrize(
    ("missing", "call"),
    [
        ("torch", lambda: interop.from_torch(None, 5)),  # type: ignore[arg-type]
        ("torch", lambda: interop.to_torch(SCHEDULE, None)),  # type: ignore[arg-type]
        ("jax", lambda: interop.from_optax(lambda t: t, 5)),
        ("jax", lambda: interop.to_optax(SCHEDULE)),
    ],
)
def test_a_missing_library_is_named(
    monkeypatch: pytest.MonkeyPatch, missing: str, call: Callable[[], object]
) -> None:
    for name in [missing, *(n for n in sys.modules if n.startswith(missing + "."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(FastschedError, match=f"{missing} is not installed: pip install {missing}"):
        call()


def test_importing_interop_imports_neither() -> None:
    import subprocess

    code = "import sys, fastsched.interop; print({'torch', 'jax', 'optax'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
