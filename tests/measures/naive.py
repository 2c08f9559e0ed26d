"""Every measure by its definition, on whole trajectories of the plain NumPy simulation."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastsched as fs
from fastsched.kernels import reference
from fastsched.measures.base import QUANTILES

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Walk:
    """All trajectories of a study; `gradients[t]` is that of update t, at `theta[t]`.

    Shapes are (steps + 1, n, d) for theta and velocity, (steps, n, d) for the gradients and
    (steps + 1, n) for the loss.
    """

    study: fs.Study
    theta: Array
    velocity: Array
    gradients: Array
    loss: Array

    def at_records(self, values: Array) -> Array:
        return values[self.study.record_steps]


def walk(study: fs.Study) -> Walk:
    points = list(
        reference.path(
            study.landscape,
            study.optimizer,
            study.batch_sizes(),
            np.arange(study.trajectories),
            study.seed,
            study.precision,
        )
    )
    theta = np.stack([point.theta.astype(np.float64) for point in points])
    velocity = np.stack([point.state[0] if point.state else 0 * point.theta for point in points])
    gradients = np.stack([point.gradient for point in points[1:]])
    model = study.landscape.model
    loss = np.stack([model.reference_loss(x) for x in theta])
    return Walk(study, theta, velocity, gradients, loss)


def mean(name: str, values: Array) -> dict[str, Array]:
    """Return the mean over the last axis, of what is finite, and its error, by name."""
    with np.errstate(invalid="ignore", divide="ignore"):
        n = np.sum(np.isfinite(values), axis=-1)
        center = np.where(n > 0, np.nansum(values, axis=-1) / n, np.nan)
        square = np.nansum((values - center[..., None]) ** 2, axis=-1)
        error = np.where(n > 1, np.sqrt(square / (n - 1) / n), np.nan)
    return {name: center, f"{name}_se": error}


def fraction(name: str, values: Array) -> dict[str, Array]:
    """Return the fraction over the last axis that is true, and its binomial error, by name."""
    p = values.mean(axis=-1)
    return {name: p, f"{name}_se": np.sqrt(p * (1 - p) / values.shape[-1])}


def first(happened: Array) -> Array:
    """Return for each column the first row that is true, infinite if none."""
    return np.where(happened.any(axis=0), happened.argmax(axis=0), np.inf)


def passage(prefix: str, times: Array, study: fs.Study) -> dict[str, Array]:
    ordered = np.sort(times)
    ranks = np.ceil(np.array(QUANTILES) * len(times) - 1e-9).astype(int) - 1
    quantiles = np.where(np.isfinite(ordered[ranks]), ordered[ranks], np.nan)
    return {
        **fraction(f"{prefix}_probability", np.isfinite(times)),
        **mean(f"{prefix}_time", np.minimum(times, study.steps)),
        f"{prefix}_time_quantile": quantiles,
        **fraction(f"{prefix}_survival", times > study.record_steps[:, None]),
    }


def hitting_time(walk: Walk, measure: fs.HittingTime) -> dict[str, Array]:
    return passage("hitting", first(walk.loss <= measure.level), walk.study)


def escape(walk: Walk, measure: fs.Escape) -> dict[str, Array]:
    if measure.radius is not None:
        distance = np.linalg.norm(walk.theta - measure.center, axis=-1)
        times = first(distance > measure.radius)
    elif measure.region is not None:
        times = first(~np.apply_along_axis(measure.region, -1, walk.theta).astype(bool))
    else:
        records = watched(walk)
        basin = basins_of(walk.study.landscape, walk.theta[records])
        times = first(basin != basin[0])
        times = np.where(np.isfinite(times), records[first_index(times)], np.inf)
    events, exposure = np.isfinite(times).sum(), np.minimum(times, walk.study.steps).sum()
    rate = {"escape_rate": events / exposure, "escape_rate_se": np.sqrt(events) / exposure}
    return passage("escape", times, walk.study) | rate


def first_index(times: Array) -> Array:
    return np.where(np.isfinite(times), times, 0).astype(int)


def overshoot(walk: Walk, measure: fs.Overshoot) -> dict[str, Array]:
    axes = np.arange(walk.theta.shape[2]) if measure.axes is None else measure.axes
    x = (walk.theta - walk.study.landscape.model.minimizer())[:, :, axes]
    lowest = np.min(x / x[0], axis=0).T
    crossings = np.sum(np.diff(np.sign(x), axis=0) != 0, axis=0).T
    rise = walk.loss.max(axis=0) / walk.loss[0]
    return {
        **mean("overshoot_probability", lowest < 0),
        **mean("overshoot_depth", np.maximum(-lowest, 0)),
        **mean("overshoot_crossings", crossings),
        **mean("loss_rise_probability", rise > 1),
        **mean("loss_rise", rise),
    }


def watched(walk: Walk) -> Array:
    """Return the steps at which the basin is found."""
    if isinstance(walk.study.landscape, fs.RandomField):
        return np.union1d([0, walk.study.steps], walk.study.record_steps)
    return np.arange(walk.study.steps + 1)


def basins_of(landscape: Any, theta: Array) -> Array:
    """Return the basin of each point, shape (times, n)."""
    if isinstance(landscape, fs.DoubleWell):
        return (theta[..., 0] > 0).astype(int)
    if isinstance(landscape, fs.Wells):
        return landscape.weights(theta).argmax(axis=-1)
    minima = catalogue(landscape)
    end = descended(landscape, theta.reshape(-1, landscape.dim), 100).reshape(theta.shape)
    return np.linalg.norm(end[..., None, :] - minima, axis=-1).argmin(axis=-1)


@functools.cache
def catalogue(field: fs.RandomField) -> Array:
    return field.minima().locations


def descended(field: fs.RandomField, points: Array, steps: int) -> Array:
    """Return where gradient descent leads, at the rate that the field's steepest wells allow."""
    bound = (1 + 2 * np.sqrt(field.dim)) * field.amplitude / field.length_scale**2
    height = field.amplitude * np.sqrt(2 / field.waves)
    for _ in range(steps):
        sines = np.sin(points @ field.frequencies.T + field.phases)
        gradient = field.confinement * points - height * sines @ field.frequencies
        points = points - gradient / (field.confinement + bound)
    return points


def basins(walk: Walk, measure: fs.Basins) -> dict[str, Array]:
    count = walk.study.landscape.basins.basins
    basin = basins_of(walk.study.landscape, walk.theta[watched(walk)])
    occupied = basins_of(walk.study.landscape, walk.at_records(walk.theta))
    final = basins_of(walk.study.landscape, walk.theta[-1:])[0]
    numbers = np.arange(count)
    changes = basin[:-1] * count + basin[1:]
    changes[basin[:-1] == basin[1:]] = -1
    counts = np.sum(changes == np.arange(count**2)[:, None, None], axis=1)
    return {
        **fraction("basin_occupancy", occupied[:, None] == numbers[:, None]),
        **fraction("basin_final", final == numbers[:, None]),
        **mean("basin_transitions", counts.reshape(count, count, -1)),
    }


def cosine(a: Array, b: Array) -> Array:
    with np.errstate(invalid="ignore"):
        norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
        return np.sum(a * b, axis=-1) / norms


def alignment(walk: Walk, measure: fs.Alignment) -> dict[str, Array]:
    g, n = walk.gradients, walk.study.trajectories
    gradients = np.concatenate([cosine(g[:-1], g[1:]), np.full((2, n), np.nan)])
    result = mean("gradient_alignment", walk.at_records(gradients))
    if walk.study.optimizer.slots:
        velocity = getattr(walk.study.optimizer, "velocity", "pytorch")
        sign = 1 if velocity == "pytorch" else -1
        met = np.concatenate([sign * cosine(walk.velocity[:-1], g), np.full((1, n), np.nan)])
        result |= mean("velocity_alignment", walk.at_records(met))
    return result


def eigenvalues(landscape: Any, theta: Array) -> Array:
    """Return the eigenvalues of the Hessian at points of shape (..., d), ascending."""
    if isinstance(landscape, fs.DoubleWell):
        values = np.broadcast_to(landscape.across, (landscape.dim - 1,))
        across = np.broadcast_to(values, (*theta.shape[:-1], landscape.dim - 1))
        return np.sort(np.concatenate([3 * theta[..., :1] ** 2 - 1, across], axis=-1), axis=-1)
    if isinstance(landscape, fs.Quadratic):
        return np.broadcast_to(np.sort(landscape.eigenvalues), theta.shape)
    if isinstance(landscape, fs.LeastSquares):
        return np.broadcast_to(np.sort(landscape.spectrum), theta.shape)
    hessians = [landscape.hessian(x) for x in theta.reshape(-1, landscape.dim)]
    return np.linalg.eigvalsh(hessians).reshape(theta.shape)


KNOWN_HESSIANS = (fs.Quadratic, fs.LeastSquares, fs.DoubleWell, fs.Wells, fs.RandomField)


def sharpness(walk: Walk, measure: fs.Sharpness) -> dict[str, Array]:
    values = eigenvalues(walk.study.landscape, walk.at_records(walk.theta))
    return {**mean("hessian_trace", values.sum(axis=-1)), **mean("hessian_max", values[..., -1])}


def average(walk: Walk, measure: fs.Average) -> dict[str, Array]:
    averages = [walk.theta[0]]
    for t in range(1, walk.study.steps + 1):
        if measure.kind == "ema":
            averages.append(measure.decay * averages[-1] + (1 - measure.decay) * walk.theta[t])
        elif measure.kind == "tail" and t <= measure.start:
            averages.append(walk.theta[t])
        else:
            averages.append(walk.theta[measure.start or 0 : t].mean(axis=0))
    model = walk.study.landscape.model
    losses = np.stack([model.reference_loss(x) for x in averages])
    return mean("average_loss", walk.at_records(losses))


BY_DEFINITION = {
    fs.Alignment: alignment,
    fs.Average: average,
    fs.Basins: basins,
    fs.Escape: escape,
    fs.HittingTime: hitting_time,
    fs.Loss: lambda walk, measure: mean("loss", walk.at_records(walk.loss)),
    fs.Overshoot: overshoot,
    fs.Sharpness: sharpness,
}


def expected(study: fs.Study) -> dict[str, Array]:
    """Return what the study's measures add to its result, by name."""
    whole = walk(study)
    result: dict[str, Array] = {}
    for measure in study.measures:
        result |= BY_DEFINITION[type(measure)](whole, measure)
    return result


def check(result: fs.Result, values: dict[str, Array]) -> None:
    """Assert that a result has these values, by name."""
    for name, value in values.items():
        np.testing.assert_allclose(
            result[name], value, rtol=1e-8, atol=1e-11, equal_nan=True, err_msg=name
        )
