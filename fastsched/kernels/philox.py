"""Counter-based random numbers: Philox4x32-10 and standard normals.

Every number is a pure function of (seed, trajectory, step, coordinate, stream), so any
chunking, thread count, restart or machine draws the same ones.

Source: Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011
(Philox4x32-10, verified against the known-answer vectors of the Random123 library); Box &
Muller, "A note on the generation of random normal deviates", Ann. Math. Stat. 29 (1958).
"""

from __future__ import annotations

import math

import numpy as np

from fastsched.kernels.device import device, word_product
from fastsched.kernels.math import (
    cos_sin_double,
    cos_sin_single,
    log_double,
    log_single,
)

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)

# The fourth counter word: what the numbers are for.
STREAM_NOISE = 0
STREAM_START = 1
STREAM_BATCH = 2
# Set on the stream word of the second block, which holds the low halves of the
# double-precision uniforms; the high halves are the single-precision words themselves.
LOW_WORDS = 0x80000000

_U = np.uint32
_M0 = np.uint64(MULTIPLIERS[0])
_M1 = np.uint64(MULTIPLIERS[1])
_SHIFT = np.uint64(32)
_LOW_WORDS = np.uint32(LOW_WORDS)
_HALF_32 = np.float32(0.5)
_MINUS_TWO_32 = np.float32(-2.0)
_F = np.float32
_D = np.float64
_BITS_32 = np.int32(32)
_BITS_64 = np.int64(32)
_ULP_64 = np.float64(2.0**-32)


def round_keys(seed: int) -> tuple[np.uint32, ...]:
    """Return the 20 key words of the ten rounds for a 64-bit `seed`."""
    low, high = seed & 0xFFFFFFFF, seed >> 32
    return tuple(
        np.uint32((word + k * weyl) & 0xFFFFFFFF)
        for k in range(ROUNDS)
        for word, weyl in ((low, WEYL[0]), (high, WEYL[1]))
    )


@device
def _round(a, b, c, d, key0, key1):
    p = word_product(np.uint64(a), _M0)
    q = word_product(np.uint64(c), _M1)
    return _U(q >> _SHIFT) ^ b ^ key0, _U(q), _U(p >> _SHIFT) ^ d ^ key1, _U(p)


@device
def philox(a, b, c, d, keys):
    """Return the four random words of the counter (a, b, c, d), all uint32.

    Parameters
    ----------
    a, b, c, d : uint32
        The counter: coordinate, group of four steps, trajectory, stream; in the stream of
        batches the second word is the step, and the first counts what the step draws.
    keys : tuple of 20 uint32
        The key of each round, from `round_keys`.
    """
    a, b, c, d = _round(a, b, c, d, keys[0], keys[1])
    a, b, c, d = _round(a, b, c, d, keys[2], keys[3])
    a, b, c, d = _round(a, b, c, d, keys[4], keys[5])
    a, b, c, d = _round(a, b, c, d, keys[6], keys[7])
    a, b, c, d = _round(a, b, c, d, keys[8], keys[9])
    a, b, c, d = _round(a, b, c, d, keys[10], keys[11])
    a, b, c, d = _round(a, b, c, d, keys[12], keys[13])
    a, b, c, d = _round(a, b, c, d, keys[14], keys[15])
    a, b, c, d = _round(a, b, c, d, keys[16], keys[17])
    return _round(a, b, c, d, keys[18], keys[19])


@device
def _normal_pair_single(radius_word, angle_word):
    log = log_single(_F(radius_word) + _HALF_32, _BITS_32)
    radius = math.sqrt(_MINUS_TWO_32 * log)
    cosine, sine = cos_sin_single(angle_word)
    return radius * cosine, radius * sine


@device
def _normal_pair_double(radius_word, radius_low, angle_word, angle_low):
    uniform = _D(radius_word) + (_D(radius_low) + 0.5) * _ULP_64
    radius = math.sqrt(-2.0 * log_double(uniform, _BITS_64))
    cosine, sine = cos_sin_double(angle_word, _D(angle_low) * _ULP_64)
    return radius * cosine, radius * sine


@device
def normals_single(coordinate, group, trajectory, stream, keys):
    """Return the normals of a coordinate for steps 4 group ... 4 group + 3, float32.

    Box-Muller with 32-bit radius and angle: |z| reaches 6.76.
    """
    a, b, c, d = philox(coordinate, group, trajectory, stream, keys)
    z0, z1 = _normal_pair_single(a, b)
    z2, z3 = _normal_pair_single(c, d)
    return z0, z1, z2, z3


@device
def normals_double(coordinate, group, trajectory, stream, keys):
    """Return the normals of a coordinate for steps 4 group ... 4 group + 3, float64.

    Radius and angle have 64 bits whose high halves are those of `normals_single`: double
    precision refines the same random numbers, it does not draw others. |z| reaches 9.5.
    """
    a, b, c, d = philox(coordinate, group, trajectory, stream, keys)
    e, f, g, h = philox(coordinate, group, trajectory, np.uint32(stream | _LOW_WORDS), keys)
    z0, z1 = _normal_pair_double(a, e, b, f)
    z2, z3 = _normal_pair_double(c, g, d, h)
    return z0, z1, z2, z3
