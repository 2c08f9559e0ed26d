"""Exact theory, and what is known approximately, of the dynamics that fastsched simulates.

Formulas with their sources; arrays and numbers in and out. Modules are loaded when a name of
theirs is first used, since they need parts of SciPy that a simulation does not.
"""

from __future__ import annotations

import importlib
from typing import Any

_NAMES = {
    ".landscapes.linear_features": ("DiagonalProblem", "reduce_linear_features"),
    "alignment": (
        "expected_cosine",
        "expected_inner_product",
        "one_pass_alignment",
        "successive_gradients",
    ),
    "bounds": ("TunedBound", "last_iterate_bound", "tuned_bound"),
    "chains": ("RadialChain", "double_well_chain", "quadratic_chain"),
    "escape": ("boundary_shift", "eyring_kramers_time", "kramers_time", "sde_passage_time"),
    "law": ("LossLaw",),
    "least_squares": ("least_squares_risk", "volterra_risk"),
    "optimal": ("chebyshev_rates", "greedy_schedule", "optimal_schedule", "silver_rates"),
    "overshoot": ("Overshoot", "noise_free_overshoot", "overshoot_probability"),
    "passage": ("GaussianChain",),
    "power_law": (
        "ComputeOptimal",
        "compute_optimal_exponents",
        "decay_shrinkage",
        "inverse_time_factor",
        "residual_risk",
    ),
    "rule": ("LinearRule", "linear_rule"),
    "stability": (
        "OnePassStability",
        "finite_sum_limit",
        "mean_limit",
        "one_pass_excess_risk",
        "one_pass_limit",
        "one_pass_stability",
    ),
    "stationary": (
        "dissipation_ratio",
        "nesterov_iterate_variance",
        "noise_floor",
        "small_rate_noise_floor",
        "stationary_moments",
    ),
    "tails": ("tail_index",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
