"""From a study to its kernel's source, and to the arrays the kernel is fed with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import reject
from fastsched.kernels.body import CPU, GROUP, PRECISIONS, Arguments, Machine, Space
from fastsched.kernels.coupled import coupled_source, joined_source
from fastsched.kernels.ledger import Ledger
from fastsched.kernels.parts import Numbers
from fastsched.kernels.philox import round_keys
from fastsched.kernels.probe import Work
from fastsched.kernels.separable import separable_source
from fastsched.kernels.summed import summed_source
from fastsched.landscapes import Coupled, Separable, Summed
from fastsched.study import Study


def kernel_source(study: Study, machine: Machine = CPU) -> str:
    """Return the source of the study's kernel for a machine."""
    landscape = study.landscape.model
    parts = {
        "update": study.optimizer.update_function,
        "slots": study.optimizer.slots,
        "coefficients": study.optimizer.coefficients(1).shape[1],
        "probes": study.probes,
        "precision": study.precision,
        "machine": machine,
    }
    if isinstance(landscape, Coupled):
        return coupled_source(
            landscape.gradient_function,
            landscape.loss_function,
            landscape.draws_normals,
            landscape.step_table(study.batch_sizes()).shape[1],
            landscape.cacheable,
            **parts,
        )
    if isinstance(landscape, Summed):
        return summed_source(
            landscape.reduce_function,
            landscape.weigh_function,
            landscape.gradient_function,
            landscape.loss_function,
            landscape.sums,
            landscape.weights,
            landscape.extras,
            len(landscape.coordinates()),
            landscape.step_table(study.batch_sizes()).shape[1],
            **parts,
        )
    assert isinstance(landscape, Separable)
    source = joined_source if Numbers(study.probes).views else separable_source
    return source(
        landscape.gradient_function,
        landscape.loss_function,
        len(landscape.coordinates()),
        **parts,
    )


def make_arguments(study: Study) -> Arguments:
    """Return what the study's kernel is fed with.

    Raises
    ------
    FastschedError
        A number is too large or too small for the study's precision.
    """
    landscape, steps, probes = study.landscape.model, study.steps, study.probes
    dtype = np.dtype(PRECISIONS[study.precision])
    table = np.column_stack(
        [
            landscape.step_table(study.batch_sizes()),
            study.optimizer.coefficients(steps),
            *(p.coefficients for p in probes if p.coefficients is not None),
        ]
    )
    origin = landscape.origin()
    mean, std = landscape.start_moments()
    constants = [origin[None], *(p.constants for p in probes if p.constants is not None)]
    numbers = Numbers(probes)
    slots = study.optimizer.slots + sum(len(p.memories) for p in probes)
    sums = terms = sum(p.terms for p in probes)
    data: tuple[Any, ...] = ()
    work: tuple[Any, ...] = ()
    double = np.dtype(np.float64)
    field = Space((GROUP, landscape.dim), dtype)
    if isinstance(landscape, Coupled):
        data = landscape.data()
        work = field, tuple(_space(part, dtype) for part in landscape.work())
    elif isinstance(landscape, Summed):
        data = landscape.data()
        constants.insert(1, landscape.coordinates())
        counts = (landscape.sums, landscape.weights, GROUP * landscape.extras)
        work = (
            field,
            *(Space((n,), dtype, fixed=True) for n in counts),
            Space((2 * landscape.sums,), double, fixed=True),
        )
    elif isinstance(landscape, Separable) and numbers.views:
        data = (landscape.coordinates(),)
        work = field, ()
    elif isinstance(landscape, Separable):
        constants.insert(1, landscape.coordinates())
        coefficients = study.optimizer.idle_coefficients
        idle = np.zeros((-steps % GROUP, table.shape[1]))
        idle[:, 1 : 1 + len(coefficients)] = coefficients
        table = np.vstack([table, idle])
        sums = GROUP * (sums + numbers.losses)
        terms = sums + 1 + slots
        confined = [p.axes for p in probes if p.confined]
        if confined:
            seen = np.isin(np.arange(landscape.dim), np.hstack(confined))
            constants.append(seen[None].astype(np.float64))
    return Arguments(
        constants=_rounded("landscape", np.vstack(constants), study.precision),
        start_moments=_rounded("start", np.stack([mean - origin, std]), study.precision),
        table=_rounded("optimizer", table, study.precision),
        keys=round_keys(study.seed),
        data=tuple(_rounded_data(part, study.precision) for part in data),
        own=tuple(
            tuple(_rounded_data(part, study.precision) for part in view.data)
            for view in numbers.views
        ),
        ledger=_ledger(study, numbers),
        scratch=(
            Space((terms,), dtype, fixed=True),
            Space((sums,), double, fixed=True),
            Space((numbers.rows,), double),
            tuple(tuple(_space(part, dtype) for part in view.work) for view in numbers.views),
            work,
        ),
        slots=slots,
        records=len(study.record_steps),
    )


def _space(work: Work, dtype: np.dtype[Any]) -> Space:
    """Return an array of work space in the study's precision, unless it says another."""
    return Space((work.rows,), np.dtype(work.kind or dtype), work.by_lane)


def _ledger(study: Study, numbers: Numbers) -> Ledger:
    record, steps = study.record_steps, study.steps
    lags = max((lag for _, lag in numbers.readings), default=0)
    record_at = np.full((1 + lags, steps + 1), -1, np.int32)
    for lag in range(1 + lags):
        known = record[record <= steps - lag]
        record_at[lag, known + lag] = np.arange(len(known))
    return Ledger(
        record_at,
        numbers.initial(study.probes),
        np.array(numbers.readings, dtype=np.int32).reshape(-1, 2),
        numbers.kept(study.probes, 1 + study.optimizer.slots),
    )


def _rounded_data(part: Any, precision: str) -> Any:
    """Return a landscape's array in the precision of the study, unless it holds no floats."""
    if isinstance(part, np.ndarray) and part.dtype == np.float64:
        return np.ascontiguousarray(_rounded("data", part, precision))
    return part


def _rounded(name: str, values: NDArray[np.float64], precision: str) -> NDArray[np.floating]:
    """Return `values` in the precision of the study, refusing what it cannot hold."""
    limits = np.finfo(PRECISIONS[precision])
    low, high = float(limits.tiny), float(limits.max)
    magnitude = np.abs(values[values != 0])
    largest = float(np.max(magnitude, initial=0.0))
    smallest = float(np.min(magnitude, initial=np.inf))
    # Rates and matrix elements may fade away; a vanishing curvature is another problem.
    if largest > high or (name not in ("optimizer", "data") and smallest < low):
        value = largest if largest > high else smallest
        reject("precision", precision, f'"double" for the value {value:g} of the {name}')
    return values.astype(PRECISIONS[precision])
