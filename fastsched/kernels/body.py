"""What the loops of a tile have in common: their arguments, and how they are put together.

The work of a trajectory is written once, in `advance`, out of the device functions of a
landscape, an optimizer and the measures. The CPU kernel calls it with the lanes of a tile,
which LLVM turns into vector code; a CUDA kernel calls it with one lane per thread. There are
two loops: `separable` for landscapes whose gradient of a coordinate needs that coordinate
only, and `coupled` for all others. Both are generated as text; `cache` says why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels.reduce import LANES

PRECISIONS: dict[str, Any] = {"single": np.float32, "double": np.float64}

# Steps per Philox block, which holds the normals of a coordinate for four steps.
GROUP = 4

# Coordinates per single-precision partial sum: longer sums go on in double precision.
CHUNK = 64


@dataclass(frozen=True, eq=False)
class Arguments:
    """What a kernel is fed with, the same for every tile, in the study's precision.

    Attributes
    ----------
    constants : array of shape (1 + constants, d)
        The landscape's origin, and the constants of a separable landscape.
    start_moments : array of shape (2, d)
        Mean displacement from the origin, and standard deviation, of the start.
    table : array of shape (steps, columns)
        Per step what the landscape needs to know of it, the optimizer's coefficients and those
        of the measures' memories. Separable landscapes have it filled up to whole groups.
    keys : tuple of 20 uint32
        Philox round keys.
    record_at : int32 array of shape (groups * GROUP + 1,)
        The row of each step in the record, or -1.
    data : tuple
        The arrays of a coupled landscape.
    scratch : tuple of (shape, dtype)
        Work space of the kernel, in the order it takes them.
    coupled : bool
        Which of the two loops it is.
    slots, measures, records : int
        Numbers of state of a coordinate besides its displacement (the optimizer's and the
        measures'), recorded numbers, and recorded steps.
    """

    constants: NDArray[np.floating]
    start_moments: NDArray[np.floating]
    table: NDArray[np.floating]
    keys: tuple[np.uint32, ...]
    record_at: NDArray[np.int32]
    data: tuple[Any, ...]
    scratch: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]
    coupled: bool
    slots: int
    measures: int
    records: int

    @property
    def groups(self) -> int:
        """Number of groups of four steps."""
        return -(-self.table.shape[0] // GROUP)

    @property
    def state_shape(self) -> tuple[int, int, int]:
        """Shape of a tile's state: displacement and slots, coordinates, lanes."""
        return 1 + self.slots, self.constants.shape[1], LANES

    @property
    def tile_bytes(self) -> int:
        """Bytes of a tile's state and work space."""
        scratch = sum(math.prod(shape) * dtype.itemsize for shape, dtype in self.scratch)
        return int(np.prod(self.state_shape)) * self.table.itemsize + scratch


@dataclass(frozen=True)
class Measured:
    """What a measure asks of the kernel: a loss of the iterate, or of what it remembers.

    Attributes
    ----------
    memory : device function or None
        `(before, after, memory, *coefficients) -> memory`, whose loss is then recorded.
    coefficients : int
        Number of the memory's coefficients.
    readout : device function or None
        What a coupled landscape records instead of its loss.
    """

    memory: Any = None
    coefficients: int = 0
    readout: Any = None


@dataclass(frozen=True)
class Names:
    """The names of a generated loop's variables, and the update of a coordinate by them.

    Attributes
    ----------
    imports : list of str
        Statements that import the device functions.
    state : list of str
        Displacement, optimizer's state, memories.
    memories : list of str or None
        For each measure its memory's name, or None.
    """

    imports: list[str]
    state: list[str]
    memories: list[str | None]

    def update(self, coefficients: Sequence[str], measured: Sequence[Measured]) -> list[str]:
        """Return statements that take a step: `g` is the gradient, `origin` the origin."""
        own = [name for name in self.state if name not in self.memories]
        count = len(coefficients) - sum(m.coefficients for m in measured)
        rest = list(coefficients[count:])
        call = f"update({', '.join([*own, 'origin', 'g', *coefficients[:count]])})"
        lines = [f"{', '.join(own)}{',' if len(own) == 1 else ''} = {call}"]
        if any(self.memories):
            lines.insert(0, "before = x")
        for name, m in zip(self.memories, measured, strict=True):
            if name is not None:
                arguments = ["before", "x", name, *rest[: m.coefficients]]
                lines.append(f"{name} = memory_{name}({', '.join(arguments)})")
            del rest[: m.coefficients]
        return lines


def name_parts(update: Any, slots: int, measured: Sequence[Measured]) -> Names:
    """Return the names of what the optimizer and the measures bring into a loop."""
    memories = [f"w{j}" if m.memory is not None else None for j, m in enumerate(measured)]
    imports = [import_function(update, "update")]
    imports += [
        import_function(m.memory, f"memory_{name}")
        for name, m in zip(memories, measured, strict=True)
        if name is not None
    ]
    state = ["x", *(f"v{j}" for j in range(slots)), *filter(None, memories)]
    return Names(imports, state, memories)


def import_function(function: Any, name: str) -> str:
    """Return the statement that imports a device function, a global of its module."""
    return f"from {function.py_func.__module__} import {function.py_func.__name__} as {name}"


def indent(lines: Sequence[str], depth: int) -> str:
    """Return the lines as text, each after `depth` blanks."""
    return "\n".join(" " * depth + line for line in lines)
