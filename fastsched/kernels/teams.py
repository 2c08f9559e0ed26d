"""Threads of a GPU that share a trajectory: who each of them is, and how their sums meet.

A team is a warp, which sums by shuffles, or a block of `BLOCK` threads, whose warps meet in
shared memory. Every thread of a team gets the same bits, in an order that never changes.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import config, cuda

WARP = 32
BLOCK = 64 if config.ENABLE_CUDASIM else 256

_WARPS = BLOCK // WARP

SHARED_BYTES = 8 * _WARPS
"""The shared memory in which a block's warps meet."""

_EVERYONE = 0xFFFFFFFF


@cuda.jit(device=True)
def warp_rank():
    """Return the number of this thread in its warp."""
    return cuda.threadIdx.x % WARP


@cuda.jit(device=True)
def block_rank():
    """Return the number of this thread in its block."""
    return cuda.threadIdx.x


@cuda.jit(device=True)
def block_wait():
    """Wait for the other threads of the block."""
    cuda.syncthreads()


if config.ENABLE_CUDASIM:
    # The simulator knows no warps: its threads meet block by block.
    @cuda.jit(device=True)
    def warp_wait():
        """Wait for the other threads of the warp."""
        cuda.syncthreads()

    @cuda.jit(device=True)
    def warp_sum(value):
        """Return the sum of the warp's values, float64."""
        shared = cuda.shared.array(1024, np.float64)
        shared[cuda.threadIdx.x] = value
        cuda.syncthreads()
        total = 0.0
        first = cuda.threadIdx.x - cuda.threadIdx.x % WARP
        for k in range(first, first + WARP):
            total += shared[k]
        cuda.syncthreads()
        return total

else:

    @cuda.jit(device=True)
    def warp_wait():
        """Wait for the other threads of the warp."""
        cuda.syncwarp(_EVERYONE)

    @cuda.jit(device=True)
    def warp_sum(value):
        """Return the sum of the warp's values, float64."""
        value += cuda.shfl_xor_sync(_EVERYONE, value, 16)
        value += cuda.shfl_xor_sync(_EVERYONE, value, 8)
        value += cuda.shfl_xor_sync(_EVERYONE, value, 4)
        value += cuda.shfl_xor_sync(_EVERYONE, value, 2)
        return value + cuda.shfl_xor_sync(_EVERYONE, value, 1)


@cuda.jit(device=True)
def block_sum(value):
    """Return the sum of the block's values, float64."""
    # Of the size that the launch gives: CUDA links no function with an array of its own twice.
    partial = cuda.shared.array(0, numba.float64)
    value = warp_sum(value)
    if cuda.threadIdx.x % WARP == 0:
        partial[cuda.threadIdx.x // WARP] = value
    cuda.syncthreads()
    total = 0.0
    for k in range(_WARPS):
        total += partial[k]
    cuda.syncthreads()
    return total
