"""Decoupled weight decay and the learning rate: does regularisation fade as the rate decays?

    python scripts/weight_decay_coupling.py [--quick] [-o FIGURE]

Decoupled decay multiplies the weights by 1 - s_t at each step. By the rule "lr" s_t is
eta_t lambda, which decays with the rate; lambda_t = lambda eta_max / eta_t, with the largest rate
eta_max, restores a constant one.

Idle weights, on directions with gradient noise and no slope, show the shrinkage: far from zero
and at zero they take the same noise, so the losses' difference is that of the squared product of
1 - s_t, the exact value beside it. Useful weights, whose gradient pulls them to 1, show what the
decay does to the solution. Where gradient and decay fade together they balance at
h / (h + lambda), whatever the rate. Under SGD with momentum this is exact; under AdamW it is not.

Sources: Loshchilov & Hutter, ICLR 2019, arXiv:1711.05101; Defazio, arXiv:2506.02285.
"""

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
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

STEPS = 1000
RECORD = np.arange(0, STEPS + 1, 20)
DECAY = 0.3
KINDS = ("SGD", "AdamW")
RATE = 0.01  # of AdamW; the effective rate of SGD with momentum
MOMENTUM = 0.9
DIM = 32
SLOPE = 1e-9  # of idle weights, whose gradient is all noise
CURVATURE = 1.0  # of useful weights
FAR = 30.0
THRESHOLD = 4.0  # standard errors


class Rule(NamedTuple):
    """A rate schedule and how the weight decay acts."""

    schedule: str
    decay: str
    restored: bool = False

    @property
    def name(self) -> str:
        return f"{self.schedule}, " + ("lr, λ ηₘₐₓ/η" if self.restored else self.decay)


RULES = (
    Rule("constant", "lr"),
    Rule("cosine", "lr"),
    Rule("cosine", "schedule"),
    Rule("cosine", "lr", restored=True),
    Rule("cosine", "constant"),
    Rule("cosine", "coupled"),
)


class Curve(NamedTuple):
    """A quantity at the recorded steps, its standard error, and the exact value if there is one."""

    value: np.ndarray
    error: np.ndarray
    exact: np.ndarray | None


def optimizer(kind: str, rule: Rule) -> fs.SGD | fs.AdamW:
    peak = RATE * (1 - MOMENTUM) if kind == "SGD" else RATE
    lr = {"constant": fs.Constant(peak), "cosine": fs.Cosine(peak, STEPS)}[rule.schedule]
    decay = DECAY
    if kind == "SGD" and rule.decay != "coupled":
        decay /= 1 - MOMENTUM  # momentum amplifies the gradient, not decoupled decay
    if rule.decay in ("schedule", "constant"):
        decay *= peak
    weight_decay = fs.Table(decay * peak / lr.values(STEPS)) if rule.restored else decay
    if kind == "SGD":
        return fs.SGD(lr, momentum=MOMENTUM, weight_decay=weight_decay, decay=rule.decay)
    return fs.AdamW(lr, weight_decay=weight_decay, decay=rule.decay)


def run(kind: str, trajectories: int, landscape: fs.Quadratic, starts: list) -> fs.SweepResult:
    """Run all rules from all starts."""
    axes = {
        "optimizer": {rule.name: optimizer(kind, rule) for rule in RULES},
        "landscape.start": starts,
    }
    used = optimizer(kind, RULES[0])
    question = fs.Study(landscape, used, STEPS, trajectories, record=RECORD, measures=fs.Loss(()))
    return simulate(fs.sweep(question, axes))


def idle_weights(kind: str, trajectories: int) -> dict[Rule, Curve]:
    """Return the factor by which idle weights have shrunk, by rule."""
    idle = fs.Quadratic(np.full(DIM, SLOPE), noise=1.0)
    gaps = run(kind, trajectories, idle, [FAR, 0.0]).compare({"start": FAR}, {"start": 0.0})
    scale = SLOPE / 2 * DIM * FAR**2
    curves = {}
    for rule in RULES:
        gap = gaps.sel(optimizer=rule.name)
        left = np.sqrt(np.maximum(gap["difference"].values / scale, 1e-12))
        exact = None
        if rule.decay != "coupled":
            used = optimizer(kind, rule)
            product = np.cumprod(1 - used.decays(used.hyperparameters(STEPS))[1])
            exact = np.append(1.0, product)[RECORD]
        curves[rule] = Curve(left, gap["difference_se"].values / (2 * left * scale), exact)
    return curves


def useful_weights(kind: str, trajectories: int) -> dict[Rule, Curve]:
    """Return the root mean square distance of useful weights from their minimum, 1, by rule."""
    useful = fs.Quadratic(np.full(DIM, CURVATURE), noise=0.3, minimum=1.0)
    result = run(kind, trajectories, useful, [0.0])
    curves = {}
    for rule in RULES:
        member = result.member(optimizer=rule.name, start=0.0)
        value = distance(member["loss"].values)
        error = member["loss_se"].values / (CURVATURE * DIM * value)
        exact = None if member.exact is None else distance(member.exact["loss"].values)
        curves[rule] = Curve(value, error, exact)
    return curves


def distance(loss: np.ndarray) -> np.ndarray:
    return np.sqrt(2 * loss / (CURVATURE * DIM))


def largest_z(curves: list[Curve]) -> float:
    """Return the largest deviation from exact values, in standard errors, where there are any."""
    z = [
        np.max(np.abs(c.value - c.exact)[c.error > 0] / c.error[c.error > 0])
        for c in curves
        if c.exact is not None
    ]
    return float(max(z))


def draw(shrinkage: dict, balance: dict) -> plt.Figure:
    """Draw shrinkage and distance of AdamW over steps; SGD's only differ where the table says."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.8))
    for ax, curves in ((left, shrinkage), (right, balance)):
        for k, rule in enumerate(RULES):
            curve, colour = curves["AdamW", rule], COLOURS[k]
            # Some rules are the same: the wider lines lie below.
            width = 8 - 1.5 * k if k < 5 else 2
            style = {"color": colour, "linewidth": width, "solid_capstyle": "butt"}
            ax.plot(RECORD, curve.value, **style, label=rule.name)
            band = 2 * curve.error
            ax.fill_between(RECORD, curve.value - band, curve.value + band, color=colour, alpha=0.2)
            if curve.exact is not None:
                ax.plot(RECORD, curve.exact, color="black", linestyle=(0, (1, 3)), linewidth=1)
        ax.set_xlabel("step")
    left.plot([], [], color="black", linestyle=(0, (1, 3)), label="exact: product of 1 - s")
    left.set(yscale="log", ylabel="mean of idle weights, over their start")
    left.set_title("weights with noise only: shrinkage")
    right.axhline(DECAY / (DECAY + CURVATURE), color="black", linestyle="--", linewidth=1)
    right.text(STEPS, DECAY / (DECAY + CURVATURE), "λ/(h + λ)", va="bottom", ha="right")
    right.set(ylim=(0, 1.05), ylabel="rms distance of useful weights from the minimum")
    right.set_title("weights pulled to 1: balance of gradient and decay")
    figure.suptitle("AdamW and weight decay, by rule; bands are ± 2 standard errors")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def judge(shrinkage: dict, balance: dict) -> list[Finding]:
    """Return what the numbers say of the claim's two halves."""

    def final(curves: dict, kind: str, rule: Rule) -> tuple[float, float]:
        curve = curves[kind, rule]
        return float(curve.value[-1]), float(curve.error[-1])

    def apart(a: tuple[float, float], b: tuple[float, float]) -> float:
        return (a[0] - b[0]) / float(np.hypot(a[1], b[1]))

    constant, faded, _, restored, *_ = RULES
    reasons, fades, restores, moved = [], [], [], []
    balances = []
    for kind in KINDS:
        at_constant, at_cosine, again = (
            final(shrinkage, kind, rule) for rule in (constant, faded, restored)
        )
        fades.append(apart(at_cosine, at_constant) > THRESHOLD)
        restores.append(abs(apart(again, at_constant)) < THRESHOLD)
        reasons.append(
            f"{kind} leaves {with_error(*at_constant)} of idle weights at a constant rate, "
            f"{with_error(*at_cosine)} at a cosine rate, {with_error(*again)} with λ ηₘₐₓ/η"
        )
        lr_rule, raised = final(balance, kind, faded), final(balance, kind, restored)
        moved.append(apart(raised, lr_rule) > THRESHOLD)
        balances.append(
            f"{kind} ends {with_error(*lr_rule)} from the minimum with constant λ, "
            f"{with_error(*raised)} with λ ηₘₐₓ/η"
        )
    shrink = Finding(
        "With decoupled decay the shrinkage is eta_t lambda and decays with the rate; "
        "lambda_t = lambda eta_max / eta_t restores it.",
        HOLDS if all(fades) and all(restores) else DOES_NOT_HOLD,
        "; ".join(reasons),
    )
    if all(moved):
        verdict = HOLDS_ONLY_WHEN
        reason = (
            "regularisation means the shrinkage of weights without a gradient: where a gradient "
            "pulls, constant lambda keeps its balance with the decay, and raising lambda_t shifts "
            "the solution; "
        )
    else:
        verdict, reason = HOLDS, ""
    constant_needed = Finding(
        "lambda_t must rise to hold the regularisation constant.",
        verdict,
        reason + "; ".join(balances) + f"; SGD's balance is at {DECAY / (DECAY + CURVATURE):.4f}",
    )
    return [shrink, constant_needed]


def study(quick: bool) -> Outcome:
    trajectories = 256 if quick else 16_384
    shrinkage, balance = (
        {(kind, rule): curve for kind in KINDS for rule, curve in of(kind, trajectories).items()}
        for of in (idle_weights, useful_weights)
    )
    table = [["optimizer", "rate, decay", "idle weights left", "exact", "distance", "exact "]]
    for kind, rule in shrinkage:
        cells = [kind, rule.name]
        for curve in (shrinkage[kind, rule], balance[kind, rule]):
            cells.append(with_error(float(curve.value[-1]), float(curve.error[-1])))
            cells.append("" if curve.exact is None else f"{curve.exact[-1]:.5f}")
        table.append(cells)
    z = largest_z([*shrinkage.values(), *balance.values()])
    table.append([f"largest |z| {z:.1f}", *[""] * 5])
    return Outcome(draw(shrinkage, balance), table, judge(shrinkage, balance))


if __name__ == "__main__":
    main(study)
