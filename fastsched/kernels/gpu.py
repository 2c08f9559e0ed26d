"""A GPU's memory and device functions, or those of Numba's simulator of one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, cuda
from numpy.typing import NDArray

from fastsched.disk_cache import cached

SIMULATED = bool(config.ENABLE_CUDASIM)

THREADS = 4 if SIMULATED else 128
"""Threads of a block, where no other number is needed. Those of the simulator are slow."""


def device(function: Callable[..., Any]) -> Any:
    """Compile `function` as a device function for kernels of GPUs only (decorator)."""
    options = {} if SIMULATED else {"forceinline": True}
    return cuda.jit(device=True, **options)(function)


def blocks(threads: int) -> int:
    """Return how many blocks have so many threads."""
    return -(-threads // THREADS)


class Stream:
    """A stream of the current device, and the memory that only it uses.

    Memory is kept by name and used again: to give it back makes all streams wait. Copies are the
    stream's own for the same reason.

    Attributes
    ----------
    handle : numba.cuda.stream
        To launch kernels with.
    """

    def __init__(self) -> None:
        self.handle = cuda.stream()
        self._memory: dict[Any, Any] = {}

    def empty(self, name: Any, shape: tuple[int, ...], kind: Any) -> Any:
        """Return the array of a name, uninitialised."""
        size, dtype = math.prod(shape), np.dtype(kind)
        memory = self._memory.get((name, dtype))
        if memory is None or memory.size < size:
            memory = np.empty(size, dtype) if SIMULATED else cuda.device_array(size, dtype)
            self._memory[name, dtype] = memory
        return memory[:size].reshape(shape)

    def unknown(self, name: Any, shape: tuple[int, ...]) -> Any:
        """Return the array of a name, all NaN."""
        array = self.empty(name, shape, np.float64)
        if SIMULATED:
            array.fill(np.nan)
        elif array.size:
            _forget[blocks(array.size), THREADS, self.handle](array.reshape(array.size))
        return array

    def uploaded(self, name: Any, values: NDArray[Any]) -> Any:
        """Return the array of a name with these values."""
        array = self.empty(name, values.shape, values.dtype)
        if SIMULATED:
            array[...] = values
        elif array.size:
            array.copy_to_device(np.ascontiguousarray(values), stream=self.handle)
        return array

    def downloaded(self, array: Any) -> NDArray[Any]:
        """Return a copy of a device array, once the work of the stream is done."""
        if SIMULATED:
            return array.copy()
        result = array.copy_to_host(stream=self.handle)
        self.handle.synchronize()
        return result


@cached(cuda.jit)
def _forget(array):
    k = cuda.grid(1)
    if k < array.size:
        array[k] = np.nan


def uploaded(values: Any) -> Any:
    """Return nested tuples with the arrays in them copied to the current device."""
    if isinstance(values, np.ndarray):
        return values.copy() if SIMULATED else cuda.to_device(np.ascontiguousarray(values))
    if isinstance(values, tuple):
        parts = [uploaded(part) for part in values]
        return type(values)(*parts) if hasattr(values, "_fields") else tuple(parts)
    return values
