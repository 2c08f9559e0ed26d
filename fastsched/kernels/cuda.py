"""Trajectories on a GPU: the text of the kernel, memory, launches, streams.

The kernel calls the same `start`, `advance` and `keep` as that of the processor, one trajectory
in each call. A thread has a trajectory of its own, whose numbers lie next to those of the next
thread; or a team of threads shares one, and the coordinates lie next to each other. Every host
thread drives a stream of its own, so that one block's statistics are taken while another runs.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import cuda
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from fastsched.errors import FastschedError
from fastsched.kernels import gpu
from fastsched.kernels.body import GROUP, Arguments, Feed, Machine, Space
from fastsched.kernels.cuda_rows import CudaRows
from fastsched.kernels.parts import tuple_text
from fastsched.kernels.reduce import LANES
from fastsched.kernels.teams import BLOCK, SHARED_BYTES, WARP

TEAMS = {1: "", WARP: "warp", BLOCK: "block"}
"""The threads that may share a trajectory, and what such a team is called."""

_IMPORTS = """\
from numba import cuda
from fastsched.kernels.gpu import device, device as subroutine"""

_TEAM_IMPORTS = """
from fastsched.kernels.teams import {team}_rank as team_rank, {team}_sum as team_sum
from fastsched.kernels.teams import {team}_wait as team_wait"""

_KERNEL = '''

@cuda.jit(fastmath=True, cache={{cache}})
def run_lanes(trajectory, begin, end, lanes, arrays):
    """Take groups begin ... end - 1 of trajectories trajectory ... trajectory + lanes - 1."""
    state, scratch, constants, start_moments, table, keys = arrays[:6]
    data, own, ledger, observed, kept = arrays[6:]
    lane = {lane}
    if lane >= lanes:
        return
    state = {state}
    scratch = {scratch}
    data = {data}
    own = {own}
    if begin == 0:
        start(0, 1, trajectory + lane, state, scratch, constants, start_moments, table, keys,
              data, own, ledger, observed, lane)
    advance(0, 1, trajectory + lane, begin, end, state, scratch, constants, table, keys, data,
            own, ledger, observed, lane)
{keep}
'''

_KEEP = "    keep(0, 1, ledger, state, scratch[2], kept, lane)"
_TEAM_KEEP = "    team_wait()\n    if team_rank() == 0:\n    " + _KEEP


def machine(arguments: Arguments, team: int) -> Machine:
    """Return what the text of a kernel says of a GPU, with so many threads to a trajectory."""
    alone = team == 1
    kernel = _KERNEL.format(
        lane="cuda.grid(1)" if alone else f"cuda.grid(1) // {team}",
        state=_own_part("state", arguments.state, alone),
        scratch=_scratch_text("scratch", arguments.scratch, alone),
        data=_values_text("data", arguments.data),
        own=tuple_text(
            _values_text(f"own[{k}]", part, f"own_{k}") for k, part in enumerate(arguments.own)
        ),
        keep=_KEEP if alone else _TEAM_KEEP,
    )
    imports = _IMPORTS if alone else _IMPORTS + _TEAM_IMPORTS.format(team=TEAMS[team])
    # Numba lets signed numbers count from the end, which costs a GPU three instructions.
    return Machine(imports, kernel, team, "np.uint64")


def _own_part(name: str, space: Space, alone: bool) -> str:
    """Return the expression of a trajectory's part of a space; see `_allocated`."""
    if not alone:
        return f"{name}[lane]"
    if space.by_lane:
        return f"{name}.T[lane : lane + 1]"
    return f"{name}[{':, ' * len(space.shape)}lane : lane + 1]"


def _scratch_text(name: str, scratch: Any, alone: bool, flat: bool = False) -> str:
    if not isinstance(scratch, Space):
        parts = (
            _scratch_text(f"{name}[{k}]", part, alone, flat=name == "scratch" and k == 0)
            for k, part in enumerate(scratch)
        )
        return tuple_text(parts)
    if not scratch.fixed:
        return _own_part(name, scratch, alone)
    size = max(1, math.prod(scratch.shape))
    return f"cuda.local.array({size if flat else (size, 1)}, np.{scratch.dtype})"


def _values_text(name: str, values: Sequence[Any], prefix: str = "data") -> str:
    """Return the expression of a tuple whose functions are globals of the module."""
    return tuple_text(
        f"{name}[{k}]" if isinstance(value, np.ndarray) else f"{prefix}_{k}"
        for k, value in enumerate(values)
    )


def functions(arguments: Arguments) -> dict[str, Any]:
    """Return the user's functions among the data, by the names they have in the kernel."""
    groups = {"data": arguments.data}
    groups |= {f"own_{k}": part for k, part in enumerate(arguments.own)}
    return {
        f"{prefix}_{k}": value
        for prefix, values in groups.items()
        for k, value in enumerate(values)
        if not isinstance(value, np.ndarray)
    }


class LaneRunner:
    """Runs trajectories on GPUs; each calling thread has a stream and work space of its own.

    Parameters
    ----------
    feed : function
        From the number of a member to its `Feed`; of a study alone it is 0.
    lanes : int
        The largest number of trajectories of a call to `run`, whole tiles.
    devices : sequence of int
        The GPUs; calling threads take them in turn.
    """

    def __init__(self, feed: Callable[[int], Feed], lanes: int, devices: Sequence[int]) -> None:
        self._feed = feed
        self._lanes = lanes
        self._next_device = itertools.cycle(devices)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._inputs: dict[tuple[int, int], tuple[Arguments, Any]] = {}
        self._kept = 2 * len(devices)

    def run(
        self,
        member: int,
        first_tile: int,
        count: int,
        proceed: Callable[[], bool],
        progress: Callable[[int], None],
    ) -> tuple[CudaRows, CudaRows] | None:
        """As `TileRunner.run`; the numbers stay on the GPU."""
        kernel, a, groups_per_call, team = self._feed(member)
        stream, arrays = self._workspace(member, a, team)
        tiles = -(-count // LANES)
        threads = max(team, gpu.THREADS)
        blocks = -(-count * team // threads)
        launch = kernel.run_lanes[blocks, threads, stream.handle, SHARED_BYTES]
        for begin in range(0, a.groups, groups_per_call):
            if not proceed():
                return None
            end = min(begin + groups_per_call, a.groups)
            try:
                launch(first_tile * LANES, begin, end, count, arrays)
            except NumbaError as error:
                if not functions(a):
                    raise
                raise FastschedError(
                    "a function of the study cannot be compiled for the GPU, where functions make "
                    'no arrays: write it in loops over elements, or use device="cpu"'
                ) from error
            stream.handle.synchronize()
            progress(tiles * (end - begin) * GROUP * LANES * a.constants.shape[1])
        *_, observed, kept = arrays
        rows = observed.shape[0] * observed.shape[1]
        return (
            CudaRows(observed.reshape(rows, self._lanes), count, stream),
            CudaRows(kept, count, stream),
        )

    def _workspace(self, member: int, a: Arguments, team: int) -> tuple[Any, Any]:
        local = self._local
        if not hasattr(local, "stream"):
            with self._lock:
                local.device = next(self._next_device)
            cuda.select_device(local.device)
            local.stream, local.arguments = gpu.Stream(), None
        if local.arguments is not a:
            stream = local.stream
            recorded = len(a.ledger.readings), a.records, self._lanes
            observed = stream.unknown("observed", recorded)
            kept = stream.unknown("kept", (len(a.ledger.kept), self._lanes))
            space = self._allocated((a.state, a.scratch), stream, team, ("space",))
            local.arrays = (*space, *self._uploaded(local.device, member, a), observed, kept)
            local.arguments = a
        return local.stream, local.arrays

    def _uploaded(self, device: int, member: int, a: Arguments) -> Any:
        """Return a member's arrays on a GPU, where those of a few members are kept."""
        with self._lock:
            known, arrays = self._inputs.get((device, member), (None, None))
            if known is not a:
                parts = _arrays(a.data), tuple(_arrays(part) for part in a.own)
                arrays = gpu.uploaded(
                    (a.constants, a.start_moments, a.table, a.keys, *parts, a.ledger)
                )
                self._inputs[device, member] = a, arrays
                while len(self._inputs) > self._kept:
                    del self._inputs[next(iter(self._inputs))]
            return arrays

    def _allocated(self, scratch: Any, stream: gpu.Stream, team: int, name: tuple[Any, ...]) -> Any:
        """Return arrays on the GPU for nested tuples of spaces, each with a name of its own.

        Where a trajectory has one thread, lanes are the last axis, so that neighbouring threads
        meet neighbouring numbers; where it has a team, the first, and the last has one lane.
        """
        if not isinstance(scratch, Space):
            return tuple(
                self._allocated(part, stream, team, (*name, k)) for k, part in enumerate(scratch)
            )
        if scratch.fixed:
            shape: tuple[int, ...] = (0,)
        elif team > 1:
            shape = self._lanes, *scratch.shape, 1
        else:
            shape = *scratch.shape, self._lanes
        return stream.empty(name, shape, scratch.dtype)


def _arrays(values: Sequence[Any]) -> tuple[NDArray[Any], ...]:
    """Return the arrays; a function's place is taken by none, as it is part of the kernel."""
    return tuple(v if isinstance(v, np.ndarray) else np.zeros(0) for v in values)
