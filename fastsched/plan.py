"""From a study to arrays, tiles and blocks, within a byte budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import reject
from fastsched.kernels.body import (
    GROUP,
    PRECISIONS,
    Arguments,
    Measured,
    kernel_source,
    load_kernel,
)
from fastsched.kernels.cpu import TileRunner
from fastsched.kernels.philox import round_keys
from fastsched.kernels.reduce import LANES
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
        study = self.study
        source = kernel_source(
            gradient=type(study.landscape).gradient_function,
            constants=self.arguments.constants.shape[0] - 1,
            update=study.optimizer.update_function,
            slots=study.optimizer.slots,
            coefficients=study.optimizer.coefficients(1).shape[1],
            measured=[
                Measured(
                    m.term_functions(study.landscape),
                    m.memory_function,
                    m.memory_coefficients(study.steps).shape[1],
                )
                for m in study.measures
            ],
            precision=study.precision,
        )
        return TileRunner(
            load_kernel(source), self.arguments, self.tiles_per_block, self.groups_per_call
        )


def make_plan(study: Study, threads: int) -> Plan:
    """Return the plan of a study for a number of threads.

    Raises
    ------
    FastschedError
        The run would need more memory than the machine has.
    """
    dim = study.landscape.dim
    arguments = make_arguments(study)
    tiles = -(-study.trajectories // LANES)
    tile_work = arguments.groups * GROUP * LANES * dim
    tile_bytes = arguments.terms * arguments.records * LANES * 8
    share = max(_SMALLEST_BLOCK, tiles * tile_work // (threads * _BLOCKS_PER_THREAD))
    most = max(1, min(min(share, _LARGEST_CALL) // tile_work, _OBSERVED_BYTES // tile_bytes))
    tiles_per_block = 1 << (min(most, tiles).bit_length() - 1)
    _check_memory(threads, arguments, tiles_per_block * tile_bytes)
    return Plan(
        study=study,
        arguments=arguments,
        tiles=tiles,
        tiles_per_block=tiles_per_block,
        groups_per_call=max(1, _LARGEST_CALL // (GROUP * LANES * dim))
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
    landscape, steps = study.landscape, study.steps
    groups = -(-steps // GROUP)
    columns = np.column_stack(
        [
            landscape.noise_scale(study.batch_sizes()),
            study.optimizer.coefficients(steps),
            *(m.memory_coefficients(steps) for m in study.measures),
        ]
    )
    table = np.zeros((groups * GROUP, columns.shape[1]))
    table[:steps] = columns
    record = study.record_steps
    record_at = np.full(groups * GROUP + 1, -1, np.int32)
    record_at[record] = np.arange(len(record))
    origin = landscape.origin()
    mean, std = landscape.start_moments()
    constants = np.vstack([origin, landscape.coordinates()])
    return Arguments(
        constants=_rounded("landscape", constants, study.precision),
        start_moments=_rounded("start", np.stack([mean - origin, std]), study.precision),
        table=_rounded("optimizer", table, study.precision),
        keys=round_keys(study.seed),
        record_at=record_at,
        slots=study.optimizer.slots + sum(m.memory_function is not None for m in study.measures),
        terms=sum(len(m.term_functions(landscape)) for m in study.measures),
        records=len(record),
    )


def _rounded(name: str, values: NDArray[np.float64], precision: str) -> NDArray[np.floating]:
    """Return `values` in the precision of the study, refusing what it cannot hold."""
    limits = np.finfo(PRECISIONS[precision])
    low, high = float(limits.tiny), float(limits.max)
    magnitude = np.abs(values[values != 0])
    largest = float(np.max(magnitude, initial=0.0))
    smallest = float(np.min(magnitude, initial=np.inf))
    # Learning rates may fade away; a vanishing curvature or start is another problem.
    if largest > high or (name != "optimizer" and smallest < low):
        value = largest if largest > high else smallest
        reject("precision", precision, f'"double" for the value {value:g} of the {name}')
    return values.astype(PRECISIONS[precision])


def _check_memory(threads: int, arguments: Arguments, observed: int) -> None:
    state = int(np.prod(arguments.state_shape)) * arguments.table.itemsize
    # The keys and counts of a block's histogram are at most twice as large as the values, and
    # exist twice while they are cut to size.
    recorded = 5 * observed
    lower = "the landscape's dimension" if state > recorded else "record"
    require_memory(threads * (state + recorded), f"{lower} or the number of threads")
