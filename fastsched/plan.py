"""From a study or sweep to tiles and blocks on the processor, within a byte budget."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numba
import numpy as np

from fastsched.feed import kernel_source, make_arguments
from fastsched.kernels.body import GROUP, Arguments, Feed
from fastsched.kernels.cache import load_kernel
from fastsched.kernels.cpu import TileRunner
from fastsched.kernels.reduce import LANES
from fastsched.kernels.rows import Rows
from fastsched.landscapes import Coupled
from fastsched.memory import require_memory
from fastsched.pairs import paired_numbers, pairs_bytes
from fastsched.study import Study
from fastsched.sweep import Sweep

# One thread makes about 1e9 coordinate updates a second: a call of 2^27 lasts about 0.15 s,
# the delay of Ctrl-C, and one of 2^23 some ten times the cost of handling a block.
_LARGEST_CALL = 2**27
_SMALLEST_BLOCK = 2**23
_BLOCKS_PER_THREAD = 16
_OBSERVED_BYTES = 2**24

# A block of a sweep has all its members, and costs more to handle the more there are.
_SWEEP_BLOCKS_PER_THREAD = 2
_SWEEP_STEADY = 8

# Of the members' arrays that are kept; beyond them an array is made anew when it is wanted.
_FEED_BYTES = 2**28

# The keys and counts of a block's histogram are at most twice as large as the values, and exist
# twice while they are cut to size.
_BLOCK_COPIES = 5

# Half a second: the blocks that are stored, or after which an error is looked at.
_STEADY_WORK = 2**29


class Runner(Protocol):
    """What runs blocks of trajectories on one machine or another, in the calling thread."""

    def run(
        self,
        member: int,
        first_tile: int,
        count: int,
        proceed: Callable[[], bool],
        progress: Callable[[int], None],
    ) -> tuple[Rows, Rows] | None:
        """Return what is recorded of some trajectories, and kept; None if told not to proceed.

        For the parameters see `TileRunner.run`.
        """


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
    """How a study or sweep runs on the processor: its division into blocks.

    Attributes
    ----------
    asked : Study or Sweep
    feed : function
        From the number of a member to its `Feed`; the only member of a study is 0.
    tiles, tiles_per_block : int
        Number of tiles, and of tiles in a block, a power of two.
    memory : int
        Bytes that the run takes.
    workers : int
        Threads that run blocks.
    """

    asked: Study | Sweep
    feed: Callable[[int], Feed]
    tiles: int
    tiles_per_block: int
    memory: int
    workers: int

    @functools.cached_property
    def tile_work(self) -> int:
        """Coordinate updates of a tile, with those of idle lanes and padded steps."""
        return sum(map(self.member_work, self.asked.members))

    def member_work(self, member: Study) -> int:
        """Return the coordinate updates of a tile of a member."""
        return _groups(member) * GROUP * LANES * member.landscape.dim

    @property
    def work(self) -> int:
        """Coordinate updates in all."""
        return self.tiles * self.tile_work

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in order."""
        for first in range(0, self.tiles, self.tiles_per_block):
            tiles = min(self.tiles_per_block, self.tiles - first)
            count = min(tiles * LANES, self.asked.trajectories - first * LANES)
            yield Block(first, tiles, count)

    @property
    def machine(self) -> str:
        """What the bits of the numbers depend on, besides what is asked."""
        return "cpu"

    @property
    def division(self) -> str:
        """The machine and the size of a full block, in words."""
        return f"{self.tiles_per_block * LANES} trajectories on {self.machine}"

    def runner(self) -> Runner:
        """Return what runs the blocks' tiles; compiles the first kernel's source if it is new."""
        self.feed(0)
        return TileRunner(self.feed, self.tiles_per_block)


def planned(asked: Study | Sweep, gpus: Sequence[int], steady: bool = False) -> Plan:
    """Return the plan of a study or sweep for some GPUs, or for the processor without any."""
    if not gpus:
        return make_plan(asked, numba.get_num_threads(), steady)
    from fastsched.gpu_plan import make_gpu_plan

    return make_gpu_plan(asked, gpus, steady)


def make_plan(asked: Study | Sweep, threads: int, steady: bool = False) -> Plan:
    """Return the plan of a study or sweep for a number of threads.

    Parameters
    ----------
    asked : Study or Sweep
    threads : int
    steady : bool, default False
        Whether the blocks depend on neither the threads nor the number of trajectories.

    Raises
    ------
    FastschedError
        The run would need more memory than the machine has.
    """
    members = asked.members
    supply = Supply(members)
    sizes = supply.sizes()
    tiles = -(-asked.trajectories // LANES)
    group_works = [int(GROUP * LANES * step_cost(member)) for member in members]
    works = [_groups(m) * work for m, work in zip(members, group_works, strict=True)]
    tile_bytes = (max(1, sizes.trajectory_numbers) + paired_numbers(asked)) * LANES * 8
    most = _tiles_at_most(tiles, works, threads, steady)
    tiles_per_block = power_of_two(min(most, _OBSERVED_BYTES // tile_bytes))
    kernel = functools.cache(lambda member: load_kernel(kernel_source(members[member])))

    def feed(member: int) -> Feed:
        groups = _groups(members[member])
        if tiles_per_block == 1:
            groups = min(groups, max(1, _LARGEST_CALL // group_works[member]))
        return Feed(kernel(member), supply.arguments(member), groups)

    states, observed = sizes.lane_bytes * LANES, _BLOCK_COPIES * tiles_per_block * tile_bytes
    # Blocks that wait to be merged, and the nodes of the tree.
    nodes = 2 * threads + 2 + (tiles // tiles_per_block).bit_length()
    pairs = nodes * pairs_bytes(asked)
    memory = threads * (states + observed) + pairs + min(sizes.input_bytes, _FEED_BYTES)
    lower = "the landscape's dimension" if states > observed else "record"
    if pairs > threads * (states + observed):
        lower = "the number of members of the sweep, record"
    require_memory(memory, f"{lower} or the number of threads")
    return Plan(asked, feed, tiles, tiles_per_block, memory, threads)


def _tiles_at_most(tiles: int, works: Sequence[int], threads: int, steady: bool) -> float:
    """Return how many tiles a block may have, given the work of a tile of each member."""
    members, work = len(works), sum(works)
    if steady:
        # The statistics of a block of many members are large, whatever its trajectories.
        return _STEADY_WORK * min(_SWEEP_STEADY, -(-members // 32)) / work
    blocks = _BLOCKS_PER_THREAD if members == 1 else _SWEEP_BLOCKS_PER_THREAD
    share = max(_SMALLEST_BLOCK, tiles * work // (threads * blocks))
    return min(share / work, _LARGEST_CALL / max(works), tiles)


def power_of_two(tiles: float) -> int:
    """Return the largest power of two that is not above a number, at least 1."""
    return 1 << (max(1, int(tiles)).bit_length() - 1)


class Sizes(NamedTuple):
    """What members need.

    Attributes
    ----------
    trajectory_numbers, lane_bytes : int
        Numbers written down of a trajectory, and bytes of its state and work space, at most.
    largest_input, input_bytes : int
        Bytes of the arrays of one member, at most, and of all.
    """

    trajectory_numbers: int
    lane_bytes: int
    largest_input: int
    input_bytes: int


class Supply:
    """The arguments of members' kernels, made when they are wanted; the last used are kept.

    Parameters
    ----------
    members : sequence of Study
    """

    def __init__(self, members: Sequence[Study]) -> None:
        self._members = members
        self._kept: OrderedDict[int, Arguments] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def sizes(self) -> Sizes:
        """Return the sizes of all members, whose arguments are made."""
        made = map(self.arguments, range(len(self._members)))
        numbers, lanes, inputs = zip(
            *((a.trajectory_numbers, a.lane_bytes, a.input_bytes) for a in made), strict=True
        )
        return Sizes(max(numbers), max(lanes), max(inputs), sum(inputs))

    def arguments(self, member: int) -> Arguments:
        """Return the arguments of a member."""
        with self._lock:
            if member in self._kept:
                self._kept.move_to_end(member)
                return self._kept[member]
        made = make_arguments(self._members[member])
        with self._lock:
            kept = self._kept.setdefault(member, made)
            if kept is made:
                self._bytes += made.input_bytes
            while self._bytes > _FEED_BYTES and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].input_bytes
        return kept


def _groups(study: Study) -> int:
    return -(-study.steps // GROUP)


def step_cost(study: Study) -> float:
    """Return about how many updates of a `Quadratic`'s coordinate a step takes."""
    landscape = study.landscape.model
    if isinstance(landscape, Coupled):
        return landscape.step_cost(float(np.mean(study.batch_sizes())))
    return float(landscape.dim)
