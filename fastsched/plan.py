"""From a study to tiles and blocks on the processor, within a byte budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numba
import numpy as np

from fastsched.feed import kernel_source, make_arguments
from fastsched.kernels.body import GROUP, Arguments
from fastsched.kernels.cache import load_kernel
from fastsched.kernels.cpu import TileRunner
from fastsched.kernels.reduce import LANES
from fastsched.kernels.rows import Rows
from fastsched.landscapes import Coupled
from fastsched.memory import require_memory
from fastsched.study import Study

# One thread makes about 1e9 coordinate updates a second: a call of 2^27 lasts about 0.15 s,
# the delay of Ctrl-C, and one of 2^23 some ten times the cost of handling a block.
_LARGEST_CALL = 2**27
_SMALLEST_BLOCK = 2**23
_BLOCKS_PER_THREAD = 16
_OBSERVED_BYTES = 2**24

# The keys and counts of a block's histogram are at most twice as large as the values, and exist
# twice while they are cut to size.
_BLOCK_COPIES = 5

# Half a second: the blocks that are stored, or after which an error is looked at.
_STEADY_WORK = 2**29


class Runner(Protocol):
    """What runs blocks of trajectories on one machine or another, in the calling thread."""

    def run(
        self,
        first_tile: int,
        count: int,
        proceed: Callable[[], bool],
        progress: Callable[[int], None],
    ) -> tuple[Rows, Rows] | None:
        """Return what is recorded of some trajectories, and kept; None if told not to proceed."""


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
    """How a study runs on the processor: its kernel's food, and its division into blocks.

    Attributes
    ----------
    study : Study
    arguments : Arguments
    tiles, tiles_per_block : int
        Number of tiles, and of tiles in a block, a power of two.
    groups_per_call : int
        Groups of four steps of one kernel call.
    workers : int
        Threads that run blocks.
    """

    study: Study
    arguments: Arguments
    tiles: int
    tiles_per_block: int
    groups_per_call: int
    workers: int

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

    @property
    def memory(self) -> int:
        """Bytes that the run takes."""
        recorded = self.tiles_per_block * LANES * 8 * max(1, self.arguments.trajectory_numbers)
        return _memory(self.workers, self.arguments, recorded)

    @property
    def machine(self) -> str:
        """What the bits of the numbers depend on, besides the study."""
        return "cpu"

    @property
    def division(self) -> str:
        """The machine and the size of a full block, in words."""
        return f"{self.tiles_per_block * LANES} trajectories on {self.machine}"

    def runner(self) -> Runner:
        """Return what runs the blocks' tiles; compiles the kernel's source if it is new."""
        return TileRunner(
            load_kernel(kernel_source(self.study)),
            self.arguments,
            self.tiles_per_block,
            self.groups_per_call,
        )


def planned(study: Study, gpus: Sequence[int], steady: bool = False) -> Plan:
    """Return the plan of a study for some GPUs, or for the processor if there are none."""
    if not gpus:
        return make_plan(study, numba.get_num_threads(), steady)
    from fastsched.gpu_plan import make_gpu_plan

    return make_gpu_plan(study, gpus, steady)


def make_plan(study: Study, threads: int, steady: bool = False) -> Plan:
    """Return the plan of a study for a number of threads.

    Parameters
    ----------
    study : Study
    threads : int
    steady : bool, default False
        Whether the blocks depend on neither the threads nor the number of trajectories.

    Raises
    ------
    FastschedError
        The run would need more memory than the machine has.
    """
    arguments = make_arguments(study)
    tiles = -(-study.trajectories // LANES)
    group_work = int(GROUP * LANES * step_cost(study))
    tile_work = arguments.groups * group_work
    tile_bytes = max(1, arguments.trajectory_numbers) * LANES * 8
    share = max(_SMALLEST_BLOCK, tiles * tile_work // (threads * _BLOCKS_PER_THREAD))
    work = _STEADY_WORK if steady else min(share, _LARGEST_CALL, tiles * tile_work)
    most = max(1, min(work // tile_work, _OBSERVED_BYTES // tile_bytes))
    tiles_per_block = 1 << (most.bit_length() - 1)
    _check_memory(threads, arguments, tiles_per_block * tile_bytes)
    return Plan(
        study=study,
        arguments=arguments,
        tiles=tiles,
        tiles_per_block=tiles_per_block,
        groups_per_call=max(1, _LARGEST_CALL // group_work)
        if tiles_per_block == 1
        else arguments.groups,
        workers=threads,
    )


def step_cost(study: Study) -> float:
    """Return about how many updates of a `Quadratic`'s coordinate a step takes."""
    landscape = study.landscape.model
    if isinstance(landscape, Coupled):
        return landscape.step_cost(float(np.mean(study.batch_sizes())))
    return float(landscape.dim)


def _memory(threads: int, arguments: Arguments, observed: int) -> int:
    """Return the bytes of threads that each hold a tile's state and a block's numbers."""
    return threads * (arguments.lane_bytes * LANES + _BLOCK_COPIES * observed)


def _check_memory(threads: int, arguments: Arguments, observed: int) -> None:
    larger = arguments.lane_bytes * LANES > _BLOCK_COPIES * observed
    lower = "the landscape's dimension" if larger else "record"
    needed = _memory(threads, arguments, observed)
    require_memory(needed, f"{lower} or the number of threads")
