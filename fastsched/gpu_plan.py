"""From a study to teams, tiles and blocks on GPUs, within their memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import cuda

from fastsched.errors import FastschedError
from fastsched.feed import kernel_source, make_arguments
from fastsched.kernels import cuda as cuda_kernels
from fastsched.kernels import gpu
from fastsched.kernels.body import GROUP, Arguments
from fastsched.kernels.cache import load_kernel
from fastsched.kernels.reduce import LANES
from fastsched.landscapes import Coupled
from fastsched.plan import Plan, Runner, step_cost
from fastsched.study import Study

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

# The part of a GPU's free memory that is used.
_SHARE = 0.8


@dataclass(frozen=True, eq=False)
class GpuPlan(Plan):
    """How a study runs on GPUs; see `Plan`.

    Attributes
    ----------
    devices : sequence of int
        The GPUs.
    team : int
        Threads that share a trajectory.
    """

    devices: Sequence[int]
    team: int

    @property
    def memory(self) -> int:
        block = self.tiles_per_block * LANES * _lane_bytes(self.arguments)
        return self.workers * block + len(self.devices) * _input_bytes(self.arguments)

    @property
    def machine(self) -> str:
        return f"cuda with {self.team} threads to a trajectory"

    def runner(self) -> Runner:
        machine = cuda_kernels.machine(self.arguments, self.team)
        return cuda_kernels.LaneRunner(
            load_kernel(kernel_source(self.study, machine), cuda_kernels.functions(self.arguments)),
            self.arguments,
            self.team,
            self.tiles_per_block * LANES,
            self.groups_per_call,
            self.devices,
        )


def make_gpu_plan(study: Study, devices: Sequence[int], steady: bool = False) -> GpuPlan:
    """Return the plan of a study for some GPUs.

    Parameters
    ----------
    study : Study
    devices : sequence of int
    steady : bool, default False
        Whether the blocks depend on neither the GPUs nor the number of trajectories.

    Raises
    ------
    FastschedError
        The run would need more memory than a GPU has.
    """
    arguments = make_arguments(study)
    team = team_size(study)
    tiles = -(-study.trajectories // LANES)
    memory = _free_memory(devices) - _input_bytes(arguments)
    tile_bytes = LANES * _lane_bytes(arguments)
    if tile_bytes > memory:
        raise FastschedError(
            f"the study needs {(tile_bytes + _input_bytes(arguments)) / 2**30:.1f} GiB on the GPU, "
            f"which has {_free_memory(devices) / 2**30:.1f} GiB to spare: lower the landscape's "
            f'dimension or record, or use device="cpu"'
        )
    # No more streams than there is memory for.
    streams = int(min(_STREAMS, memory / tile_bytes))
    share = _RESIDENT if steady else -(-tiles // len(devices))
    most = int(min(share, _RESIDENT // team // LANES, memory / streams / tile_bytes))
    tiles_per_block = 1 << (most.bit_length() - 1)
    work = GROUP * step_cost(study)
    return GpuPlan(
        study=study,
        arguments=arguments,
        tiles=tiles,
        tiles_per_block=tiles_per_block,
        groups_per_call=max(
            1,
            int(
                min(
                    _LARGEST_LAUNCH / (work * tiles_per_block * LANES),
                    _LONGEST_LAUNCH * team / work,
                )
            ),
        ),
        workers=streams * len(devices),
        devices=devices,
        team=team,
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


def _lane_bytes(arguments: Arguments) -> int:
    """Return the bytes of a trajectory: state, numbers written down, and their moments' nodes."""
    return arguments.lane_bytes + 16 * max(1, arguments.trajectory_numbers)


def _input_bytes(arguments: Arguments) -> int:
    return sum(a.nbytes for a in _arrays_in(tuple(vars(arguments).values())))


def _arrays_in(values: Any) -> list[np.ndarray[Any, Any]]:
    if isinstance(values, np.ndarray):
        return [values]
    return [a for part in values for a in _arrays_in(part)] if isinstance(values, tuple) else []


def _free_memory(devices: Sequence[int]) -> float:
    """Return the bytes that each of the GPUs has to spare."""
    free = []
    for device in devices:
        with cuda.gpus[device]:
            free.append(cuda.current_context().get_memory_info().free)
    return _SHARE * min(free)
