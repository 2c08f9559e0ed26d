"""Activations, random feature maps, and one-pass regression on features that are drawn."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

from fastsched.errors import choice, integer
from fastsched.kernels.dense import ROWS, multiply
from fastsched.kernels.device import device
from fastsched.kernels.math import cos_turns
from fastsched.kernels.philox import STREAM_BATCH
from fastsched.kernels.probe import Work
from fastsched.landscapes.base import NULL, Coupled, Curvature, start_of
from fastsched.memory import require_memory
from fastsched.spec import Spec, spec

if TYPE_CHECKING:
    from fastsched.kernels.reference import Draws
    from fastsched.landscapes.random_features import RandomFeatures

_TURN = 1 / (2 * math.pi)

LINEAR, RELU, TANH, ERF, COS = range(5)

_BATCH = np.uint32(STREAM_BATCH)

Matrix = NDArray[np.float64]


class Activation(NamedTuple):
    """A function a of the preactivations u.

    Attributes
    ----------
    code : int
        Its number for the kernels.
    function : function of an array
    second_moments : function or None
        `(S) -> E a(u_i) a(u_j)` for u ~ N(0, S), where it has a closed form.
    slopes : function or None
        `(diagonal of S) -> E a'(u_i)`; so E a(u_i) y = slope_i Cov(u_i, y) for y jointly normal.
    """

    code: int
    function: Callable[[Matrix], Matrix]
    second_moments: Callable[[Matrix], Matrix] | None
    slopes: Callable[[Matrix], Matrix] | None


def _relu_moments(covariance: Matrix) -> Matrix:
    std = np.sqrt(np.diagonal(covariance))
    scale = np.outer(std, std)
    cosine = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)
    cosine = np.clip(cosine, -1, 1)
    return scale / (2 * np.pi) * (np.sqrt(1 - cosine**2) + cosine * (np.pi - np.arccos(cosine)))


def _erf_moments(covariance: Matrix) -> Matrix:
    norm = np.sqrt(1 + 2 * np.diagonal(covariance))
    return 2 / np.pi * np.arcsin(2 * covariance / np.outer(norm, norm))


def _cos_moments(covariance: Matrix) -> Matrix:
    half = np.diagonal(covariance) / 2
    total = half[:, None] + half
    return (np.exp(covariance - total) + np.exp(-covariance - total)) / 2


ACTIVATIONS = {
    "linear": Activation(LINEAR, lambda u: u, lambda s: s, np.ones_like),
    "relu": Activation(
        RELU, lambda u: np.maximum(u, 0), _relu_moments, lambda v: np.where(v > 0, 0.5, 0.0)
    ),
    "tanh": Activation(TANH, np.tanh, None, None),
    "erf": Activation(ERF, special.erf, _erf_moments, lambda v: 2 / np.sqrt(np.pi * (1 + 2 * v))),
    "cos": Activation(COS, np.cos, _cos_moments, np.zeros_like),
}


def random_weights(inputs: int, features: int, variance: float, seed: int) -> Matrix:
    """Return weights of shape (inputs, features): normals of NumPy's Philox generator."""
    require_memory(8 * inputs * features, "the numbers of inputs or features")
    generator = np.random.Generator(np.random.Philox(seed))
    return math.sqrt(variance) * generator.standard_normal((inputs, features))


def lower_root(values: Matrix, vectors: Matrix) -> Matrix:
    """Return the lower triangular M whose M^T M has these eigenvalues and eigenvectors."""
    root = np.sqrt(values)[:, None] * vectors.T[:, ::-1]
    return np.ascontiguousarray(linalg.qr(root, mode="r")[0][::-1, ::-1])


@spec
class FeatureMap(Spec):
    r"""A random feature map of data: phi(x) = a(W^T x), with W_ij ~ N(0, 1/inputs).

    Parameters
    ----------
    features : int
        Number p of features.
    activation : {"linear", "relu", "tanh", "erf", "cos"}, default "relu"
        The function a.
    seed : int, default 0
        Of the weights W.

    Raises
    ------
    FastschedError
        A parameter is out of range.

    Notes
    -----
    Source: Rahimi & Recht, NeurIPS 2007.

    Examples
    --------
    >>> FeatureMap(3, "linear")(np.ones((5, 2))).shape
    (5, 3)
    """

    features: int
    activation: str = "relu"
    seed: int = 0

    def __post_init__(self) -> None:
        self._set(
            features=integer("features", self.features, minimum=1, maximum=2**31),
            activation=choice("activation", self.activation, tuple(ACTIVATIONS)),
            seed=integer("seed", self.seed, minimum=0, maximum=2**64 - 1),
        )

    def __call__(self, inputs: Matrix) -> Matrix:
        """Return the features of each row of the inputs."""
        v = inputs.shape[1]
        weights = random_weights(v, self.features, 1 / v, self.seed)
        return ACTIVATIONS[self.activation].function(inputs @ weights)


@device
def activate(kind, first, last, rows, u):
    """Apply the activation `kind` to the first rows of u, in place."""
    if kind == RELU:
        for j in range(rows):
            for lane in range(first, last):
                u[j, lane - first] = max(u[j, lane - first], 0)
    elif kind == TANH:
        for j in range(rows):
            for lane in range(first, last):
                u[j, lane - first] = math.tanh(u[j, lane - first])
    elif kind == ERF:
        for j in range(rows):
            for lane in range(first, last):
                u[j, lane - first] = math.erf(u[j, lane - first])
    elif kind == COS:
        for j in range(rows):
            for lane in range(first, last):
                angle = u[j, lane - first]
                u[j, lane - first] = cos_turns(angle * type(angle)(_TURN))


@device
def drawn_features_gradient(
    normals, first, last, trajectory, t, k, state, field, table, data, work, keys
):
    """Write the mean gradient of a batch of fresh samples to field[k]."""
    mixing, label, minimum, kind, triangular = data[0], data[1], data[2], data[5][0], data[5][1]
    z, u, residual = work
    features, inputs = mixing.shape
    blocks = (inputs + 4) // 4
    count = np.int64(table[t, 0])
    for j in range(features):
        for lane in range(first, last):
            field[k, j, lane] = 0
    for b in range(count):
        for q in range(blocks):
            for lane in range(first, last):
                z0, z1, z2, z3 = normals(
                    np.uint32(b * blocks + q),
                    np.uint32(t),
                    np.uint32(trajectory + lane),
                    _BATCH,
                    keys,
                )
                z[4 * q, lane - first] = z0
                z[4 * q + 1, lane - first] = z1
                z[4 * q + 2, lane - first] = z2
                z[4 * q + 3, lane - first] = z3
        for begin in range(0, features, ROWS):
            end = min(begin + ROWS, features)
            columns = min(end, inputs) if triangular else inputs
            multiply(first, last, begin, end, columns, mixing, z, u[begin:end])
        activate(kind, first, last, features, u)
        for lane in range(first, last):
            residual[0, lane - first] = 0
        for i in range(inputs + 1):
            weight = label[i]
            for lane in range(first, last):
                residual[0, lane - first] -= weight * z[i, lane - first]
        for j in range(features):
            best = minimum[j]
            for lane in range(first, last):
                residual[0, lane - first] += u[j, lane - first] * (state[0, j, lane] + best)
        share = table[t, 1]
        for lane in range(first, last):
            residual[0, lane - first] *= share
        for j in range(features):
            for lane in range(first, last):
                field[k, j, lane] += residual[0, lane - first] * u[j, lane - first]


@device
def drawn_features_loss(first, last, slot, state, data, work, totals):
    """Write |M x|^2 / 2 plus the least loss to `totals`."""
    root, numbers, u = data[3], data[4], work[1]
    for lane in range(first, last):
        totals[0, lane - first] = 0
    for begin in range(0, root.shape[0], ROWS):
        end = min(begin + ROWS, root.shape[0])
        multiply(first, last, begin, end, end, root, state[slot], u)
        for j in range(end - begin):
            for lane in range(first, last):
                totals[0, lane - first] += u[j, lane - first] * u[j, lane - first]
    for lane in range(first, last):
        totals[0, lane - first] = totals[0, lane - first] / 2 + numbers[0]


class DrawnFeatures(Coupled):
    """`RandomFeatures` by drawing inputs and multiplying them by the weights.

    A sample's preactivations are `mixing` z and its label is <`label`, (z, e)>, for normals z
    and e. Unless all inputs are to be drawn, z is what the preactivations depend on, in the
    basis of a QR decomposition, where the matrix is lower triangular; what is left of the label
    joins its noise.
    """

    gradient_function = drawn_features_gradient
    loss_function = drawn_features_loss
    draws_normals = False

    def __init__(self, features: RandomFeatures) -> None:
        activation = ACTIVATIONS[features.activation]
        std = np.sqrt(features.input_spectrum)
        explained, noise = std * features.target, features.label_noise
        mixing = std[:, None] * features.weights
        self._triangular = not features.brute_force
        if self._triangular:
            square = float(explained @ explained)
            basis, mixing = linalg.qr(mixing, mode="economic")
            explained = basis.T @ explained
            noise = math.sqrt(max(square - explained @ explained, 0.0) + noise**2)
        self._features = features
        self._code, self._function = activation.code, activation.function
        self._mixing = np.ascontiguousarray(mixing.T)
        self._label = np.append(explained, noise)
        second, cross = self._moments(activation)
        values, vectors = np.linalg.eigh(second)
        kept = values > NULL * max(values[-1], 0.0)
        projected = vectors.T @ cross
        inverse = np.divide(1, values, out=np.zeros_like(values), where=kept)
        self._minimum = vectors @ (inverse * projected)
        self._root = lower_root(np.where(kept, values, 0), vectors)
        self.least_loss = max((self._square - float(projected @ (inverse * projected))) / 2, 0.0)

    def _moments(self, activation: Activation) -> tuple[Matrix, Matrix]:
        """Return E phi phi^T and E phi y, and keep E y^2, of labels without their noise."""
        mixing, label = self._mixing, self._label[:-1]
        unexplained = self._label[-1] ** 2 - self._features.label_noise**2
        self._square = label @ label + unexplained
        if activation.second_moments is not None and activation.slopes is not None:
            covariance = mixing @ mixing.T
            slopes = activation.slopes(np.diagonal(covariance).copy())
            return activation.second_moments(covariance), slopes * (mixing @ label)
        size = self._features.test_size
        generator = np.random.Generator(np.random.Philox([self._features.seed, 1]))
        second = np.zeros((len(mixing), len(mixing)))
        cross, square = np.zeros(len(mixing)), 0.0
        for begin in range(0, size, 1000):
            rows = min(1000, size - begin)
            z = generator.standard_normal((rows, len(label) + 1))
            phi = self._function(z[:, :-1] @ mixing.T)
            y = z[:, :-1] @ label + math.sqrt(max(unexplained, 0.0)) * z[:, -1]
            second += phi.T @ phi / size
            cross += phi.T @ y / size
            square += y @ y / size
        self._square = square
        return second, cross

    @property
    def kind(self) -> str:
        return "RandomFeatures"

    @property
    def dim(self) -> int:
        return self._features.dim

    def step_cost(self, batch_size: float) -> float:
        features, inputs = self._mixing.shape
        return batch_size * (inputs + features * inputs / 20)

    def origin(self) -> NDArray[np.float64]:
        return self._minimum.copy()

    def minimizer(self) -> NDArray[np.float64]:
        return self.origin()

    @property
    def sharpness(self) -> Curvature:
        singular = np.linalg.svd(self._root, compute_uv=False)
        return Curvature(float(np.sum(singular**2)), float(singular[0] ** 2))

    def start_moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return start_of(self._features.start, self.dim)

    def step_table(self, batch_sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([batch_sizes, 1 / batch_sizes], axis=1)

    def data(self) -> tuple[Any, ...]:
        return (
            self._mixing,
            self._label,
            self._minimum,
            self._root,
            np.array([self.least_loss]),
            np.array([self._code, self._triangular], dtype=np.int64),
        )

    def work(self) -> tuple[Work, ...]:
        features, inputs = self._mixing.shape
        return Work(4 * ((inputs + 4) // 4)), Work(max(features, ROWS)), Work(1)

    def reference_gradient(
        self, theta: NDArray[np.floating], draws: Draws, batch_size: float
    ) -> NDArray[np.floating]:
        inputs = self._mixing.shape[1]
        blocks = (inputs + 4) // 4
        gradient = np.zeros(theta.shape)
        for b in range(int(batch_size)):
            z = draws.batch_normals(b * blocks + np.arange(blocks)).reshape(len(theta), -1)
            phi = self._function(z[:, :inputs] @ self._mixing.T)
            residual = np.sum(phi * theta, axis=1) - z[:, : inputs + 1] @ self._label
            gradient += residual[:, None] * phi / batch_size
        return gradient

    def reference_loss(self, theta: NDArray[np.floating]) -> NDArray[np.floating]:
        return 0.5 * np.sum(((theta - self._minimum) @ self._root.T) ** 2, axis=1) + self.least_loss
