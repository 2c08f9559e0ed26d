"""How device functions are made: small jitted functions that run on every machine.

A device function works on scalars (and on arrays it indexes with scalars). The CPU compiler
inlines it into the loop over lanes, where LLVM turns it into vector code; a CUDA kernel calls
the same function with one lane per thread. Calls that are not inlined stop the loop
vectoriser, hence `forceinline`, which costs a fifth of the compile time of Numba's own
`inline="always"`.

Single-precision code must not meet a Python float or an `int64` in arithmetic: Numba would
promote to double. Constants are therefore typed, and `uint32` results are cast back after
every operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba import types
from numba.extending import intrinsic

# Neither nnan nor ninf: a diverging trajectory must reach infinity and be counted.
FASTMATH = frozenset({"contract", "reassoc", "nsz"})


def device(function: Callable[..., Any]) -> Any:
    """Compile `function` as a device function (decorator)."""
    return numba.njit(forceinline=True, fastmath=set(FASTMATH), error_model="numpy")(function)


def subroutine(function: Callable[..., Any]) -> Any:
    """Compile `function` as a device function that is called, not inlined (decorator).

    For those with loops of their own over lanes, which are compiled once wherever they are used.
    """
    return numba.njit(fastmath=set(FASTMATH), error_model="numpy")(function)


def _bitcast(source: types.Type, target: types.Type) -> Any:
    def bitcast(typing_context: Any, value: Any) -> Any:
        if value != source:
            return None

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(target))

        return target(source), generate

    return intrinsic(bitcast)


float_to_bits32 = _bitcast(types.float32, types.int32)
bits_to_float32 = _bitcast(types.int32, types.float32)
float_to_bits64 = _bitcast(types.float64, types.int64)
bits_to_float64 = _bitcast(types.int64, types.float64)
