"""fastsched: a Monte Carlo laboratory for learning-rate schedules."""

import fastsched.compiler_check  # noqa: F401

# isort: split
from fastsched.errors import FastschedError, NoExactTheory, ResultFileError
from fastsched.interop import from_optax, from_torch, to_optax, to_torch
from fastsched.landscapes import (
    Custom,
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
from fastsched.measures import (
    Alignment,
    Average,
    Basins,
    Escape,
    HittingTime,
    Loss,
    Measure,
    Overshoot,
    Sharpness,
    TestLoss,
)
from fastsched.optimizers import SGD, Adam, AdamW, Optimizer, SignSGD
from fastsched.ranking import Ranking
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
from fastsched.sweep import Sweep, sweep
from fastsched.sweep_result import SweepResult
from fastsched.theory.exact import exact
from fastsched.tune import Tuned, tune
from fastsched.version import VERSION as __version__

__all__ = [
    "SGD",
    "WSD",
    "Adam",
    "AdamW",
    "Alignment",
    "Average",
    "Basins",
    "Constant",
    "Cosine",
    "Custom",
    "Dataset",
    "DoubleWell",
    "Escape",
    "Exponential",
    "FastschedError",
    "FeatureMap",
    "Function",
    "HittingTime",
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
    "Overshoot",
    "Piecewise",
    "Polynomial",
    "PowerLaw",
    "Quadratic",
    "RandomFeatures",
    "RandomField",
    "Ranking",
    "Result",
    "ResultFileError",
    "RunFailed",
    "Schedule",
    "Sharpness",
    "SignSGD",
    "StepDecay",
    "Study",
    "Sweep",
    "SweepResult",
    "Table",
    "TestLoss",
    "Triangular",
    "Tuned",
    "WarmRestarts",
    "Wells",
    "__version__",
    "exact",
    "from_optax",
    "from_torch",
    "load",
    "run",
    "sweep",
    "to_optax",
    "to_torch",
    "tune",
]
