"""Elementary functions that LLVM can vectorise: logarithm, and cosine and sine.

Numba's own `log`, `cos` and `sin` call a scalar library and cost eight times more in a vector
loop. The polynomials are near-minimax (Chebyshev) fits made with mpmath at 40 digits; the
largest relative errors are 1e-7 in single and 3e-16 in double precision.
"""

from __future__ import annotations

import numpy as np

from fastsched.kernels.device import (
    bits_to_float32,
    bits_to_float64,
    device,
    float_to_bits32,
    float_to_bits64,
    rint,
)

_F = np.float32
_D = np.float64
_I = np.int32
_L = np.int64

# Bits of sqrt(1/2): a mantissa in [sqrt(1/2), sqrt(2)) keeps the polynomial short.
_SQRT_HALF_32 = np.int32(0x3F3504F3)
_SQRT_HALF_64 = np.int64(0x3FE6A09E667F3BCD)
_LN2_32 = np.float32(0.6931471805599453)
_LN2_64 = np.float64(0.6931471805599453)

# log(1 + t) = t + t^2 P(t)
_LOG_32 = tuple(
    np.float32(c)
    for c in (
        -0.4999999713,
        0.3333367061,
        -0.2500114768,
        0.1997204971,
        -0.1658848853,
        0.1483478684,
        -0.1415964701,
        0.08787265491,
    )
)
# log(m) = 2 s + s z Q(z), s = (m - 1)/(m + 1), z = s^2
_LOG_64 = (
    0.666666666666666665,
    0.40000000000000877,
    0.285714285708036118,
    0.222222223917139174,
    0.181817956401329063,
    0.153862397028146582,
    0.132687731386568852,
    0.130866261478401021,
)
# sin(a) = a + a z S(z), cos(a) = 1 - z/2 + z^2 C(z), z = a^2, |a| <= pi/4
_SIN_32 = tuple(np.float32(c) for c in (-0.1666666466, 0.00833274827, -0.0001958789088))
_COS_32 = tuple(np.float32(c) for c in (0.04166666466, -0.001388830304, 0.00002454794209))
_SIN_64 = (
    -0.166666666666666667,
    0.00833333333333333149,
    -0.000198412698412650649,
    2.75573192193391665e-6,
    -2.50521062324475773e-8,
    1.60585316189861468e-10,
    -7.58669711770691798e-13,
)
_COS_64 = (
    0.0416666666666666667,
    -0.00138888888888888879,
    0.0000248015873015846464,
    -2.75573192214028244e-7,
    2.08767557910804238e-9,
    -1.14704608876099591e-11,
    4.74587190204329154e-14,
)

# sin(2 pi r) = r T(r^2), |r| <= 1/4
_TURN = (
    6.28318530717958576,
    -41.3417022403982866,
    81.6052492755797642,
    -76.7058596896286727,
    42.0586899539509386,
    -15.0945061407342913,
    3.8173656334691352,
    -0.692506701072071734,
)

_HALF_32 = np.float32(0.5)
_ONE_32 = np.float32(1.0)
_RADIANS_32 = np.float32(np.pi / 2 * 2.0**-32)
_RADIANS_64 = np.float64(np.pi / 2 * 2.0**-32)
_SWAP = np.int32(0x40000000)


@device
def log_single(x, shift):
    """Return log(x * 2**-shift) for a positive normal float32 x and an int32 shift."""
    bits = float_to_bits32(x)
    exponent = _I(_I(bits - _SQRT_HALF_32) >> _I(23))
    t = bits_to_float32(_I(bits - _I(exponent << _I(23)))) - _ONE_32
    p = _LOG_32[7]
    p = _LOG_32[6] + t * p
    p = _LOG_32[5] + t * p
    p = _LOG_32[4] + t * p
    p = _LOG_32[3] + t * p
    p = _LOG_32[2] + t * p
    p = _LOG_32[1] + t * p
    p = _LOG_32[0] + t * p
    return _F(_I(exponent - shift)) * _LN2_32 + (t + t * t * p)


@device
def log_double(x, shift):
    """Return log(x * 2**-shift) for a positive normal float64 x and an int64 shift."""
    bits = float_to_bits64(x)
    exponent = (bits - _SQRT_HALF_64) >> _L(52)
    m = bits_to_float64(bits - (exponent << _L(52)))
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = _LOG_64[7]
    p = _LOG_64[6] + z * p
    p = _LOG_64[5] + z * p
    p = _LOG_64[4] + z * p
    p = _LOG_64[3] + z * p
    p = _LOG_64[2] + z * p
    p = _LOG_64[1] + z * p
    p = _LOG_64[0] + z * p
    return _D(exponent - shift) * _LN2_64 + (2.0 * s + s * z * p)


@device
def cos_sin_single(word):
    """Return a point of the unit circle, uniform in the 32-bit `word`, in float32.

    The low 30 bits, as a signed number, are the angle in [-pi/4, pi/4); bit 30 exchanges the
    coordinates and bit 31 flips both signs, which together reach every angle once.
    """
    w = _I(word)
    a = _F(_I(w << _I(2))) * _RADIANS_32
    z = a * a
    s = a + a * z * (_SIN_32[0] + z * (_SIN_32[1] + z * _SIN_32[2]))
    c = _ONE_32 - _HALF_32 * z + z * z * (_COS_32[0] + z * (_COS_32[1] + z * _COS_32[2]))
    swap = _I(w & _SWAP) != _I(0)
    first = s if swap else c
    second = c if swap else s
    sign = _ONE_32 if w >= _I(0) else -_ONE_32
    return first * sign, second * sign


@device
def cos_sin_double(word, fraction):
    """Return a point of the unit circle, uniform in `word` + `fraction`, in float64.

    As `cos_sin_single`, the angle refined by a float64 `fraction` in [0, 1) of the last bit.
    """
    w = _I(word)
    a = (_D(_I(w << _I(2))) + 4.0 * fraction) * _RADIANS_64
    z = a * a
    p = _SIN_64[5] + z * _SIN_64[6]
    p = _SIN_64[4] + z * p
    p = _SIN_64[3] + z * p
    p = _SIN_64[2] + z * p
    p = _SIN_64[1] + z * p
    p = _SIN_64[0] + z * p
    s = a + a * z * p
    q = _COS_64[5] + z * _COS_64[6]
    q = _COS_64[4] + z * q
    q = _COS_64[3] + z * q
    q = _COS_64[2] + z * q
    q = _COS_64[1] + z * q
    q = _COS_64[0] + z * q
    c = 1.0 - 0.5 * z + z * z * q
    swap = _I(w & _SWAP) != _I(0)
    first = s if swap else c
    second = c if swap else s
    sign = 1.0 if w >= _I(0) else -1.0
    return first * sign, second * sign


@device
def cos_turns(t):
    """Return cos(2 pi t) in the type of t, float32 or float64; cos_turns(t - 1/4) is the sine.

    The absolute errors are 2e-7 and 5e-16 for a t of less than one turn; beyond that t's own
    rounding dominates.
    """
    real = type(t)
    r = real(0.25) - abs(t - rint(t))
    z = r * r
    p = real(_TURN[7])
    p = real(_TURN[6]) + z * p
    p = real(_TURN[5]) + z * p
    p = real(_TURN[4]) + z * p
    p = real(_TURN[3]) + z * p
    p = real(_TURN[2]) + z * p
    p = real(_TURN[1]) + z * p
    return r * (real(_TURN[0]) + z * p)
