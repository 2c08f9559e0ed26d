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
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# Neither nnan nor ninf: a diverging trajectory must reach infinity and be counted.
FASTMATH = frozenset({"contract", "reassoc", "nsz"})


def device(function: Callable[..., Any]) -> Any:
    """Compile `function` as a device function (decorator)."""
    return _compiled(function, forceinline=True)


def subroutine(function: Callable[..., Any]) -> Any:
    """Compile `function` as a device function that is called, not inlined (decorator).

    For those with loops of their own over lanes, which are compiled once wherever they are used.
    """
    return _compiled(function)


def _compiled(function: Callable[..., Any], **options: bool) -> Any:
    dispatcher = numba.njit(fastmath=set(FASTMATH), error_model="numpy", **options)(function)
    # A CUDA kernel that calls the function compiles it anew by these options. To CUDA, fast
    # mathematics of any kind is one where a tanh has three digits.
    dispatcher.targetoptions = {**dispatcher.targetoptions, "fastmath": False}
    return dispatcher


def _bitcast(source: types.Type, target: types.Type) -> Any:
    def bitcast(typing_context: Any, value: Any) -> Any:
        if value != source:
            return None

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(target))

        return target(source), generate

    return intrinsic(bitcast)


_PRODUCT = "mul.wide.u32 $0, $1, $2;"


def _is_cuda(context: Any) -> bool:
    """Return whether code is generated for a GPU."""
    return "cuda" in type(context).__module__


@intrinsic
def on_gpu(typing_context: Any) -> Any:
    """Return whether this is compiled for a GPU, as a constant."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(types.boolean, _is_cuda(context))

    return types.boolean(), generate


@intrinsic
def rint(typing_context: Any, value: Any) -> Any:
    """Return the nearest integer, a tie to the even one; NumPy's is not known to CUDA."""
    if not isinstance(value, types.Float):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        real = arguments[0].type
        if _is_cuda(context):
            # LLVM's function is not known to NVVM; this one is of its own library.
            name = "__nv_rintf" if value == types.float32 else "__nv_rint"
            function = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(real, [real]), name
            )
        else:
            function = builder.module.declare_intrinsic("llvm.rint", [real])
        return builder.call(function, arguments)

    return value(value), generate


@intrinsic
def word_product(typing_context: Any, a: Any, b: Any) -> Any:
    """Return the product of two uint64 below 2^32."""
    if (a, b) != (types.uint64, types.uint64):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not _is_cuda(context):
            return builder.mul(*arguments)
        # A GPU multiplies words at once and numbers of 64 bits in three instructions, and its
        # compiler does not see that these are words.
        word, wide = ir.IntType(32), ir.IntType(64)
        product = ir.InlineAsm(ir.FunctionType(wide, [word, word]), _PRODUCT, "=l,r,r")
        return builder.call(product, [builder.trunc(argument, word) for argument in arguments])

    return types.uint64(a, b), generate


float_to_bits32 = _bitcast(types.float32, types.int32)
bits_to_float32 = _bitcast(types.int32, types.float32)
float_to_bits64 = _bitcast(types.float64, types.int64)
bits_to_float64 = _bitcast(types.int64, types.float64)
