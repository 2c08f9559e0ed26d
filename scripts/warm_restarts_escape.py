"""Warm restarts: do they move trajectories out of shallow minima and into deeper ones?

    python scripts/warm_restarts_escape.py [--quick] [-o FIGURE]

SGD starts in a shallow minimum, of three wells on a line and of a random field. Schedules have
the same number of updates and the same peak rate; cosine, triangular and restarted ones also the
same mean rate, half the peak, which a constant at that half has too. A cosine and its restarts
even have the same rates in another order. The peak is varied, so that each stands at its best.

A monotone schedule stays where more than half of its trajectories end in the basin they started
in. Cycles kick out, or lead deeper, where the best schedule with cycles brings more trajectories
out of the first basin, or into the deepest, than a monotone one of the same peak: at some peaks
more, at none fewer. A difference counts from 4 standard errors on, those of paired trajectories. In
the wells the law of SGD is known under any schedule: its density, pushed forward update by update
on a fine grid, gives the dashed lines; it agrees with `fastsched.theory.GaussianChain` at a
constant rate.

Sources: Smith, WACV 2017, arXiv:1506.01186, of triangular rates; Loshchilov & Hutter, ICLR 2017,
arXiv:1608.03983, of restarts; Kirkpatrick, Gelatt & Vecchi, Science 220 (1983) 671, of annealing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from scipy.fft import dct, idct
from study import (
    COLOURS,
    DOES_NOT_HOLD,
    HOLDS,
    HOLDS_ONLY_WHEN,
    Finding,
    Outcome,
    main,
    simulate,
    with_error,
)

import fastsched as fs

CYCLES = 8
THRESHOLD = 4.0  # standard errors
MONOTONE = ("constant", "constant, half", "step decay", "cosine")
CYCLIC = ("CLR", "SGDR", "SGDR, doubling")
START, DEEPEST = 0, 2  # wells
WELLS = fs.Wells(
    [[-2.0], [0.0], [2.0]],
    [[1.0], [1.0], [1.0]],
    depths=[0.0, 0.2, 0.5],
    softness=0.05,
    start=-2.0,
)
FIELD = fs.RandomField(4, 100, confinement=0.5, noise=2.0, seed=2)

Array = np.ndarray


class Ends(NamedTuple):
    """How trajectories end on a landscape: at each peak rate a sweep over the schedules.

    An outcome is a variable that is a fraction of them, and where it is a basin's, the basin.
    """

    title: str
    peaks: Array
    runs: list[fs.SweepResult]
    outcomes: dict[str, tuple[str, dict[str, int]]]

    def fractions(self, outcome: str) -> dict[str, Array]:
        """Return by schedule (values, standard errors), shape (2, peaks)."""
        variable, basin = self.outcomes[outcome]
        found = np.array(
            [[r[variable].sel(basin), r[f"{variable}_se"].sel(basin)] for r in self.runs]
        )
        return dict(zip((*MONOTONE, *CYCLIC), found.transpose(2, 1, 0), strict=True))

    def signs(self, outcome: str, ones: Iterable[str], other: str) -> Array:
        """Return at each peak if one schedule is significantly above (1) or below (-1) another."""
        variable, basin = self.outcomes[outcome]
        pairs = [
            r.compare(a, other, variable).sel(basin) for r, a in zip(self.runs, ones, strict=True)
        ]
        return sign(*np.array([[p["difference"], p["difference_se"]] for p in pairs]).T)


def schedules(peak: float, steps: int) -> dict[str, fs.Schedule]:
    """Return schedules of one peak; `steps` is a multiple of 7 and of four times `CYCLES`."""
    return {
        "constant": fs.Constant(peak),
        "constant, half": fs.Constant(peak / 2),
        "step decay": fs.StepDecay(peak, steps // 4, factor=0.5),
        "cosine": fs.Cosine(peak, steps),
        "CLR": fs.Triangular(0.0, peak, steps // CYCLES // 2),
        "SGDR": fs.WarmRestarts(peak, steps // CYCLES),
        "SGDR, doubling": fs.WarmRestarts(peak, steps // 7, multiplier=2.0),
    }


def measure(
    title: str,
    landscape: fs.Landscape,
    start: int,
    deepest: int,
    peaks: tuple[float, ...],
    steps: int,
    n: int,
) -> Ends:
    """Run every schedule at every peak, from one basin to the hoped-for other."""
    study = fs.Study(
        landscape,
        fs.SGD(peaks[0]),
        steps,
        n,
        record=np.arange(0, steps + 1, steps // (4 * CYCLES)),
        measures=(fs.Basins(), fs.Escape()),
    )
    return Ends(
        title,
        np.array(peaks),
        [simulate(fs.sweep(study, {"optimizer.lr": schedules(peak, steps)})) for peak in peaks],
        {
            "deepest": ("basin_final", {"basin": deepest}),
            "stayed": ("basin_final", {"basin": start}),
            "left": ("escape_probability", {}),
        },
    )


def exact_law(rates: Array) -> tuple[Array, float]:
    """Return each well's probability after every update, and that of having left the first.

    The density on a grid moves by the gradient step, each mass shared by its two new neighbours,
    and is smoothed by the Gaussian noise, in cosine space; a second density dies on leaving.
    """
    spacing, count = 0.005, 2400
    x = (np.arange(count) + 0.5 - count / 2) * spacing
    wells, gradient = WELLS.assign(x[:, None]), WELLS.gradients(x[:, None])[:, 0]
    wave_numbers = np.pi * np.arange(count) / (count * spacing)
    density = np.zeros((2, count))
    density[:, np.argmin(abs(x - WELLS.start))] = 1.0
    occupancy = [np.bincount(wells, density[0], 3)]
    for rate in rates:
        place = np.clip((x - rate * gradient - x[0]) / spacing, 0, count - 1.001)
        below = place.astype(int)
        share = place - below
        for k in range(2):
            moved = np.bincount(below, density[k] * (1 - share), count)
            moved += np.bincount(below + 1, density[k] * share, count)
            smooth = np.exp(-((rate * WELLS.noise * wave_numbers) ** 2) / 2)
            density[k] = idct(dct(moved) * smooth)
        density[1, wells != START] = 0.0
        occupancy.append(np.bincount(wells, density[0], 3))
    return np.array(occupancy), 1 - float(density[1].sum())


def grid_error(peak: float, steps: int) -> float:
    """Return by how much the grid misses `GaussianChain` at a constant rate."""
    x = np.linspace(-2.0, 0.0, 200_001)[:, None]
    chain = fs.theory.GaussianChain(
        lambda x: x - peak * WELLS.gradients(x[:, None])[:, 0],
        peak * WELLS.noise,
        upper=float(x[np.argmax(WELLS.assign(x) != START), 0]),
    )
    return abs(exact_law(np.full(steps, peak))[1] - 1 + float(chain.survival(steps, -2.0)))


def largest_z(ends: Ends, laws: dict[str, list[tuple[Array, float]]], n: int) -> float:
    """Return the largest deviation from theory, where at least five cases are expected."""
    scores = [0.0]
    deepest, stayed, left = (ends.fractions(what) for what in ("deepest", "stayed", "left"))
    for name, by_peak in laws.items():
        final = np.array([law[0][-1] for law in by_peak])
        for found, p in (
            (deepest[name], final[:, DEEPEST]),
            (stayed[name], final[:, START]),
            (left[name], np.array([law[1] for law in by_peak])),
        ):
            told = n * np.minimum(p, 1 - p) >= 5
            scores += list(abs(found[0] - p)[told] / np.sqrt(p * (1 - p) / n)[told])
    return max(scores)


def sign(difference: Array, error: Array) -> Array:
    return np.sign(difference) * (abs(difference) > THRESHOLD * error)


def listed(peaks: Array) -> str:
    return ", ".join(f"{peak:g}" for peak in peaks) or "none"


def judge_greed(places: list[Ends]) -> Finding:
    reasons, signs = [], []
    for ends in places:
        stayed = ends.fractions("stayed")
        rows = np.array([sign(stayed[name][0] - 0.5, stayed[name][1]) for name in MONOTONE])
        signs.append(rows)
        k = int(np.argmin(abs(stayed["cosine"][0] - 0.5)))
        reasons.append(
            f"{ends.title}: all four monotone schedules stay at peaks "
            f"{listed(ends.peaks[rows.min(axis=0) == 1])} and leave at "
            f"{listed(ends.peaks[rows.max(axis=0) == -1])}; at {ends.peaks[k]:g}, "
            f"{with_error(*stayed['cosine'][:, k])} of a cosine's trajectories stay and "
            f"{with_error(*stayed['SGDR'][:, k])} of SGDR's"
        )
    every = np.concatenate([rows.ravel() for rows in signs])
    verdict = HOLDS if every.min() == 1 else HOLDS_ONLY_WHEN if 1 in every else DOES_NOT_HOLD
    return Finding(
        "A monotone schedule is greedy: it stays in the nearest, possibly shallow minimum",
        verdict,
        "the peak rate is low. " * (verdict == HOLDS_ONLY_WHEN) + ". ".join(reasons),
    )


def judge_cycles(places: list[Ends], outcome: str, claim: str) -> Finding:
    """Compare the best schedule with cycles to each monotone one of the same peak."""
    reasons, signs = [], []
    for ends in places:
        fractions = ends.fractions(outcome)
        best = [max(CYCLIC, key=lambda name: fractions[name][0, k]) for k in range(len(ends.peaks))]
        signs.append(np.array([ends.signs(outcome, best, name) for name in MONOTONE]))
        largest = [
            with_error(*max(tuple(pair) for name in names for pair in fractions[name].T))
            for names in (CYCLIC, MONOTONE)
        ]
        counts = [
            f"{name} {np.sum(row == 1)}/{np.sum(row == -1)}"
            for name, row in zip(MONOTONE, signs[-1], strict=True)
        ]
        reasons.append(
            f"{ends.title}, peaks of {len(ends.peaks)} with the best of cycles above/below: "
            f"{', '.join(counts)}; the largest fraction over all peaks is "
            f"{largest[0]} with cycles, {largest[1]} without"
        )
    every = np.concatenate(signs, axis=1)
    ahead = [n for n, row in zip(MONOTONE, every, strict=True) if row.max() == 1 > -row.min()]
    verdict = {len(MONOTONE): HOLDS, 0: DOES_NOT_HOLD}.get(len(ahead), HOLDS_ONLY_WHEN)
    condition = f"compared with {' or '.join(ahead)}. " * (verdict == HOLDS_ONLY_WHEN)
    return Finding(claim, verdict, condition + ". ".join(reasons))


def judge_alternation(places: list[Ends]) -> Finding:
    """Compare first escapes in the hot and the cold halves of SGDR's cycles."""
    hot = total = 0.0
    for ends in places:
        for run in ends.runs:
            survival = run["escape_survival"].sel(lr="SGDR").values
            leaving = -np.diff(survival).reshape(CYCLES, 4) * run.trajectories
            hot, total = hot + leaving[:, :2].sum(), total + leaving.sum()
    share = hot / total
    error = np.sqrt(share * (1 - share) / total)
    return Finding(
        "With restarts exploration and exploitation alternate",
        HOLDS if share - 0.5 > THRESHOLD * error else DOES_NOT_HOLD,
        f"{with_error(share, error)} of SGDR's first escapes fall in the half of a cycle whose "
        f"rate is above half the peak",
    )


def draw(wells: Ends, field: Ends, laws: dict[str, list[tuple[Array, float]]]) -> plt.Figure:
    figure, axes = plt.subplots(1, 3, figsize=(14, 5))
    for ax, ends in zip(axes, (wells, field), strict=False):
        for (name, found), colour in zip(ends.fractions("deepest").items(), COLOURS, strict=True):
            marker = "o" if name in MONOTONE else "^"
            ax.errorbar(
                ends.peaks, found[0], 2 * found[1], fmt=marker, color=colour, ms=4, label=name
            )
            if ends is wells:
                exact = [law[0][-1, DEEPEST] for law in laws[name]]
                ax.plot(ends.peaks, exact, "--", color=colour, linewidth=1)
            else:
                ax.plot(ends.peaks, found[0], ":", color=colour, linewidth=0.8)
        ax.set(xscale="log", xlabel="peak rate", title=f"{ends.title}: at the end", ylim=(0, 1))
        ax.set_xticks(ends.peaks, [f"{peak:g}" for peak in ends.peaks])
        ax.minorticks_off()
        ax.set_ylabel("fraction in the deepest basin")
    k = len(wells.peaks) // 2
    for name, colour in zip(laws, COLOURS, strict=True):
        if name in ("constant", "constant, half", "cosine", "SGDR"):
            run = wells.runs[k].member(name).data.sel(basin=DEEPEST)
            step, found, error = run["step"], run["basin_occupancy"], 2 * run["basin_occupancy_se"]
            axes[2].fill_between(step, found - error, found + error, color=colour, alpha=0.3, lw=0)
            axes[2].plot(laws[name][k][0][:, DEEPEST], "--", color=colour, linewidth=1)
    axes[2].set(xlabel="step (updates)", ylabel="fraction in the deepest basin", ylim=(0, 1))
    axes[2].set_title(f"three wells: on the way, peak rate {wells.peaks[k]:g}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=7)
    figure.suptitle(
        "From a shallow minimum to the deepest, at equal budgets (± 2 standard errors; "
        "dashed: exact)"
    )
    return figure


def study(quick: bool) -> Outcome:
    peaks = (0.1, 0.2, 0.45, 1.0) if quick else (0.1, 0.14, 0.2, 0.3, 0.45, 0.7, 1.0)
    steps, n = (896, 1000) if quick else (2016, 4000)
    wells = measure("three wells", WELLS, START, DEEPEST, peaks, steps, n)
    laws: dict[str, list[tuple[Array, float]]] = {}
    for peak in peaks:
        for name, schedule in schedules(peak, steps).items():
            laws.setdefault(name, []).append(exact_law(schedule.values(steps)))
    minima = FIELD.minima().locations
    start = len(minima) // 2
    landscape = FIELD.replace(start=minima[start])
    peaks = (0.03, 0.06, 0.15) if quick else (0.02, 0.03, 0.045, 0.07, 0.12, 0.2)
    field = measure("random field", landscape, start, 0, peaks, steps, n // 2)
    places = [wells, field]
    table = [["landscape", "peak", "schedule", "ends in the deepest", "stays", "changes a cycle"]]
    for ends in places:
        deepest, stayed = ends.fractions("deepest"), ends.fractions("stayed")
        for k, (peak, run) in enumerate(zip(ends.peaks, ends.runs, strict=True)):
            for name in deepest:
                pairs = (found[name][:, k] for found in (deepest, stayed))
                row = [ends.title, f"{peak:g}", name, *(with_error(*pair) for pair in pairs)]
                moves = [run[f"basin_transitions{e}"].sel(lr=name).sum() for e in ("", "_se")]
                table.append([*row, with_error(*np.array(moves) / CYCLES)])
    findings = [
        judge_greed(places),
        judge_cycles(
            places, "left", "Cyclical rates and restarts kick the iterate out of shallow minima"
        ),
        judge_cycles(places, "deepest", "Cyclical rates and restarts lead into deeper minima"),
        judge_alternation(places),
    ]
    z = largest_z(wells, laws, n)
    findings[0] = findings[0]._replace(
        reason=f"{findings[0].reason}. Wells against their exact law: largest |z| = {z:.1f}; that "
        f"law against GaussianChain: {grid_error(wells.peaks[1], steps):.0e}"
    )
    return Outcome(draw(wells, field, laws), table, findings)


if __name__ == "__main__":
    main(study)
