"""Adam in long valleys: along the axes, askew to them, and under noise.

    python scripts/adam_on_valleys.py [--quick] [-o FIGURE]

One-pass regression on linear random features is a quadratic valley that lies askew to the
weights; in the eigenvectors of its Hessian it is one-pass least squares, a valley along the axes.
SGD does not notice: the two are the same in law. Adam and signSGD scale each coordinate by itself
and may. All start at 0 in valleys of growing condition number, with and without label noise, at a
cosine rate whose peak is the best of a grid for each optimizer and problem; the final loss at the
best peak is then measured with fresh random numbers. It counts what is above the least loss, and
medians are compared, since close to its stability edge the loss of SGD has no variance. Away from
it, at a peak of 1 / trace of the Hessian, SGD's means in both positions stand beside the exact one.

Sources: Kingma & Ba, ICLR 2015, arXiv:1412.6980; Balles & Hennig, ICML 2018, arXiv:1705.07774;
of the equality in law, Paquette et al. 2024, arXiv:2405.15074.
"""

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from study import COLOURS, DOES_NOT_HOLD, HOLDS, HOLDS_ONLY_WHEN, Finding, Outcome, main, simulate

import fastsched as fs

INPUTS, FEATURES = 16, 32
STEPS, BATCH = 400, 8
MOMENTUM = 0.9
OPTIMIZERS = {
    "SGD": fs.SGD(1.0, momentum=MOMENTUM),
    "Adam": fs.Adam(1.0),
    "SignSGD": fs.SignSGD(1.0, momentum=MOMENTUM),
}
PEAKS = {
    "SGD": np.geomspace(0.03, 30.0, 8),  # times (1 - momentum) / trace of the Hessian
    "Adam": np.geomspace(0.003, 1.0, 8),
    "SignSGD": np.geomspace(0.001, 0.3, 8),
}
ALONG, ASKEW = "along the axes", "askew"
THRESHOLD = 4.0  # standard errors


class Valley(NamedTuple):
    """The same quadratic valley in both positions."""

    condition: float
    trace: float
    label_noise: float
    positions: dict[str, fs.Landscape]


class Loss(NamedTuple):
    """The median of a final loss, and its standard error."""

    median: float
    error: float


def valley(alpha: float, label_noise: float) -> Valley:
    """Return the valley of inputs with the spectrum j^(-2 alpha)."""
    # More features than inputs reach every target: nothing but the label noise remains.
    askew = fs.RandomFeatures.power_law(
        INPUTS, FEATURES, alpha, 0.5, label_noise=label_noise, brute_force=True
    )
    diagonal = fs.theory.reduce_linear_features(
        askew.input_spectrum, askew.target, askew.weights, askew.start, label_noise
    )
    curved = diagonal.spectrum > 0
    spectrum = diagonal.spectrum[curved]
    along = fs.LeastSquares(spectrum, label_noise, start=diagonal.error[curved])
    return Valley(
        float(spectrum[-1] / spectrum[0]),
        float(np.sum(spectrum)),
        label_noise,
        {ALONG: along, ASKEW: askew},
    )


def problem(kind: str, position: str, place: Valley, trajectories: int, seed: int) -> fs.Study:
    """Return the study of the loss after the last step, at a peak of 1 in the units of `PEAKS`."""
    scale = (1 - MOMENTUM) / place.trace if kind == "SGD" else 1.0
    return fs.Study(
        place.positions[position],
        OPTIMIZERS[kind].replace(lr=fs.Cosine(scale, STEPS)),
        STEPS,
        trajectories,
        BATCH,
        seed=seed,
        record=[STEPS],
        measures=fs.Loss((0.5,)),
    )


def best_loss(kind: str, position: str, place: Valley, trajectories: int) -> Loss:
    """Return the loss at the best peak rate, measured with other random numbers."""
    study = problem(kind, position, place, trajectories // 4, 0)
    peaks = PEAKS[kind] * study.optimizer.lr.initial
    tried = simulate(fs.sweep(study, {"optimizer.lr.initial": peaks}))
    best = tried.sweep.members[int(tried["loss_quantile"].values.argmin())]
    result = simulate(best.replace(trajectories=trajectories, seed=1))
    return Loss(result["loss_quantile"].item(), result["loss_quantile_se"].item())


def deviations(place: Valley, trajectories: int) -> list[float]:
    """Return how far SGD's mean losses are from the exact one, in standard errors."""
    studies = [problem("SGD", position, place, trajectories, 2) for position in (ALONG, ASKEW)]
    exact = fs.exact(studies[0])["loss"].item()
    results = map(simulate, studies)
    return [(r["loss"].item() - exact) / r["loss_se"].item() for r in results]


def apart(a: Loss, b: Loss) -> float:
    """Return by how many standard errors, of independent runs, log a is above log b."""
    error = np.hypot(a.error / a.median, b.error / b.median)
    return float(np.log(a.median / b.median) / error)


def written(loss: Loss) -> str:
    return f"{loss.median:.2e} ± {loss.error:.0e}"


def judge(losses: dict[tuple[str, str], Loss], place: Valley) -> Finding:
    """Return whether Adam is ahead of SGD in a valley, by its position."""
    ahead = {
        position: apart(losses["SGD", position], losses["Adam", position]) > THRESHOLD
        for position in (ALONG, ASKEW)
    }
    noise = f"label noise {place.label_noise:g}" if place.label_noise else "no label noise"
    where = [position for position, better in ahead.items() if better]
    if len(where) == 1:
        verdict, condition = HOLDS_ONLY_WHEN, f"the valley lies {where[0]}: "
    else:
        verdict, condition = (HOLDS if where else DOES_NOT_HOLD), ""
    numbers = "; ".join(
        f"{position} Adam ends at {written(losses['Adam', position])}, "
        f"SGD with momentum at {written(losses['SGD', position])}"
        for position in ahead
    )
    return Finding(
        f"Rates per coordinate make Adam faster than SGD in ill-conditioned valleys ({noise}, "
        f"condition number {place.condition:.2g}).",
        verdict,
        condition + numbers,
    )


def draw(
    ax: plt.Axes, places: list[Valley], losses: list[dict[tuple[str, str], Loss]], title: str
) -> None:
    """Draw the final losses over the condition number."""
    conditions = [place.condition for place in places]
    for kind, colour in zip(PEAKS, COLOURS, strict=False):
        for position, style in ((ALONG, "-"), (ASKEW, "--")):
            curve = [each[kind, position] for each in losses]
            ax.errorbar(
                conditions,
                [loss.median for loss in curve],
                [2 * loss.error for loss in curve],
                color=colour,
                linestyle=style,
                marker="o",
                markersize=4,
                label=f"{kind}, {position}",
            )
    ax.set(xscale="log", yscale="log", title=title, xlabel="condition number of the Hessian")


def study(quick: bool) -> Outcome:
    trajectories = 512 if quick else 4096
    alphas = (0.0, 1.0) if quick else (0.0, 0.25, 0.5, 0.75, 1.0)
    table = [["label noise", "condition", "valley", *PEAKS]]
    findings, z = [], []
    figure, axes = plt.subplots(1, 2, figsize=(11.5, 4.8))
    for ax, label_noise in zip(axes, (0.0, 1.0), strict=True):
        places = [valley(alpha, label_noise) for alpha in alphas]
        losses = []
        for place in places:
            keys = [(kind, position) for kind in PEAKS for position in place.positions]
            losses.append({key: best_loss(*key, place, trajectories) for key in keys})
            for position in place.positions:
                cells = [f"{label_noise:g}", f"{place.condition:.2g}", position]
                table.append([*cells, *(written(losses[-1][kind, position]) for kind in PEAKS)])
            z += deviations(place, trajectories)
        findings.append(judge(losses[-1], places[-1]))
        draw(ax, places, losses, f"label noise {label_noise:g}")
    worst = max(map(abs, z))
    same = Finding(
        "To SGD a valley along the axes and the same one askew are one problem.",
        HOLDS if worst <= THRESHOLD else DOES_NOT_HOLD,
        f"mean losses against the exact one of both: largest |z| of {len(z)} is {worst:.1f}",
    )
    axes[0].set_ylabel("median loss above the least (± 2 standard errors)")
    figure.suptitle(f"After {STEPS} steps at the best peak rate")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return Outcome(figure, table, [same, *findings])


if __name__ == "__main__":
    main(study)
