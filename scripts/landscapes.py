"""A gallery of the landscapes: their losses, and a few trajectories or curves on each.

    python scripts/landscapes.py [--quick] [-o FIGURE]

Losses of two parameters are drawn as contours with noisy gradient descents over them; losses of
many parameters as curves of SGD at several rates, beside the exact mean where there is one.
Prints the minima of the landscapes that have several.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from study import COLOURS, Outcome, main, simulate

import fastsched as fs
from fastsched.kernels.reference import Draws

PATHS = 3

WELLS = fs.Wells(
    [[-1.5, 0.0], [1.5, 0.3], [0.2, 1.8]],
    [[0.6, 0.6], [6.0, 6.0], [1.5, 3.0]],
    depths=[1.0, 1.2, 0.4],
    softness=0.2,
    noise=2.5,
)
FIELD = fs.RandomField(2, 100, amplitude=0.6, confinement=0.15, noise=1.0, seed=5)


def rosenbrock_gradient(theta, draws, out):
    valley = theta[1] - theta[0] ** 2
    out[0] = -4 * valley * theta[0] - 2 * (1 - theta[0])
    out[1] = 2 * valley


def rosenbrock(theta):
    return (theta[1] - theta[0] ** 2) ** 2 + (1 - theta[0]) ** 2


def descend(landscape: fs.Landscape, start: np.ndarray, lr: float, steps: int) -> np.ndarray:
    """Return noisy descents, shape (steps + 1, paths, d), by the plain NumPy gradient."""
    theta = np.tile(start, (PATHS, 1))
    path = [theta]
    for t in range(steps):
        draws = Draws(1, t, np.arange(PATHS, dtype=np.uint64), "double")
        theta = theta - lr * landscape.reference_gradient(theta, draws, 1)
        path.append(theta)
    return np.stack(path)


def contours(
    ax: plt.Axes,
    landscape: fs.Landscape,
    box: tuple[float, float, float, float],
    start: tuple[float, float],
    lr: float,
    minima: np.ndarray,
) -> None:
    """Draw a loss of two parameters."""
    x, y = np.meshgrid(np.linspace(*box[:2], 160), np.linspace(*box[2:], 160))
    loss = landscape.reference_loss(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)
    levels = np.quantile(loss, np.linspace(0, 1, 25) ** 1.5)
    filled = ax.contourf(x, y, loss, levels=np.unique(levels), cmap="cividis")
    filled.set_edgecolor("face")
    for k, path in enumerate(np.moveaxis(descend(landscape, np.array(start), lr, 200), 1, 0)):
        ax.plot(*path.T, color="white", linewidth=0.8, alpha=0.9)
        ax.plot(*path[-1], "o", color="white", markersize=3, label="descents" if k == 0 else None)
    ax.plot(*minima.T, "*", color=COLOURS[1], markersize=9, markeredgecolor="black")
    ax.grid(False)
    ax.set_xlim(*box[:2])
    ax.set_ylim(*box[2:])
    ax.set_xlabel("first parameter")
    ax.set_ylabel("second parameter")


def curves(ax: plt.Axes, landscape: fs.Landscape, rates: tuple[float, ...], n: int) -> None:
    """Draw the loss of SGD at some rates, with the exact mean where there is one."""
    for lr, colour in zip(rates, COLOURS, strict=False):
        question = fs.Study(landscape, fs.SGD(lr), 1000, n, record=40)
        result = simulate(question)
        step, mean = result["step"].values[1:], result["loss"].values[1:]
        error = 2 * result["loss_se"].values[1:]
        ax.fill_between(step, mean - error, mean + error, color=colour, alpha=0.4, linewidth=0)
        ax.plot(step, mean, color=colour, label=f"lr = {lr:g}")
        if result.exact is not None:
            ax.plot(step, result.exact["loss"].values[1:], ":", color="black", linewidth=1.2)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("step (updates)")
    ax.set_ylabel("loss")
    ax.legend()


def double_well(ax: plt.Axes) -> None:
    x = np.linspace(-1.7, 1.7, 300)[:, None]
    ax.plot(x, fs.DoubleWell().reference_loss(x), color="black")
    for noise, colour in (("hessian", COLOURS[0]), (1.5, COLOURS[1])):
        landscape = fs.DoubleWell(noise=noise)
        path = descend(landscape, np.array([-1.0]), 0.1, 400)[:, :, 0]
        density, edges = np.histogram(path[50:], bins=40, range=(-1.7, 1.7), density=True)
        label = f"visits, scaled; noise = {noise!r}"
        ax.stairs(0.15 * density - 0.25, edges, baseline=-0.25, color=colour, label=label)
    ax.set_ylim(-0.27, 0.3)
    ax.set_xlabel("first parameter")
    ax.set_ylabel("loss")
    ax.legend()


def gallery(n: int) -> dict[str, Callable[[plt.Axes], None]]:
    """Return what draws each landscape."""
    powers = np.arange(1, 101) ** -1.5
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(500, 20)) / np.arange(1, 21) ** 0.5
    targets = inputs.sum(axis=1) + rng.normal(size=500) > 0
    features = fs.RandomFeatures.power_law(400, 100, 1.0, 0.7)
    rosenbrock_valley = fs.Custom(rosenbrock_gradient, rosenbrock, 2, noise=0.3, minimum=1.0)
    quadratic = fs.Quadratic([1.0, 0.15], noise=0.7)
    wells, minima = WELLS, WELLS.minima().locations
    return {
        "Quadratic, d = 2": lambda ax: contours(
            ax, quadratic, (-2, 2.5, -2, 2.5), (2.0, 2.0), 0.1, np.zeros((1, 2))
        ),
        "LeastSquares, d = 100": lambda ax: curves(
            ax, fs.LeastSquares(powers, 0.3), (0.2, 0.07, 0.02), n
        ),
        "RandomFeatures, linear": lambda ax: curves(ax, features, (0.3, 0.1, 0.03), n),
        "RandomFeatures, relu": lambda ax: curves(
            ax, features.replace(activation="relu"), (0.5, 0.2, 0.1), n
        ),
        "Dataset, logistic": lambda ax: curves(
            ax, fs.Dataset(inputs, targets, "logistic", l2=0.01), (3.0, 1.0, 0.2), n
        ),
        "DoubleWell": double_well,
        "Wells: flat, sharp, shallow": lambda ax: contours(
            ax, wells, (-3, 3, -1.8, 3), (0.2, 1.8), 0.1, minima
        ),
        "RandomField, d = 2": lambda ax: contours(
            ax, FIELD, (-4, 4, -4, 4), (3.0, 3.0), 0.1, FIELD.minima().locations
        ),
        "Custom: Rosenbrock's valley": lambda ax: contours(
            ax, rosenbrock_valley, (-2, 2, -1, 3), (-1.5, 2.0), 0.03, np.ones((1, 2))
        ),
    }


def table() -> list[list[str]]:
    """Return the lowest minima of the landscapes that have several."""
    rows = [["landscape", "minimum", "loss", "curvatures", "barriers to each"]]
    for name, landscape in (("Wells", WELLS), ("RandomField", FIELD)):
        minima = landscape.minima()
        barriers = WELLS.barriers() if landscape is WELLS else [[]] * len(minima.losses)
        for k, loss in enumerate(minima.losses[:4]):
            place = f"{k + 1} of {len(minima.losses)}"
            rows.append([name, place, f"{loss:.4f}", listed(minima.curvatures[k])])
            rows[-1].append(listed(barriers[k]))
    return rows


def listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def study(quick: bool) -> Outcome:
    figure, axes = plt.subplots(3, 3, figsize=(13, 11))
    pictures = gallery(200 if quick else 4000)
    for ax, (name, picture) in zip(axes.flat, pictures.items(), strict=True):
        picture(ax)
        ax.set_title(name)
    figure.suptitle(
        "Noisy descents over contours (dark: low; stars: minima); SGD, mean ± 2 standard errors, "
        "with its exact mean (dotted) where it is known"
    )
    return Outcome(figure, table(), [])


if __name__ == "__main__":
    main(study)
