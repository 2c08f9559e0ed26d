"""The schedule zoo: nine schedules on one noisy quadratic, a table and a picture."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastsched.landscapes import Normal, Quadratic
from fastsched.optimizers import SGD
from fastsched.plot import plot_zoo
from fastsched.result import Result
from fastsched.run import run
from fastsched.schedules import (
    WSD,
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    InverseTime,
    Schedule,
    StepDecay,
    WarmRestarts,
)
from fastsched.study import Study
from fastsched.summary import format_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIM = 1000
EXPONENT = 1.3
BATCH_SIZE = 2
STEPS = 300
PEAK = 0.5
TARGET = 0.45


def zoo(steps: int = STEPS, peak: float = PEAK) -> dict[str, Schedule]:
    """Return the nine schedules, all starting at or rising to the rate `peak`."""
    warmup = steps // 10
    return {
        "constant": Constant(peak),
        "step": StepDecay(peak, every=steps // 4, factor=0.3),
        "exponential": Exponential(peak, gamma=0.01 ** (1 / steps)),
        "inverse time": InverseTime(alpha=peak * steps / 10, beta=steps / 10),
        "1/sqrt": InverseSqrt(alpha=peak * (steps / 10) ** 0.5, beta=steps / 10),
        "cosine": Cosine(peak, steps),
        "warm-up + cosine": Cosine(peak, steps - warmup).warmup(warmup),
        "warm restarts": WarmRestarts(peak, period=steps / 7, multiplier=2),
        "WSD": WSD(peak, steps, warmup=warmup, decay=steps // 5),
    }


def demo(output: Path, trajectories: int = 20_000, progress: bool = True) -> dict[str, Result]:
    """Run the zoo, print its table and write its picture to `output`."""
    print(
        f"noisy quadratic, d = {DIM}, curvature i^-{EXPONENT}, noise covariance H / {BATCH_SIZE}; "
        f"SGD, {STEPS} steps, {trajectories:,} trajectories each"
    )
    started = time.perf_counter()
    results = run_zoo(trajectories, progress)
    seconds = time.perf_counter() - started
    print("\n".join(["", *format_table(zoo_table(results)), ""]))
    updates = sum(r.trajectories for r in results.values()) * DIM * STEPS
    print(f"{updates:.3g} coordinate updates in {seconds:.1f} s")
    draw_zoo(results).savefig(output, dpi=110)
    print(f"picture: {output}")
    return results


def run_zoo(trajectories: int, progress: bool) -> dict[str, Result]:
    """Return the results of the schedules; of those before an interruption, if there is one."""
    landscape = Quadratic(
        curvature=np.arange(1.0, DIM + 1) ** -EXPONENT, noise="hessian", start=Normal(0.0, 1.0)
    )
    schedules = zoo()
    results = {}
    for k, (name, schedule) in enumerate(schedules.items()):
        if progress:
            print(f"[{k + 1}/{len(schedules)}] {name}", flush=True)
        study = Study(landscape, SGD(schedule), STEPS, trajectories, BATCH_SIZE)
        results[name] = run(study, progress=progress)
        if not results[name].complete:
            print("interrupted: the table shows what was finished")
            break
    return results


def draw_zoo(results: Mapping[str, Result]) -> Figure:
    """Draw the results, a panel for each."""
    trajectories = next(iter(results.values())).study.trajectories
    return plot_zoo(
        results, f"Noisy quadratic, d = {DIM}: {trajectories:,} trajectories per schedule"
    )


def zoo_table(results: Mapping[str, Result]) -> list[list[str]]:
    """Return the final losses of the results, and when they meet `TARGET`."""
    rows = [["schedule", "final loss", "+-", "exact", "z", "std", "5 %", "95 %"]]
    rows[0] += [f"steps to {TARGET:g}", "+-"]
    for name, result in results.items():
        assert result.exact is not None
        last = result.data.isel(step=-1)
        low, high = last["loss_quantile"].values[[0, -1]]
        time_to, error = steps_to(result, TARGET)
        rows.append(
            [
                name,
                f"{float(last['loss']):.5f}",
                f"{float(last['loss_se']):.5f}",
                f"{float(result.exact['loss'][-1]):.5f}",
                f"{float(result.z_scores['loss'][-1]):.1f}",
                f"{float(last['loss_std']):.4f}",
                f"{low:.4f}",
                f"{high:.4f}",
                f"{time_to:.2f}" if np.isfinite(time_to) else "not reached",
                f"{error:.2f}" if np.isfinite(error) else "",
            ]
        )
    return rows


def steps_to(result: Result, target: float) -> tuple[float, float]:
    """Return the step at which the mean loss first meets `target`, and its standard error.

    The mean is interpolated linearly between recorded steps; infinite where not reached. The
    error is half the distance between the crossings of the mean less and plus one error.
    """
    step = result.data["step"].values.astype(float)
    loss, se = result.data["loss"].values, result.data["loss_se"].values

    def crossing(curve: np.ndarray) -> float:
        below = curve <= target
        if not below.any():
            return np.inf
        k = int(np.argmax(below))
        if k == 0:
            return 0.0
        weight = (curve[k - 1] - target) / (curve[k - 1] - curve[k])
        return float(step[k - 1] + weight * (step[k] - step[k - 1]))

    early, late = crossing(loss - se), crossing(loss + se)
    return crossing(loss), (late - early) / 2 if np.isfinite(early) else np.inf
