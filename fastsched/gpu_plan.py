"""From a study or sweep to teams, tiles and blocks on GPUs, within their memory."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from numba import cuda

from fastsched.errors import FastschedError
from fastsched.feed import kernel_source
from fastsched.kernels import cuda as cuda_kernels
from fastsched.kernels import gpu
from fastsched.kernels.body import GROUP, Feed
from fastsched.kernels.cache import load_kernel
from fastsched.kernels.reduce import LANES
from fastsched.landscapes import Coupled
from fastsched.pairs import paired_numbers
from fastsched.plan import Plan, Runner, Supply, power_of_two, step_cost
from fastsched.study import Study
from fastsched.sweep import Sweep

# Host threads for each GPU: one block's statistics are taken while another runs. The simulator
# runs one kernel at a time.
_STREAMS = 1 if gpu.SIMULATED else 2

# Threads that a block aims at: on the largest GPUs two such blocks are at work at once.
_RESIDENT = 2**18

# With fewer threads than that, trajectories are shared by teams.
_ENOUGH = 2**17

# A launch lasts about 0.1 s, the delay of Ctrl-C: so many updates in all at 3e11 a second, and so
# many one after the other in a thread.
_LARGEST_LAUNCH = 2**35
_LONGEST_LAUNCH = 2**21

# Numbers of a block's trajectories that are brought to the processor to be compared.
_PAIRED_BYTES = 2**28

# The part of a GPU's free memory that is used.
_SHARE = 0.8


@dataclass(frozen=True, eq=False)
class GpuPlan(Plan):
    """How a study or sweep runs on GPUs; see `Plan`.

    Attributes
    ----------
    devices : sequence of int
        The GPUs.
    teams : sequence of int
        Threads that share a trajectory, of each member.
    """

    devices: Sequence[int]
    teams: Sequence[int]

    @property
    def machine(self) -> str:
        return f"cuda with {' or '.join(map(str, sorted(set(self.teams))))} threads to a trajectory"

    def runner(self) -> Runner:
        return cuda_kernels.LaneRunner(self.feed, self.tiles_per_block * LANES, self.devices)


def make_gpu_plan(asked: Study | Sweep, devices: Sequence[int], steady: bool = False) -> GpuPlan:
    """Return the plan of a study or sweep for some GPUs.

    Parameters
    ----------
    asked : Study or Sweep
    devices : sequence of int
    steady : bool, default False
        Whether the blocks depend on neither the GPUs nor the number of trajectories.

    Raises
    ------
    FastschedError
        The run would need more memory than a GPU has.
    """
    members = asked.members
    supply = Supply(members)
    sizes = supply.sizes()
    teams = [team_size(member) for member in members]
    tiles = -(-asked.trajectories // LANES)
    # Those of two members are kept.
    inputs = min(sizes.input_bytes, 2 * sizes.largest_input)
    memory = _free_memory(devices) - inputs
    # State, numbers written down, and their moments' nodes.
    tile_bytes = LANES * (sizes.lane_bytes + 16 * max(1, sizes.trajectory_numbers))
    if tile_bytes > memory:
        raise FastschedError(
            f"the study needs {(tile_bytes + inputs) / 2**30:.1f} GiB on the GPU, "
            f"which has {_free_memory(devices) / 2**30:.1f} GiB to spare: lower the landscape's "
            f'dimension or record, or use device="cpu"'
        )
    # No more streams than there is memory for.
    streams = int(min(_STREAMS, memory / tile_bytes))
    share = _RESIDENT if steady else -(-tiles // len(devices))
    most = min(share, _RESIDENT // max(teams) // LANES, memory / streams / tile_bytes)
    pairs = paired_numbers(asked) * LANES * 8
    if pairs:
        most = min(most, _PAIRED_BYTES / pairs)
    tiles_per_block = power_of_two(most)
    lanes = tiles_per_block * LANES

    @functools.cache
    def kernel(member: int) -> ModuleType:
        a = supply.arguments(member)
        source = kernel_source(members[member], cuda_kernels.machine(a, teams[member]))
        return load_kernel(source, cuda_kernels.functions(a))

    def feed(member: int) -> Feed:
        work, team = GROUP * step_cost(members[member]), teams[member]
        groups = min(_LARGEST_LAUNCH / (work * lanes), _LONGEST_LAUNCH * team / work)
        return Feed(kernel(member), supply.arguments(member), max(1, int(groups)), team)

    return GpuPlan(
        asked,
        feed,
        tiles,
        tiles_per_block,
        memory=streams * len(devices) * tiles_per_block * tile_bytes + len(devices) * inputs,
        workers=streams * len(devices),
        devices=devices,
        teams=teams,
    )


def team_size(study: Study) -> int:
    """Return how many threads share a trajectory: more, the fewer trajectories there are.

    It depends on the study alone, because the order of sums depends on it.
    """
    landscape = study.landscape.model
    if isinstance(landscape, Coupled) or any(probe.views for probe in study.probes):
        return 1
    fitting = [team for team in cuda_kernels.TEAMS if team <= landscape.dim]
    enough = [team for team in fitting if team * study.trajectories >= _ENOUGH]
    return min(enough, default=max(fitting))


def _free_memory(devices: Sequence[int]) -> float:
    """Return the bytes that each of the GPUs has to spare."""
    free = []
    for device in devices:
        with cuda.gpus[device]:
            free.append(cuda.current_context().get_memory_info().free)
    return _SHARE * min(free)
