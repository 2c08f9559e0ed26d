"""Schedules from and to PyTorch and Optax; both are imported only when used."""

from __future__ import annotations

import copy
import importlib
import numbers
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastsched.errors import FastschedError, choice, integer, reject
from fastsched.schedules import Schedule, Table
from fastsched.schedules.base import checked_schedule

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR, LRScheduler


_MOVABLE = ("lr", "momentum", "beta1", "beta2", "weight_decay")
"""Hyper-parameters of PyTorch's optimizers that fastsched's optimizers have as well."""


@overload
def from_torch(
    scheduler: LRScheduler,
    steps: int,
    of: Literal["lr", "momentum", "beta1", "beta2", "weight_decay"] = "lr",
) -> Table: ...
@overload
def from_torch(scheduler: LRScheduler, steps: int, of: Literal["all"]) -> dict[str, Table]: ...
def from_torch(scheduler: LRScheduler, steps: int, of: str = "lr") -> Table | dict[str, Table]:
    """Sample a hyper-parameter of a PyTorch scheduler's first parameter group.

    The scheduler runs in a copy from its present step: neither it nor its optimizer changes.
    The copy shares the model's parameters, so it is small. Functions given to the scheduler
    (`LambdaLR`) are called, not copied.

    Parameters
    ----------
    scheduler : torch.optim.lr_scheduler.LRScheduler
        Any but `ReduceLROnPlateau`, whose rates depend on the training.
    steps : int
        Number of values, at least 1; the first is the present value.
    of : {"lr", "momentum", "beta1", "beta2", "weight_decay", "all"}, default "lr"
        The hyper-parameter; `beta1` and `beta2` are Adam's `betas`. `OneCycleLR` and `CyclicLR`
        move the momentum or beta1 together with the learning rate. "all" samples the learning
        rate and every other hyper-parameter that changes within `steps`.

    Returns
    -------
    Table or dict of Table
        The values; with "all" by name, ready for an optimizer:
        ``fs.SGD(**fs.from_torch(scheduler, steps, of="all"))``. A hyper-parameter that does not
        change is not among them.

    Raises
    ------
    FastschedError
        PyTorch is missing, the scheduler is of another kind, cannot be copied or ends before
        `steps`, or the optimizer lacks the hyper-parameter.

    Warns
    -----
    RuntimeWarning
        The scheduler moves a hyper-parameter that was not asked for, or the parameter groups
        differ in one that was.

    Examples
    --------
    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0, momentum=0.9)
    >>> from_torch(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5), steps=3)
    Table(values=[1.0, 0.5, 0.25])
    >>> cycle = torch.optim.lr_scheduler.CyclicLR(optimizer, 0.5, 1.0, step_size_up=1)
    >>> sorted(from_torch(cycle, steps=3, of="all"))
    ['lr', 'momentum']
    """
    schedulers = _imported("torch.optim.lr_scheduler")
    steps = integer("steps", steps, minimum=1)
    choice("of", of, (*_MOVABLE, "all"))
    if not isinstance(scheduler, schedulers.LRScheduler) or isinstance(
        scheduler, schedulers.ReduceLROnPlateau
    ):
        reject("scheduler", scheduler, "a PyTorch LRScheduler other than ReduceLROnPlateau")
    groups = _sampled_groups(scheduler, steps)
    first = groups[0]
    if of not in ("all", *first):
        kind, has = type(scheduler.optimizer).__name__, [n for n in _MOVABLE if n in first]
        reject("of", of, f"a hyper-parameter of the optimizer {kind}, which has {', '.join(has)}")
    moved = [name for name, values in first.items() if len(set(values)) > 1]
    names = ["lr", *(n for n in _MOVABLE[1:] if n in moved)] if of == "all" else [of]
    _warn_of_lost_values(groups, names, moved)
    tables = {name: Table(first[name]) for name in names}
    return tables if of == "all" else tables[of]


def _sampled_groups(scheduler: LRScheduler, steps: int) -> list[dict[str, list[float]]]:
    """Return the values at every step of each parameter group's numbers, from a copy's run."""
    optimizer = scheduler.optimizer
    shared = [p for group in optimizer.param_groups for p in group["params"]]
    memo: dict[int, Any] = {id(parameter): parameter for parameter in shared}
    memo[id(optimizer.state)] = defaultdict(dict)
    try:
        running = copy.deepcopy(scheduler, memo)
    except Exception as error:
        raise FastschedError(
            f"scheduler = {scheduler!r} cannot be copied ({_cause(error)}): scheduler must hold "
            f"nothing but data and functions"
        ) from error
    rows = [[_numbers(group) for group in running.optimizer.param_groups]]
    with warnings.catch_warnings():
        # PyTorch expects an update of the parameters between two steps.
        warnings.simplefilter("ignore", UserWarning)
        while len(rows) < steps:
            try:
                running.step()
            except Exception as error:
                raise FastschedError(
                    f"steps = {steps}: the scheduler ends after {len(rows)} steps ({_cause(error)})"
                ) from error
            rows.append([_numbers(group) for group in running.optimizer.param_groups])
    return [
        {name: [row[k][name] for row in rows] for name in first} for k, first in enumerate(rows[0])
    ]


def _numbers(group: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a parameter group, the `betas` as beta1 and beta2."""
    entries = dict(group)
    betas = entries.pop("betas", ())
    entries.update((f"beta{k}", beta) for k, beta in enumerate(betas, start=1))
    return {
        name: float(value)
        for name, value in entries.items()
        if not isinstance(value, bool)
        and (isinstance(value, numbers.Real) or getattr(value, "numel", lambda: 0)() == 1)
    }


def _warn_of_lost_values(
    groups: list[dict[str, list[float]]], names: list[str], moved: list[str]
) -> None:
    lost = [name for name in moved if name not in names]
    known = [name for name in lost if name in _MOVABLE]
    if known:
        ways = " or ".join(f'of="{name}"' for name in (*known, "all"))
        warnings.warn(
            f"the scheduler also moves {', '.join(known)}: sample it with {ways}",
            RuntimeWarning,
            stacklevel=3,
        )
    if others := [name for name in lost if name not in _MOVABLE]:
        warnings.warn(
            f"the scheduler also moves {', '.join(others)}, which cannot be sampled: a schedule "
            f"can be given to {', '.join(_MOVABLE)}",
            RuntimeWarning,
            stacklevel=3,
        )
    if unlike := [n for n in names if any(group.get(n) != groups[0][n] for group in groups[1:])]:
        warnings.warn(
            f"the {len(groups)} parameter groups differ in {', '.join(unlike)}: only the first "
            f"is sampled",
            RuntimeWarning,
            stacklevel=3,
        )


def from_optax(schedule: Callable[[Any], Any], steps: int) -> Table:
    """Sample an Optax schedule, in JAX's precision (float32 unless x64 is enabled).

    A function that JAX cannot trace, as it branches in Python or uses `math` or NumPy, is called
    with one Python integer after another.

    Parameters
    ----------
    schedule : callable
        Maps the step to the value, as all Optax schedules do.
    steps : int
        Number of values, at least 1.

    Raises
    ------
    FastschedError
        JAX is missing, `schedule` is not callable or raises an exception, or a value is not a
        finite number.

    Examples
    --------
    >>> import optax
    >>> from_optax(optax.linear_schedule(1.0, 0.0, 4), steps=6)
    Table(values=[1.0, 0.75, 0.5, 0.25, 0.0, 0.0])
    """
    jax = _imported("jax")
    steps = integer("steps", steps, minimum=1)
    if not callable(schedule):
        reject("schedule", schedule, "an Optax schedule, a function of the step")
    try:
        values: Any = np.asarray(jax.vmap(schedule)(jax.numpy.arange(steps)), dtype=np.float64)
    except Exception:
        values = [_value_at(schedule, t) for t in range(steps)]
    return Table(values)


def _value_at(schedule: Callable[[Any], Any], step: int) -> Any:
    try:
        return np.asarray(schedule(step), dtype=np.float64)
    except Exception as error:
        raise FastschedError(
            f"schedule({step}) raised {_cause(error)}: schedule must map a step to a number"
        ) from error


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def to_torch(schedule: Schedule, optimizer: Optimizer) -> LambdaLR:
    """Return a `LambdaLR` that gives every parameter group the schedule's values.

    A `LambdaLR` multiplies each group's `initial_lr`: that is set to 1, so the values are exact
    and the rate the optimizer was made with has no influence. The `state_dict` holds the step
    alone; to resume, call this again with the same schedule and load it.

    Parameters
    ----------
    schedule : Schedule
        Evaluated once each time the scheduler steps.
    optimizer : torch.optim.Optimizer
        Its groups take the value at t = 0 at once.

    Raises
    ------
    FastschedError
        PyTorch is missing, or an argument is of the wrong type.

    Examples
    --------
    >>> import torch
    >>> from fastsched.schedules import Linear
    >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    >>> scheduler = to_torch(Linear(0.5, steps=2), optimizer)
    >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
    [0.25]
    """
    torch = _imported("torch")
    checked_schedule("schedule", schedule)
    if not isinstance(optimizer, torch.optim.Optimizer):
        reject("optimizer", optimizer, "a torch.optim.Optimizer")
    for group in optimizer.param_groups:
        group["initial_lr"] = 1.0
    # A function of its own: LambdaLR would save and load the fields of a callable object.
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: schedule(t))


def to_optax(schedule: Schedule, steps: int | None = None) -> Callable[[Any], Any]:
    """Return a function of the step for Optax, which works under jit, vmap and scan.

    A negative step counts as 0: `optax.join_schedules` evaluates every schedule at every step,
    also before its own start.

    Parameters
    ----------
    schedule : Schedule
        The schedule.
    steps : int, optional
        With it the values of that many steps become a constant array on the device, the last
        one held: fast, and possible on every backend. Without it each evaluation calls back to
        Python (`jax.pure_callback`): good for any step, some tens of microseconds each, and
        only on backends with host callbacks.

    Raises
    ------
    FastschedError
        JAX is missing, or an argument is not allowed.

    Examples
    --------
    >>> import jax
    >>> from fastsched.schedules import Linear
    >>> float(jax.jit(to_optax(Linear(1.0, steps=4)))(1))
    0.75
    """
    jax = _imported("jax")
    checked_schedule("schedule", schedule)
    if steps is not None:
        steps = integer("steps", steps, minimum=1)
        table = jax.numpy.asarray(schedule.values(steps))
        return lambda count: table[jax.numpy.clip(count, 0, steps - 1)]

    def evaluated(count: Any) -> Any:
        count = jax.numpy.asarray(count)
        dtype = jax.numpy.result_type(float)

        def on_host(count: Any) -> Any:  # must not call JAX
            return np.asarray(schedule(np.maximum(count, 0)), dtype=dtype)

        shape = jax.ShapeDtypeStruct(count.shape, dtype)
        return jax.pure_callback(on_host, shape, count, vmap_method="expand_dims")

    return evaluated


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise FastschedError(f"{package} is not installed: pip install {package}") from error
