"""Schedules from and to PyTorch and Optax; both are imported only when used."""

from __future__ import annotations

import copy
import importlib
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastsched.errors import FastschedError, integer, reject
from fastsched.schedules import Schedule, Table
from fastsched.schedules.base import checked_schedule

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR, LRScheduler


def from_torch(scheduler: LRScheduler, steps: int) -> Table:
    """Sample the learning rate of a PyTorch scheduler's first parameter group.

    The scheduler runs on from where it stands, in a copy: neither it nor its optimizer changes.
    The copy shares the model's parameters, so it is small. Functions given to the scheduler
    (`LambdaLR`) are called, not copied.

    Parameters
    ----------
    scheduler : torch.optim.lr_scheduler.LRScheduler
        Any but `ReduceLROnPlateau`, whose rates depend on the training.
    steps : int
        Number of values, at least 1; the first is the rate at present.

    Raises
    ------
    FastschedError
        PyTorch is missing, this is no such scheduler, or it ends before `steps`.

    Examples
    --------
    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    >>> from_torch(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5), steps=3)
    Table(values=[1.0, 0.5, 0.25])
    """
    schedulers = _imported("torch.optim.lr_scheduler")
    steps = integer("steps", steps, minimum=1)
    if not isinstance(scheduler, schedulers.LRScheduler) or isinstance(
        scheduler, schedulers.ReduceLROnPlateau
    ):
        reject("scheduler", scheduler, "a PyTorch LRScheduler other than ReduceLROnPlateau")
    optimizer = scheduler.optimizer
    shared = [p for group in optimizer.param_groups for p in group["params"]]
    memo: dict[int, Any] = {id(parameter): parameter for parameter in shared}
    memo[id(optimizer.state)] = defaultdict(dict)
    running = copy.deepcopy(scheduler, memo)
    values = [float(running.optimizer.param_groups[0]["lr"])]
    with warnings.catch_warnings():
        # PyTorch expects an update of the parameters between two steps.
        warnings.simplefilter("ignore", UserWarning)
        while len(values) < steps:
            try:
                running.step()
            except ValueError as error:
                raise FastschedError(
                    f"steps = {steps}: the scheduler ends after {len(values)} steps ({error})"
                ) from error
            values.append(float(running.optimizer.param_groups[0]["lr"]))
    return Table(values)


def from_optax(schedule: Callable[[Any], Any], steps: int) -> Table:
    """Sample an Optax schedule, in JAX's precision (float32 unless x64 is enabled).

    Parameters
    ----------
    schedule : callable
        Maps the step to the value, as all Optax schedules do.
    steps : int
        Number of values, at least 1.

    Raises
    ------
    FastschedError
        JAX is missing, `schedule` is not callable, or a value is not a finite number.

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
        values = jax.vmap(schedule)(jax.numpy.arange(steps))
    except jax.errors.JAXTypeError:  # the function branches on its argument in Python
        values = [schedule(t) for t in range(steps)]
    return Table(np.asarray(values, dtype=np.float64))


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
    """Return a function of the step for Optax, good under jit, vmap and scan.

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
            return np.asarray(schedule(np.asarray(count)), dtype=dtype)

        shape = jax.ShapeDtypeStruct(count.shape, dtype)
        return jax.pure_callback(on_host, shape, count, vmap_method="expand_dims")

    return evaluated


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise FastschedError(f"{package} is not installed: pip install {package}") from error
