"""Schedules that rise and fall."""

from __future__ import annotations

import math

import numpy as np

from fastsched.errors import choice, integer, real, reject
from fastsched.schedules.base import (
    Hidden,
    Schedule,
    Steps,
    Values,
    blend,
    half_cosine,
)
from fastsched.spec import spec


@spec
class Triangular(Schedule):
    r"""Cyclical rates: up and down in straight lines, again and again.

    .. math:: s(t) = \text{low} + (\text{high} - \text{low}) \, a \,
        \left(1 - \left|\frac{t \bmod 2h}{h} - 1\right|\right), \quad
        a = 1, \; 2^{-\lfloor t / 2h \rfloor}, \; \text{gamma}^t

    with h = half_cycle and a for the modes "triangular", "triangular2", "exp_range".

    Parameters
    ----------
    low, high : float
        Values at the ends of the first rise, low <= high.
    half_cycle : int
        Steps from low to high and from high to low, at least 1.
    mode : {"triangular", "triangular2", "exp_range"}, default "triangular"
        How the amplitude shrinks: not, by half each cycle, or by gamma each step.
    gamma : float, default 1
        Factor per step, greater than 0; only "exp_range" uses it, as in PyTorch.

    Raises
    ------
    FastschedError
        A parameter is not allowed.

    Notes
    -----
    Smith 2017, arXiv:1506.01186; PyTorch's `CyclicLR` with equal steps up and down.

    Examples
    --------
    >>> Triangular(0.0, 1.0, half_cycle=2, mode="triangular2").values(8).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.25, 0.5, 0.25]
    """

    low: float
    high: float
    half_cycle: int
    mode: str = "triangular"
    gamma: float = 1.0

    def __post_init__(self) -> None:
        low = real("low", self.low)
        self._set(
            low=low,
            high=real("high", self.high, minimum=low),
            half_cycle=integer("half_cycle", self.half_cycle, minimum=1, maximum=2**62),
            mode=choice("mode", self.mode, ("triangular", "triangular2", "exp_range")),
            gamma=real("gamma", self.gamma, above=0.0),
        )

    def _at(self, t: Steps) -> Values:
        cycle, position = np.divmod(t, 2 * self.half_cycle)
        height = 1.0 - np.abs(position / self.half_cycle - 1.0)
        if self.mode == "triangular2":
            height *= 0.5**cycle
        elif self.mode == "exp_range":
            height *= self.gamma**t
        return self.low + (self.high - self.low) * height


@spec
class WarmRestarts(Schedule):
    r"""Cosine cycles that start again (SGDR).

    .. math:: s(t) = \text{final} + \frac{\text{initial} \cdot \text{decay}^k - \text{final}}{2}
        \left(1 + \cos \frac{\pi (t - S_k)}{S_{k+1} - S_k}\right), \quad
        S_k = \text{period} \sum_{j < k} \text{multiplier}^j \le t < S_{k+1}

    Parameters
    ----------
    initial : float
        Value at the start of the first cycle.
    period : float
        Length of the first cycle in steps, at least 1, not necessarily whole.
    multiplier : float, default 1
        Length of a cycle over that of the one before, at least 1.
    final : float, default 0
        What each cycle tends to; with whole lengths no step has quite this value.
    decay : float, default 1
        Starting value of a cycle over that of the one before, greater than 0.

    Raises
    ------
    FastschedError
        A parameter is not allowed. Shrinking cycles (multiplier < 1) are not: they pile up at
        step period / (1 - multiplier).

    Notes
    -----
    Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5; for decay = 1 and whole numbers PyTorch's
    `CosineAnnealingWarmRestarts`. Keras' `m_mul` decays initial - final instead of initial.

    Examples
    --------
    >>> WarmRestarts(1.0, period=2, multiplier=2).values(7).round(3).tolist()
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    initial: float
    period: float
    multiplier: float = 1.0
    final: float = 0.0
    decay: float = 1.0

    def __post_init__(self) -> None:
        self._set(
            initial=real("initial", self.initial),
            period=real("period", self.period, minimum=1.0),
            multiplier=real("multiplier", self.multiplier, minimum=1.0),
            final=real("final", self.final),
            decay=real("decay", self.decay, above=0.0),
        )

    def _start(self, cycle: Values) -> Values:
        growth = self.multiplier - 1.0
        lengths = np.expm1(cycle * math.log1p(growth)) / growth if growth else cycle
        start = self.period * lengths
        whole = np.rint(start)
        # A restart meant for a whole step must not miss it by a rounding error.
        return np.where(np.abs(start - whole) <= 1e-12 * (1.0 + whole), whole, start)

    def _at(self, t: Steps) -> Values:
        growth = self.multiplier - 1.0
        elapsed = t / self.period
        cycle = np.floor(np.log1p(growth * elapsed) / math.log1p(growth) if growth else elapsed)
        cycle += self._start(cycle + 1.0) <= t
        start = self._start(cycle)
        u = (t - start) / (self._start(cycle + 1.0) - start)
        return blend(self.initial * self.decay**cycle, self.final, half_cosine(u))


@spec
class OneCycle(Schedule):
    r"""One rise to a peak and one longer fall to almost nothing.

    .. math:: s(t) = \text{peak} \cdot \begin{cases}
        f_s + (1 - f_s) \, w(t / p) & t \le p \\
        1 + (f_f - 1) \, w\left((t - p) / (\text{steps} - 1 - p)\right) & t > p
        \end{cases}, \qquad p = \text{warmup} \cdot \text{steps} - 1

    with w(u) = (1 - cos(pi u)) / 2 for "cosine" and u for "linear".

    Parameters
    ----------
    peak : float
        Largest value.
    steps : int
        Number of steps, rise included, at least 1; the final value is at t = steps - 1.
    warmup : float, default 0.3
        Fraction of the steps that rise, in [0, 1]; the peak is at t = warmup * steps - 1.
    start_factor : float, default 1/25
        Value at t = 0 over the peak, at least 0.
    final_factor : float, default 1e-4 * start_factor
        Final value over the peak, at least 0.
    shape : {"cosine", "linear"}, default "cosine"
        Form of both parts.

    Raises
    ------
    FastschedError
        A parameter is not allowed.

    Notes
    -----
    Smith & Topin 2017, arXiv:1708.07120, as PyTorch's `OneCycleLR` has it with its defaults:
    `div_factor` = 1 / start_factor, `final_div_factor` = start_factor / final_factor.
    Optax's `cosine_onecycle_schedule` peaks and ends a step later. When warmup * steps < 1 the
    peak lies before the first step. PyTorch also cycles the momentum, which is a schedule of its
    own here: see `from_torch`. The attribute `warmup` is the method; the fraction shows in the
    repr and in `to_dict()`.

    Examples
    --------
    >>> OneCycle(1.0, steps=10).values(11).round(4).tolist()
    [0.04, 0.52, 1.0, 0.9505, 0.8117, 0.6113, 0.3887, 0.1883, 0.0495, 0.0, 0.0]
    """

    peak: float
    steps: int
    warmup: Hidden[float] = Hidden(0.3)  # pyright: ignore[reportIncompatibleMethodOverride]
    start_factor: float = 1 / 25
    final_factor: float | None = None
    shape: str = "cosine"

    def __post_init__(self) -> None:
        start_factor = real("start_factor", self.start_factor, minimum=0.0)
        final_factor = 1e-4 * start_factor if self.final_factor is None else self.final_factor
        self._set(
            peak=real("peak", self.peak),
            steps=integer("steps", self.steps, minimum=1),
            warmup=real("warmup", vars(self)["warmup"], minimum=0.0, maximum=1.0),
            start_factor=start_factor,
            final_factor=real("final_factor", final_factor, minimum=0.0),
            shape=choice("shape", self.shape, ("cosine", "linear")),
        )

    def _at(self, t: Steps) -> Values:
        last = self.steps - 1
        top = vars(self)["warmup"] * self.steps - 1.0
        rise = t / top if top > 0 else np.ones(t.shape)
        fall = (t - top) / (last - top) if last > top else np.zeros(t.shape)
        rising = t <= top
        u = np.clip(np.where(rising, 1.0 - rise, fall), 0.0, 1.0)
        away = np.where(rising, self.start_factor, vars(self)["final_factor"])
        weight = half_cosine(u) if self.shape == "cosine" else 1.0 - u
        return self.peak * (weight + away * (1.0 - weight))


@spec
class WSD(Schedule):
    r"""Warm-up, stable, decay.

    .. math:: s(t) = \begin{cases}
        \text{peak} \cdot t / \text{warmup} & t < \text{warmup} \\
        \text{peak} & \text{warmup} \le t \le \text{steps} - \text{decay} \\
        \text{final} + (\text{peak} - \text{final}) \, w(u)
            & u = \min(1, 1 - (\text{steps} - t) / \text{decay}) > 0
        \end{cases}

    with w(u) = 1 - u for "linear", (1 + cos(pi u)) / 2 for "cosine", 1 - sqrt(u) for "sqrt";
    "exponential" is geometric, peak^(1 - u) final^u.

    Parameters
    ----------
    peak : float
        Value of the stable phase.
    steps : int
        Number of steps with warm-up and decay, at least 1; the final value is at t = steps.
    warmup : int, default 0
        Steps of the linear rise from 0; the peak is at t = warmup.
    decay : int, default 0
        Steps of the fall; warmup + decay <= steps. With 0 the peak is held and `final` unused.
    shape : {"linear", "cosine", "sqrt", "exponential"}, default "linear"
        Form of the fall.
    final : float, default 0
        Value from t = steps on; for "exponential" of the same sign as the peak, not 0.

    Raises
    ------
    FastschedError
        A parameter is not allowed, or warm-up and decay are longer than the steps together.

    Notes
    -----
    Hu et al. 2024, arXiv:2404.06395; "linear" and "sqrt": Hägele et al. 2024, arXiv:2405.18392.
    The attribute `warmup` is the method; the steps show in the repr and in `to_dict()`.

    Examples
    --------
    >>> WSD(1.0, steps=8, warmup=2, decay=4).values(10).tolist()
    [0.0, 0.5, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    peak: float
    steps: int
    warmup: Hidden[int] = Hidden(0)  # pyright: ignore[reportIncompatibleMethodOverride]
    decay: int = 0
    shape: str = "linear"
    final: float = 0.0

    def __post_init__(self) -> None:
        peak, final = real("peak", self.peak), real("final", self.final)
        steps = integer("steps", self.steps, minimum=1)
        warmup = integer("warmup", vars(self)["warmup"], minimum=0, maximum=steps)
        decay = integer("decay", self.decay, minimum=0)
        if warmup + decay > steps:
            reject("decay", decay, f"at most steps - warmup = {steps - warmup}")
        shape = choice("shape", self.shape, ("linear", "cosine", "sqrt", "exponential"))
        if shape == "exponential" and decay and not (peak > 0 < final or peak < 0 > final):
            reject("final", final, "not 0 and of the sign of the peak with shape='exponential'")
        self._set(peak=peak, steps=steps, warmup=warmup, decay=decay, shape=shape, final=final)

    def _at(self, t: Steps) -> Values:
        warmup, start = vars(self)["warmup"], self.steps - self.decay
        rise = np.minimum(t / warmup, 1.0) if warmup else np.ones(t.shape)
        if not self.decay:
            return self.peak * rise
        u = np.clip((t - start) / self.decay, 0.0, 1.0)
        if self.shape == "exponential":
            size = abs(self.peak) ** (1.0 - u) * abs(self.final) ** u
            return rise * math.copysign(1.0, self.peak) * size
        if self.shape == "cosine":
            weight = half_cosine(u)
        else:
            weight = 1.0 - (np.sqrt(u) if self.shape == "sqrt" else u)
        return rise * blend(self.peak, self.final, weight)
