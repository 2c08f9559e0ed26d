"""From a study to arrays, tiles and blocks, within a byte budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import reject
from fastsched.kernels.body import GROUP, PRECISIONS, Arguments
from fastsched.kernels.cache import load_kernel
from fastsched.kernels.coupled import coupled_source, joined_source
from fastsched.kernels.cpu import TileRunner
from fastsched.kernels.ledger import Ledger
from fastsched.kernels.parts import Numbers
from fastsched.kernels.philox import round_keys
from fastsched.kernels.probe import Work
from fastsched.kernels.reduce import LANES
from fastsched.kernels.separable import separable_source
from fastsched.kernels.summed import summed_source
from fastsched.landscapes import Coupled, Separable, Summed
from fastsched.memory import require_memory
from fastsched.study import Study

# One thread makes about 1e9 coordinate updates a second: a call of 2^27 lasts about 0.15 s,
# the delay of Ctrl-C, and one of 2^23 some ten times the cost of handling a block.
_LARGEST_CALL = 2**27
_SMALLEST_BLOCK = 2**23
_BLOCKS_PER_THREAD = 16
_OBSERVED_BYTES = 2**24


@dataclass(frozen=True)
class Block:
    """Trajectories that one thread runs from start to end: the unit of all bookkeeping.

    Attributes
    ----------
    first_tile, tiles : int
        Tiles of `LANES` trajectories; `first_tile` is a multiple of the tiles of a full block.
    count : int
        Number of trajectories, less than tiles * LANES in the last block only.
    """

    first_tile: int
    tiles: int
    count: int


@dataclass(frozen=True, eq=False)
class Plan:
    """How a study runs: what its kernel is fed with, and its division into blocks.

    Attributes
    ----------
    study : Study
    arguments : Arguments
    tiles, tiles_per_block : int
        Number of tiles, and of tiles in a block, a power of two.
    groups_per_call : int
        Groups of four steps of one kernel call.
    """

    study: Study
    arguments: Arguments
    tiles: int
    tiles_per_block: int
    groups_per_call: int

    @property
    def work(self) -> int:
        """Coordinate updates in all, with those of idle lanes and padded steps."""
        return self.tiles * self.arguments.groups * GROUP * LANES * self.study.landscape.dim

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in order."""
        for first in range(0, self.tiles, self.tiles_per_block):
            tiles = min(self.tiles_per_block, self.tiles - first)
            count = min(tiles * LANES, self.study.trajectories - first * LANES)
            yield Block(first, tiles, count)

    def runner(self) -> TileRunner:
        """Return what runs the blocks' tiles; compiles the kernel's source if it is new."""
        return TileRunner(
            load_kernel(_source(self.study)),
            self.arguments,
            self.tiles_per_block,
            self.groups_per_call,
        )


def _source(study: Study) -> str:
    """Return the source of the study's kernel."""
    landscape = study.landscape.model
    parts = {
        "update": study.optimizer.update_function,
        "slots": study.optimizer.slots,
        "coefficients": study.optimizer.coefficients(1).shape[1],
        "probes": study.probes,
        "precision": study.precision,
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


def make_plan(study: Study, threads: int) -> Plan:
    """Return the plan of a study for a number of threads.

    Raises
    ------
    FastschedError
        The run would need more memory than the machine has.
    """
    arguments = make_arguments(study)
    landscape = study.landscape.model
    step_cost = float(landscape.dim)
    if isinstance(landscape, Coupled):
        step_cost = landscape.step_cost(float(np.mean(study.batch_sizes())))
    tiles = -(-study.trajectories // LANES)
    group_work = int(GROUP * LANES * step_cost)
    tile_work = arguments.groups * group_work
    tile_bytes = max(1, arguments.trajectory_numbers) * LANES * 8
    share = max(_SMALLEST_BLOCK, tiles * tile_work // (threads * _BLOCKS_PER_THREAD))
    most = max(1, min(min(share, _LARGEST_CALL) // tile_work, _OBSERVED_BYTES // tile_bytes))
    tiles_per_block = 1 << (min(most, tiles).bit_length() - 1)
    _check_memory(threads, arguments, tiles_per_block * tile_bytes)
    return Plan(
        study=study,
        arguments=arguments,
        tiles=tiles,
        tiles_per_block=tiles_per_block,
        groups_per_call=max(1, _LARGEST_CALL // group_work)
        if tiles_per_block == 1
        else arguments.groups,
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
    field = (GROUP, landscape.dim, LANES), dtype
    if isinstance(landscape, Coupled):
        data = landscape.data()
        work = field, tuple(_space(part, dtype) for part in landscape.work())
    elif isinstance(landscape, Summed):
        data = landscape.data()
        constants.insert(1, landscape.coordinates())
        counts = (landscape.sums, landscape.weights, GROUP * landscape.extras)
        work = (
            field,
            *(((n, LANES), dtype) for n in counts),
            ((2 * landscape.sums, LANES), np.dtype(np.float64)),
        )
    elif isinstance(landscape, Separable) and numbers.views:
        data = (landscape.coordinates(),)
        work = field, ()
    elif isinstance(landscape, Separable):
        constants.insert(1, landscape.coordinates())
        table = np.pad(table, ((0, -steps % GROUP), (0, 0)))
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
            ((terms * LANES,), dtype),
            ((sums, LANES), np.dtype(np.float64)),
            ((numbers.rows, LANES), np.dtype(np.float64)),
            tuple(tuple(_space(part, dtype) for part in view.work) for view in numbers.views),
            work,
        ),
        slots=slots,
        records=len(study.record_steps),
    )


def _space(work: Work, dtype: np.dtype[Any]) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Return shape and dtype of an array of work space."""
    shape = (LANES, work.rows) if work.by_lane else (work.rows, LANES)
    return shape, np.dtype(work.kind or dtype)


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


def _check_memory(threads: int, arguments: Arguments, observed: int) -> None:
    state = arguments.tile_bytes
    # The keys and counts of a block's histogram are at most twice as large as the values, and
    # exist twice while they are cut to size.
    recorded = 5 * observed
    lower = "the landscape's dimension" if state > recorded else "record"
    require_memory(threads * (state + recorded), f"{lower} or the number of threads")
