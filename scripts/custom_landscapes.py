"""Landscapes of your own: Rosenbrock's valley, Rastrigin's lattice, a two-layer network.

    python scripts/custom_landscapes.py [--quick] [-o FIGURE]

Each is two small functions. The gradient is checked against finite differences of the loss, then
SGD with momentum runs at a constant and at a cosine rate. Prints the final losses and draws them.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numba
import numpy as np
from study import COLOURS, Outcome, main, simulate, with_error

import fastsched as fs

# A teacher network's answers, with noise, which the student below is to learn.
INPUTS, HIDDEN, ROWS, BATCH = 3, 6, 128, 8
_RNG = np.random.default_rng(1)
X = _RNG.normal(size=(ROWS, INPUTS))
Y = np.tanh(X @ _RNG.normal(size=(INPUTS, 2))) @ [1.0, -0.7] + 0.1 * _RNG.normal(size=ROWS)


def rosenbrock_gradient(theta, draws, out):
    out[:] = 0
    for i in range(len(theta) - 1):
        valley = theta[i + 1] - theta[i] ** 2
        out[i] += -40 * valley * theta[i] - 2 * (1 - theta[i])
        out[i + 1] += 20 * valley


def rosenbrock(theta):
    total = 0.0
    for i in range(len(theta) - 1):
        total += 10 * (theta[i + 1] - theta[i] ** 2) ** 2 + (1 - theta[i]) ** 2
    return total


def rastrigin_gradient(theta, draws, out):
    for i in range(len(theta)):
        out[i] = theta[i] + np.pi * np.sin(2 * np.pi * theta[i])


def rastrigin(theta):
    total = 0.0
    for i in range(len(theta)):
        total += theta[i] ** 2 / 2 + (1 - np.cos(2 * np.pi * theta[i])) / 2
    return total


def network_gradient(theta, draws, out):
    """Write the mean gradient of rows picked by uniform draws: theta holds W (h, i), then a (h)."""
    out[:] = 0
    for draw in draws:
        row = min(int(draw * ROWS), ROWS - 1)
        residual = network(theta, row) - Y[row]
        for h in range(HIDDEN):
            total = 0.0
            for i in range(INPUTS):
                total += theta[h * INPUTS + i] * X[row, i]
            unit = np.tanh(total)
            weight = theta[HIDDEN * INPUTS + h]
            out[HIDDEN * INPUTS + h] += residual * unit / len(draws)
            back = residual * weight * (1 - unit**2) / len(draws)
            for i in range(INPUTS):
                out[h * INPUTS + i] += back * X[row, i]


@numba.njit
def network(theta, row):
    answer = 0.0
    for h in range(HIDDEN):
        total = 0.0
        for i in range(INPUTS):
            total += theta[h * INPUTS + i] * X[row, i]
        answer += theta[HIDDEN * INPUTS + h] * np.tanh(total)
    return answer


def network_loss(theta):
    total = 0.0
    for row in range(ROWS):
        total += (network(theta, row) - Y[row]) ** 2 / (2 * ROWS)
    return total


def landscapes() -> dict[str, tuple[fs.Custom, float, int]]:
    """Return landscapes with a learning rate and a number of steps."""
    return {
        "Rosenbrock's valley, d = 4": (
            fs.Custom(
                rosenbrock_gradient, rosenbrock, 4, noise=1.0, start=fs.Normal(0, 0.3), minimum=1.0
            ),
            5e-4,
            10_000,
        ),
        "Rastrigin's lattice, d = 8": (
            fs.Custom(rastrigin_gradient, rastrigin, 8, noise=6.0, start=fs.Normal(0, 2.0)),
            5e-3,
            5000,
        ),
        f"two-layer network, batches of {BATCH} of {ROWS} rows": (
            fs.Custom(
                network_gradient,
                network_loss,
                HIDDEN * (INPUTS + 1),
                draws=BATCH,
                sampler="uniform",
                start=fs.Normal(0, 0.5),
            ),
            0.05,
            5000,
        ),
    }


def draw(ax: plt.Axes, name: str, results: fs.SweepResult) -> None:
    for schedule, colour in zip(("constant", "cosine"), COLOURS, strict=False):
        result = results.member(schedule)
        step = result["step"].values[1:]
        low, high = (result["loss_quantile"].sel(quantile=q).values[1:] for q in (0.05, 0.95))
        ax.fill_between(
            step,
            low,
            high,
            color=colour,
            alpha=0.2,
            linewidth=0,
            label="5 - 95 % of trajectories" if schedule == "constant" else None,
        )
        mean, error = result["loss"].values[1:], 2 * result["loss_se"].values[1:]
        ax.fill_between(step, mean - error, mean + error, color=colour, alpha=0.6, linewidth=0)
        ax.plot(step, mean, color=colour, label=f"{schedule} rate, mean ± 2 standard errors")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("step (updates)")
    ax.set_title(name)


def study(quick: bool) -> Outcome:
    n = 256 if quick else 4096
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.4))
    rows = [["landscape", "loss at a constant rate", "at a cosine rate"]]
    for ax, (name, (landscape, lr, steps)) in zip(axes, landscapes().items(), strict=True):
        landscape.check_gradient(samples=2000)
        question = fs.Study(landscape, fs.SGD(lr, momentum=0.9), steps, n, record=48)
        rates = {"constant": lr, "cosine": fs.Cosine(lr, steps)}
        results = simulate(fs.sweep(question, {"optimizer.lr": rates}))
        last = results.data.isel(step=-1)
        rows.append([name, *map(with_error, last["loss"].values, last["loss_se"].values)])
        draw(ax, name, results)
    axes[0].set_ylabel("loss")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    figure.suptitle("Your own landscapes: SGD with momentum 0.9")
    return Outcome(figure, rows, [])


if __name__ == "__main__":
    main(study)
