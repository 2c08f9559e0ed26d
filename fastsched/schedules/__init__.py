"""Schedules: a hyper-parameter as a function of the step.

Step t = 0, 1, ... is the index of the update that uses the value. Every schedule is evaluated in
float64, and past its end it holds its final value.

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
