"""Schedules from and to PyTorch, and the messages of missing libraries."""

from __future__ import annotations

import copy
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import close, stepped

import fastsched as fs
from fastsched import interop
from fastsched.errors import FastschedError
from fastsched.schedules import (
    Cosine,
    OneCycle,
    Schedule,
    StepDecay,
    Table,
)

SCHEDULE = 2.0 * Cosine(0.3, steps=8).warmup(3)


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


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
        warnings.filterwarnings("ignore", "the 2 parameter groups differ in lr", RuntimeWarning)
        warnings.filterwarnings("ignore", "the scheduler also moves momentum", RuntimeWarning)
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
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    stepped(scheduler, 4)
    assert interop.from_torch(scheduler, 2) == Table([0.125, 0.0625])


def test_from_torch_copies_no_parameters_or_state(torch: Any) -> None:
    optimizer = an_optimizer(torch)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    def refuse(self: Any, memo: Any) -> Any:
        raise AssertionError("a tensor was copied")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "__deepcopy__", refuse)
        with pytest.warns(RuntimeWarning, match="2 parameter groups differ in lr: only the first"):
            assert interop.from_torch(scheduler, 2) == Table([1.0, 0.5])


CYCLES: dict[str, Callable[[Any, Any], Any]] = {
    "OneCycleLR": lambda L, o: L.OneCycleLR(o, 0.2, 40),
    "CyclicLR": lambda L, o: L.CyclicLR(o, 0.01, 0.2, 7, base_momentum=0.5, max_momentum=0.9),
}
FORMS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.8, "nesterov": False},
    "Nesterov": {"momentum": 0.8, "nesterov": True},
    "Adam": {"betas": (0.7, 0.99)},
}
"""Arguments of an optimizer of PyTorch whose momentum a scheduler moves."""


def a_cycle(torch: Any, form: str, cycle: str, start: float = 1.0) -> tuple[Any, Any, Any]:
    """Return a parameter, its optimizer and a scheduler."""
    theta = torch.tensor([start], dtype=torch.float64, requires_grad=True)
    kind = torch.optim.Adam if form == "Adam" else torch.optim.SGD
    optimizer = kind([theta], lr=0.1, **FORMS[form])
    return theta, optimizer, CYCLES[cycle](torch.optim.lr_scheduler, optimizer)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cycle", CYCLES)
def test_from_torch_samples_momentum_and_betas(torch: Any, form: str, cycle: str) -> None:
    """A study with all that the scheduler moves is PyTorch's run, step by step."""
    theta, optimizer, scheduler = a_cycle(torch, form, cycle)
    tables = interop.from_torch(scheduler, 40, of="all")
    moved = "beta1" if form == "Adam" else "momentum"
    assert sorted(tables) == sorted(["lr", moved])
    losses, seen = [0.5], []
    for t in range(40):
        group = optimizer.param_groups[0]
        seen.append((group["lr"], group["betas"][0] if form == "Adam" else group["momentum"]))
        theta.grad = theta.detach().clone()
        optimizer.step()
        losses.append(theta.item() ** 2 / 2)
        if t < 39:
            scheduler.step()
    rates, momenta = np.transpose(seen)
    close(tables["lr"].values(40), rates, atol=0)
    close(tables[moved].values(40), momenta, atol=0)
    ours: fs.Optimizer
    if form == "Adam":
        ours = fs.Adam(beta2=0.99, **tables)
    else:
        ours = fs.SGD(nesterov=form == "Nesterov", **tables)
    landscape = fs.Quadratic([1.0], noise=0.0, start=1.0)
    study = fs.Study(landscape, ours, 40, 1, record=np.arange(41), precision="double")
    np.testing.assert_allclose(fs.run(study, progress=False)["loss"], losses, rtol=1e-9)
    if form != "Adam":
        np.testing.assert_allclose(fs.exact(study)["loss"], losses, rtol=1e-9)


@pytest.mark.parametrize("cycle", CYCLES)
def test_exact_loss_with_sampled_momentum_is_a_hand_recursion(torch: Any, cycle: str) -> None:
    """E x^2 of the heavy ball with noise, by the moments of (x, v)."""
    _, optimizer, scheduler = a_cycle(torch, "SGD", cycle)
    tables = interop.from_torch(scheduler, 40, of="all")
    second = np.array([[1.0, 0.0], [0.0, 0.0]])
    for t in range(40):
        lr, mu = (optimizer.param_groups[0][name] for name in ("lr", "momentum"))
        step = np.array([[1 - lr, -lr * mu], [1.0, mu]])
        noise = np.array([-lr, 1.0])
        second = step @ second @ step.T + np.outer(noise, noise)
        optimizer.step()
        if t < 39:
            scheduler.step()
    study = fs.Study(fs.Quadratic([1.0]), fs.SGD(**tables), 40, 1, record=[40])
    assert fs.exact(study)["loss"].item() == pytest.approx(second[0, 0] / 2, rel=1e-12)
    frozen = study.replace(optimizer=fs.SGD(tables["lr"], momentum=0.8))
    assert abs(fs.exact(frozen)["loss"].item() / second[0, 0] * 2 - 1) > 0.02


@pytest.mark.parametrize(("form", "moved"), [("SGD", "momentum"), ("Adam", "beta1")])
def test_from_torch_names_what_it_leaves_out(torch: Any, form: str, moved: str) -> None:
    _, _, scheduler = a_cycle(torch, form, "OneCycleLR")
    says = f'the scheduler also moves {moved}: sample it with of="{moved}" or of="all"'
    with pytest.warns(RuntimeWarning, match=says) as caught:
        rates = interop.from_torch(scheduler, 40)
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(RuntimeWarning, match="also moves lr"):
        momenta = interop.from_torch(scheduler, 40, of=moved)  # type: ignore[call-overload]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert interop.from_torch(scheduler, 40, of="all") == {"lr": rates, moved: momenta}


def test_from_torch_samples_weight_decay_and_names_other_numbers(torch: Any) -> None:
    class Both(torch.optim.lr_scheduler.ExponentialLR):  # type: ignore[misc, name-defined]
        def step(self, epoch: int | None = None) -> None:
            super().step(epoch)
            for group in self.optimizer.param_groups:
                group["weight_decay"] = 0.5 * group["lr"]
                group["eps"] = 1e-8 * group["lr"]

    scheduler = Both(torch.optim.AdamW([torch.zeros(1)], lr=1.0, weight_decay=0.5), 0.5)
    with pytest.warns(RuntimeWarning, match="also moves eps, which cannot be sampled") as caught:
        tables = interop.from_torch(scheduler, 3, of="all")
    assert len(caught) == 1
    assert tables == {"lr": Table([1.0, 0.5, 0.25]), "weight_decay": Table([0.5, 0.25, 0.125])}
    fs.Study(fs.Quadratic([1.0]), fs.AdamW(**tables), 3, 1)


def test_from_torch_of_what_does_not_move(torch: Any) -> None:
    scheduler = torch.optim.lr_scheduler.StepLR(
        torch.optim.Adam([torch.zeros(1)], lr=torch.tensor(0.5), betas=(0.8, 0.9)), 2
    )
    with pytest.warns(RuntimeWarning, match="also moves lr"):
        assert interop.from_torch(scheduler, 3, of="beta2") == Table([0.9] * 3)
    assert list(interop.from_torch(scheduler, 3, of="all")) == ["lr"]


@pytest.mark.parametrize(
    ("kind", "of", "has"),
    [
        ("Adam", "momentum", "the optimizer Adam, which has lr, beta1, beta2, weight_decay"),
        ("SGD", "beta1", "the optimizer SGD, which has lr, momentum, weight_decay"),
        ("SGD", "eps", "one of 'lr', 'momentum', 'beta1', 'beta2', 'weight_decay', 'all'"),
        ("SGD", None, "of = None"),
    ],
)
def test_from_torch_rejects_what_the_optimizer_lacks(
    torch: Any, kind: str, of: Any, has: str
) -> None:
    optimizer = getattr(torch.optim, kind)([torch.zeros(1)], lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    with pytest.raises(FastschedError, match=has):
        interop.from_torch(scheduler, 5, of=of)


@pytest.mark.parametrize("hold", ["lock", "generator", "file"])
def test_from_torch_of_a_scheduler_that_cannot_be_copied(
    torch: Any, hold: str, tmp_path: Path
) -> None:
    scheduler = torch.optim.lr_scheduler.StepLR(torch.optim.SGD([torch.zeros(1)], lr=0.1), 3)
    with (tmp_path / "log").open("w") as file:
        held = {"lock": threading.Lock(), "generator": (t for t in range(9)), "file": file}
        scheduler.held = held[hold]
        with pytest.raises(FastschedError, match=r"scheduler = .* cannot be copied \(TypeError: "):
            interop.from_torch(scheduler, 5)


def test_from_torch_of_a_function_that_fails(torch: Any) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: [1.0, 0.5, 0.2][t])
    assert interop.from_torch(scheduler, 3) == Table([1.0, 0.5, 0.2])
    with pytest.raises(FastschedError, match=r"ends after 3 steps \(IndexError: list index"):
        interop.from_torch(scheduler, 4)


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
