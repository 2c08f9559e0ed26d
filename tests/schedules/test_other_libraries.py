"""Schedules against those of PyTorch, Optax and Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import close, stepped

from fastsched import schedules as fs

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
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    theirs = stepped(make(torch.optim.lr_scheduler, optimizer), steps)
    close(s.values(steps), theirs, atol=2e-14 * steps)


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
