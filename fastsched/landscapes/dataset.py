"""Finite sums over real data."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from fastsched.errors import FastschedError, array, choice, integer, real, reject
from fastsched.kernels.curvature import eigenvalue_work
from fastsched.kernels.dense import ROWS
from fastsched.kernels.probe import View, Work
from fastsched.landscapes.base import (
    NULL,
    Coupled,
    Curvature,
    Normal,
    checked_start,
    start_of,
)
from fastsched.landscapes.features import FeatureMap, lower_root
from fastsched.landscapes.finite_sum import (
    LOSSES,
    SAMPLES,
    dataset_gradient,
    dataset_loss,
    logistic_largest,
    logistic_trace,
)
from fastsched.spec import spec

if TYPE_CHECKING:
    from fastsched.kernels.reference import Draws

# Row numbers and batch sizes are kept in single precision too.
_LARGEST_ROWS = 2**24


@spec
class Dataset(Coupled):
    r"""A finite sum over data: linear or logistic regression with real mini-batch noise.

    With the rows phi_r of the inputs, or of their random features, r = 1 ... n,

    .. math::
        f(\theta) = \frac1n \sum_{r=1}^n \ell(\langle \phi_r, \theta \rangle, y_r)
            + \frac\lambda2 |\theta|^2, \qquad
        \ell(m, y) = \tfrac12 (m - y)^2 \;\text{or}\; \log(1 + e^{-m y}), \qquad
        g_t = \frac1{|b_t|} \sum_{r \in b_t} \ell'(\langle \phi_r, \theta_t \rangle, y_r) \phi_r
            + \lambda \theta_t

    The recorded loss is f over all rows; `TestLoss` records the mean loss of a test split.

    Parameters
    ----------
    inputs : array of shape (n, v)
        One row for each sample, at most 2^24 of them. False and True count as 0 and 1.
    targets : array of shape (n,) or (n, 1)
        Any numbers for the squared loss; two classes, 0 and 1, -1 and 1, or False and True, for
        the logistic loss.
    loss : {"squared", "logistic"}, default "squared"
    features : int or FeatureMap, optional
        Use random features of the inputs: that many with relu, or those of a `FeatureMap`.
    replacement : bool, default True
        Draw every row of a batch independently; a batch may then be larger than n. Otherwise go
        through the rows in epochs, each in a new random order, with a smaller last batch where
        the batch size does not divide n, as PyTorch's DataLoader.
    l2 : float, default 0
        Strength lambda of the penalty.
    start : float, array of shape (d,) or Normal, default 0
        The starting point, or the distribution it is drawn from for each trajectory.
    test_inputs, test_targets : arrays of shapes (m, v) and (m,), optional
        A test split, for `TestLoss`.

    Raises
    ------
    FastschedError
        A parameter is out of range or of the wrong shape, or the data hold NaN; when run, a batch
        size larger than n without replacement, or larger than 2^24 with it.

    Notes
    -----
    For the squared loss the mean over all rows is evaluated as |M (theta - theta*)|^2 / 2 plus
    the least loss, at d^2 operations; for the logistic loss it costs n d. Sources: Robbins &
    Monro, Ann. Math. Stat. 22 (1951) 400; Bottou, Curtis & Nocedal, SIAM Rev. 60 (2018) 223.

    Examples
    --------
    >>> data = Dataset([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], [1.0, 2.0, 2.0])
    >>> data.minimizer().round(12).tolist()
    [1.0, 1.0]
    """

    inputs: NDArray[np.float64]
    targets: NDArray[np.float64]
    loss: str = "squared"
    features: int | FeatureMap | None = None
    replacement: bool = True
    l2: float = 0.0
    start: float | NDArray[np.float64] | Normal = 0.0
    test_inputs: NDArray[np.float64] | None = None
    test_targets: NDArray[np.float64] | None = None

    gradient_function = dataset_gradient
    loss_function = dataset_loss
    draws_normals = False

    def __post_init__(self) -> None:
        choice("loss", self.loss, tuple(LOSSES))
        inputs, targets = self._checked_rows("inputs", "targets")
        if not isinstance(self.replacement, (bool, np.bool_)):
            reject("replacement", self.replacement, "True or False")
        features = self.features
        if features is not None and not isinstance(features, FeatureMap):
            features = FeatureMap(integer("features", features, minimum=1))
        self._set(
            inputs=inputs,
            targets=targets,
            features=features,
            replacement=bool(self.replacement),
            l2=real("l2", self.l2, minimum=0),
        )
        if (self.test_inputs is None) != (self.test_targets is None):
            missing = "test_inputs" if self.test_inputs is None else "test_targets"
            reject(missing, None, "given with the other half of the test split")
        if self.test_inputs is not None:
            test_inputs, test_targets = self._checked_rows("test_inputs", "test_targets")
            if test_inputs.shape[1] != inputs.shape[1]:
                reject(
                    "test_inputs",
                    self.test_inputs,
                    f"with the {inputs.shape[1]} columns of the inputs, got {test_inputs.shape[1]}",
                )
            self._set(test_inputs=test_inputs, test_targets=test_targets)
        self._set(start=checked_start(self.start, self.dim))

    def _checked_rows(
        self, name: str, target_name: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows, values = getattr(self, name), getattr(self, target_name)
        inputs = array(name, rows, ndim=(2,), allowed="an array of shape (n, v)", kinds="biuf")
        if len(inputs) > _LARGEST_ROWS:
            reject(name, rows, f"of at most {_LARGEST_ROWS} rows, got {len(inputs)}")
        shape = f"a vector of shape ({len(inputs)},)"
        targets = array(target_name, values, ndim=(1, 2), allowed=shape, kinds="biuf")
        if targets.ndim == 2 and targets.shape[1] == 1:
            targets = targets[:, 0]
        if targets.shape != (len(inputs),):
            reject(target_name, values, f"{shape}, got shape {targets.shape}")
        if self.loss == "logistic" and not (
            np.all(np.isin(targets, (0, 1))) or np.all(np.isin(targets, (-1, 1)))
        ):
            reject(target_name, values, "0 or 1, or -1 or 1, for the logistic loss")
        return inputs, targets

    @property
    def dim(self) -> int:
        return self.inputs.shape[1] if self.features is None else self._map.features

    @property
    def _map(self) -> FeatureMap:
        assert isinstance(self.features, FeatureMap)
        return self.features

    @functools.cached_property
    def design(self) -> NDArray[np.float64]:
        """The rows phi, shape (n, d): the inputs, or their features."""
        return self._rows(self.inputs)

    def _rows(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        return inputs if self.features is None else self._map(inputs)

    def _labels(self, targets: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(targets > 0, 1.0, -1.0) if self.loss == "logistic" else targets

    def _slopes(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the derivative of each row's loss by its margin."""
        return self._derivative(self.design @ theta, self._labels(self.targets))

    def _derivative(
        self, margins: NDArray[np.float64], labels: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        if self.loss == "squared":
            return margins - labels
        return -labels * special.expit(-labels * margins)

    def gradient(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the full-batch gradient at theta, shape (d,)."""
        return self.design.T @ self._slopes(theta) / len(self.design) + self.l2 * theta

    def hessian(self, theta: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Return the Hessian of the loss, shape (d, d), by default at the minimizer.

        Parameters
        ----------
        theta : array of shape (d,), optional
        """
        weights = np.ones(len(self.design))
        if self.loss == "logistic":
            margins = self.design @ (self.minimizer() if theta is None else theta)
            weights = special.expit(margins) * special.expit(-margins)
        second = self.design.T @ (weights[:, None] * self.design) / len(self.design)
        return second + self.l2 * np.eye(self.dim)

    def gradient_covariance(self, theta: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Return the covariance of one row's gradient, shape (d, d), by default at the minimizer.

        That of the mean of B rows drawn with replacement is 1/B of it.

        Parameters
        ----------
        theta : array of shape (d,), optional
        """
        slopes = self._slopes(self.minimizer() if theta is None else theta)
        mean = self.design.T @ slopes / len(slopes)
        weighted = slopes[:, None] * self.design
        return weighted.T @ weighted / len(slopes) - np.outer(mean, mean)

    def minimizer(self) -> NDArray[np.float64]:
        """Return the minimizer of the loss, shape (d,); that of least norm if there are many.

        Raises
        ------
        FastschedError
            The logistic loss has no minimizer, since its classes can be separated.
        """
        return self._minimizer.copy()

    @functools.cached_property
    def _minimizer(self) -> NDArray[np.float64]:
        if self.loss == "squared":
            n = len(self.design)
            penalty = np.sqrt(n * self.l2) * np.eye(self.dim if self.l2 else 0, self.dim)
            rows = np.vstack([self.design, penalty])
            targets = np.append(self.targets, np.zeros(len(penalty)))
            return np.linalg.lstsq(rows, targets, rcond=None)[0]
        theta = optimize.minimize(
            lambda theta: self.reference_loss(theta[None])[0],
            np.zeros(self.dim),
            jac=self.gradient,
            hess=self.hessian,
            method="trust-exact",
            options={"gtol": 1e-8},
        ).x
        if not self.l2 and np.all(self._labels(self.targets) * (self.design @ theta) >= 0):
            raise FastschedError(
                f"l2 = {self.l2}: a hyperplane separates the classes, so the logistic loss has no "
                f"minimizer: l2 must be greater than 0"
            )
        for _ in range(2):
            theta = theta - np.linalg.lstsq(self.hessian(theta), self.gradient(theta))[0]
        return theta

    def origin(self) -> NDArray[np.float64]:
        return self.minimizer() if self.loss == "squared" else np.zeros(self.dim)

    def axis_curvatures(self) -> NDArray[np.float64]:
        return np.diagonal(self.hessian())

    @functools.cached_property
    def sharpness(self) -> Curvature:
        if self.loss == "squared":
            values = np.linalg.eigvalsh(self.hessian())
            return Curvature(float(np.sum(values)), float(values[-1]))
        n, rows = len(self.design), Work(len(self.design))
        work = (*eigenvalue_work(self.dim), rows, rows)
        return Curvature(
            View(logistic_trace, (np.sum(self.design**2, axis=1) / n,), (rows,)),
            View(logistic_largest, (self.design.T / n,), work),
        )

    def start_moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return start_of(self.start, self.dim)

    def step_cost(self, batch_size: float) -> float:
        return self.dim * (2.0 + 4.0 * batch_size)

    def step_table(self, batch_sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        n = len(self.inputs)
        most = _LARGEST_ROWS if self.replacement else n
        if np.max(batch_sizes) > most:
            allowed = (
                f"at most {most}"
                if self.replacement
                else (f"at most the number of rows, {n}, without replacement")
            )
            reject("batch_size", int(np.max(batch_sizes)), allowed)
        begins, counts = np.zeros_like(batch_sizes), batch_sizes.copy()
        if not self.replacement:
            position = 0.0
            for t, size in enumerate(batch_sizes):
                begins[t], counts[t] = position, min(size, n - position)
                position = (position + counts[t]) % n
        return np.stack([begins, counts, 1 / counts], axis=1)

    def data(self) -> tuple[Any, ...]:
        return self._data

    @functools.cached_property
    def _data(self) -> tuple[Any, ...]:
        origin, labels = self.origin(), self._labels(self.targets)
        test: tuple[Any, ...] = np.zeros((0, self.dim)), np.zeros(0), 0.0, 0.0
        if self.test_inputs is not None and self.test_targets is not None:
            test_rows, test_labels = self._rows(self.test_inputs), self._labels(self.test_targets)
            test = self._form(test_rows, test_labels, origin, 0.0)
        whole = self._form(self.design, labels, origin, self.l2)
        if self.loss == "squared":
            labels = labels - self.design @ origin
        return (
            self.design,
            labels,
            origin,
            np.array([self.l2, *whole[2:], *test[2:]]),
            np.array([LOSSES[self.loss], not self.replacement], dtype=np.int64),
            *whole[:2],
            *test[:2],
        )

    def _form(
        self,
        rows: NDArray[np.float64],
        labels: NDArray[np.float64],
        origin: NDArray[np.float64],
        l2: float,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float, float]:
        """Return matrix, offset, scale and constant of the mean loss, as `_mean_loss` takes them.

        The squared loss at origin + x is half of x^T H x + 2 b^T x + a; with H = M^T M, M lower
        triangular, this is |M x + q|^2 + a - |q|^2 where M^T q = b.
        """
        n = len(rows)
        if self.loss == "logistic":
            return rows, labels, 1 / n, 0.0
        residuals = rows @ origin - labels
        values, vectors = np.linalg.eigh(rows.T @ rows / n + l2 * np.eye(self.dim))
        matrix = lower_root(np.where(values > NULL * values[-1], values, 0), vectors)
        slope = rows.T @ residuals / n + l2 * origin
        offset = np.linalg.lstsq(matrix.T, slope)[0].astype(np.float64)
        square = residuals @ residuals / n + l2 * (origin @ origin)
        return matrix, offset, 0.5, float(square - offset @ offset) / 2

    def work(self) -> tuple[Work, ...]:
        order = Work(1 if self.replacement else len(self.inputs), np.int32)
        return Work(max(self.dim, ROWS)), Work(1), Work(SAMPLES, np.int32), order

    def reference_gradient(
        self, theta: NDArray[np.floating], draws: Draws, batch_size: float
    ) -> NDArray[np.floating]:
        rows = self._reference_rows(draws, int(batch_size))
        phi, labels = self.design[rows], self._labels(self.targets)[rows]
        margins = np.einsum("nbi,ni->nb", phi, theta.astype(np.float64))
        slopes = self._derivative(margins, labels)
        return np.einsum("nb,nbi->ni", slopes, phi) / rows.shape[1] + self.l2 * theta

    def _reference_rows(self, draws: Draws, batch_size: int) -> NDArray[np.int64]:
        """Return the rows of the step's batch, shape (trajectories, batch size)."""
        n = len(self.inputs)
        if self.replacement:
            words = draws.batch_words(np.arange(0, batch_size, 2)).reshape(-1, 2)
            picks = _reference_below(words[:, 0], words[:, 1], n)
            return picks.reshape(len(draws.trajectories), -1)[:, :batch_size]
        # The reference takes batches of one size.
        steps = -(-n // batch_size)
        begin = draws.step % steps * batch_size
        first = replace(draws, step=draws.step - draws.step % steps)
        order = np.tile(np.arange(n), (len(draws.trajectories), 1))
        every = np.arange(len(order))
        for i in range(n - 1, 0, -1):
            pair = (n - 1 - i) % 2
            words = first.batch_words(i + pair)[:, 2 * pair : 2 * pair + 2]
            j = _reference_below(words[:, 0], words[:, 1], i + 1)
            order[every, j], order[:, i] = order[:, i].copy(), order[every, j]
        return order[:, begin : begin + batch_size]

    def reference_loss(self, theta: NDArray[np.floating]) -> NDArray[np.floating]:
        penalty = self.l2 / 2 * np.sum(theta**2, axis=1)
        return self._reference_mean(theta, self.design, self.targets) + penalty

    def reference_test_loss(self, theta: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the loss of the test split at each row of theta, shape (n,), by plain NumPy."""
        assert self.test_inputs is not None
        assert self.test_targets is not None
        return self._reference_mean(theta, self._rows(self.test_inputs), self.test_targets)

    def _reference_mean(
        self,
        theta: NDArray[np.floating],
        rows: NDArray[np.float64],
        targets: NDArray[np.float64],
    ) -> NDArray[np.floating]:
        margins, labels = theta @ rows.T, self._labels(targets)
        if self.loss == "squared":
            return 0.5 * np.mean((margins - labels) ** 2, axis=1)
        return np.mean(np.logaddexp(0, -labels * margins), axis=1)


def _reference_below(
    high: NDArray[np.uint64], low: NDArray[np.uint64], count: int
) -> NDArray[np.int64]:
    n = np.uint64(count)
    return ((high * n + (low * n >> np.uint64(32))) >> np.uint64(32)).astype(np.int64)
