"""Schedules: a hyper-parameter as a function of the step.

Step t = 0, 1, ... is the index of the update that uses the value. Every schedule is evaluated in
float64, and past its end it holds its final value. Where libraries disagree the table says which
convention holds here, on five axes: the step that has the final value, what comes after it, where
a warm-up starts and peaks, what the horizon counts and which clock runs, and which side of a
boundary its own step is on.

============== ================= ============= ====================== ================= ===========
Class          Final value at t  After it      Warm-up                Horizon, clock    Boundary
============== ================= ============= ====================== ================= ===========
Constant       0                 holds         none                   none              none
StepDecay      none              goes on       none                   none              t >= k every
MultiStep      last milestone    holds         none                   none              t >= m
Exponential    none              goes on       none                   none              none
Polynomial     steps             holds         none                   steps             none
Linear         steps             holds         none                   steps             none
InverseTime    none              goes on       none                   none              none
InverseSqrt    none              goes on       none                   none              none
PowerLaw       none              goes on       none                   none              none
Cosine         steps             holds         none                   steps             none
Triangular     none              repeats       rises from low at 0,   one cycle is      t >= 2 k h
                                               high at h=half_cycle   2 half_cycle
WarmRestarts   none (the limit   repeats       none                   clock restarts    t >= start
               of each cycle)                                         with each cycle   of the cycle
OneCycle       steps - 1         holds         from start_factor,     steps with the    none
                                               peak at warmup * steps warm-up
                                               - 1
WSD            steps             holds         from 0, peak at warmup steps with warm-  decay starts
                                                                      up and decay      after
                                                                                        steps-decay
Piecewise      last boundary     holds         none                   none              t >= b
Table          len(values) - 1   holds         none                   len(values)       none
Function       the function's    f's own       the function's         the function's    f's own
s.warmup(W)    W + that of s     as s          from start, s(0) at W  s starts after W, as s
                                                                      W not in its steps
a.then(b, at)  at + that of b    as b          as a                   b starts at zero  t >= at
a * b, a + b   the later one     pointwise     pointwise              shared clock      pointwise
s.clip(...)    as s              as s          as s                   as s              as s
============== ================= ============= ====================== ================= ===========

Whose conventions these are: StepDecay, MultiStep, Exponential, Polynomial, Linear: PyTorch and
Optax (Keras drops MultiStep's values one step later, timm one earlier). Cosine: Optax, Keras and
timm (PyTorch's rises again after `steps`). Triangular, WarmRestarts, OneCycle: PyTorch (whose
OneCycleLR raises past the end, and Optax's reaches the final value at `steps`, one step later).
InverseTime: Keras. WSD: lrsched, and Optax's `warmup_cosine_decay_schedule` for the horizon with
the warm-up in it. Piecewise: Optax's side of the boundary, Keras' absolute values. Warm-up as a
composition: PyTorch's SequentialLR, Keras, and timm with `warmup_prefix=True`; it starts at 0, so
at the default the first update moves nothing, as in Transformers. `then`: Optax's
`join_schedules` and PyTorch's SequentialLR.
"""

from fastsched.schedules.base import Clip, Product, Schedule, Sum, Then, Warmup, hyperparameter
from fastsched.schedules.cycle import WSD, OneCycle, Triangular, WarmRestarts
from fastsched.schedules.decay import (
    Cosine,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    MultiStep,
    Polynomial,
    PowerLaw,
    StepDecay,
)
from fastsched.schedules.table import Constant, Function, Piecewise, Table

__all__ = [
    "WSD",
    "Clip",
    "Constant",
    "Cosine",
    "Exponential",
    "Function",
    "InverseSqrt",
    "InverseTime",
    "Linear",
    "MultiStep",
    "OneCycle",
    "Piecewise",
    "Polynomial",
    "PowerLaw",
    "Product",
    "Schedule",
    "StepDecay",
    "Sum",
    "Table",
    "Then",
    "Triangular",
    "WarmRestarts",
    "Warmup",
    "hyperparameter",
]
