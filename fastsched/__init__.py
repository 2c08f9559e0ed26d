"""fastsched: a Monte Carlo laboratory for learning-rate schedules."""

from fastsched.errors import FastschedError, NoExactTheory, ResultFileError
from fastsched.interop import from_optax, from_torch, to_optax, to_torch
from fastsched.landscapes import (
    Dataset,
    DoubleWell,
    FeatureMap,
    Landscape,
    LeastSquares,
    Normal,
    Quadratic,
    RandomFeatures,
    RandomField,
    Wells,
)
from fastsched.measures import Average, Loss, Measure, TestLoss
from fastsched.optimizers import SGD, Optimizer
from fastsched.result import Result, load
from fastsched.run import RunFailed, run
from fastsched.schedules import (
    WSD,
    Constant,
    Cosine,
    Exponential,
    Function,
    InverseSqrt,
    InverseTime,
    Linear,
    MultiStep,
    OneCycle,
    Piecewise,
    Polynomial,
    PowerLaw,
    Schedule,
    StepDecay,
    Table,
    Triangular,
    WarmRestarts,
)
from fastsched.study import Study
from fastsched.theory.exact import exact
from fastsched.version import VERSION as __version__

__all__ = [
    "SGD",
    "WSD",
    "Average",
    "Constant",
    "Cosine",
    "Dataset",
    "DoubleWell",
    "Exponential",
    "FastschedError",
    "FeatureMap",
    "Function",
    "InverseSqrt",
    "InverseTime",
    "Landscape",
    "LeastSquares",
    "Linear",
    "Loss",
    "Measure",
    "MultiStep",
    "NoExactTheory",
    "Normal",
    "OneCycle",
    "Optimizer",
    "Piecewise",
    "Polynomial",
    "PowerLaw",
    "Quadratic",
    "RandomFeatures",
    "RandomField",
    "Result",
    "ResultFileError",
    "RunFailed",
    "Schedule",
    "StepDecay",
    "Study",
    "Table",
    "TestLoss",
    "Triangular",
    "WarmRestarts",
    "Wells",
    "__version__",
    "exact",
    "from_optax",
    "from_torch",
    "load",
    "run",
    "to_optax",
    "to_torch",
]
