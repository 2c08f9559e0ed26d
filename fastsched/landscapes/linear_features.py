"""Linear random features of Gaussian inputs as diagonal least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsched.errors import LARGEST_SQUARED, FastschedError, array, real, reject
from fastsched.landscapes.base import NULL
from fastsched.memory import require_memory

# Covariance, eigenvectors and work space of as many numbers.
_MATRICES = 4


@dataclass(frozen=True, eq=False)
class DiagonalProblem:
    """One-pass least squares in the eigenbasis of the features' covariance.

    Attributes
    ----------
    spectrum : array of shape (d,)
        Eigenvalues of the features' covariance, ascending; null directions exactly 0.
    error : array of shape (d,)
        The start's displacement from the minimum, in the eigenbasis.
    label_noise : float
        Standard deviation of all of the labels that the features cannot explain. Half its
        square is the irreducible part of the risk.
    minimum : array of shape (d,)
        The parameters of least risk (and of least norm), in the basis of the features.
    basis : array of shape (d, d)
        The eigenvectors, as columns.
    """

    spectrum: NDArray[np.float64]
    error: NDArray[np.float64]
    label_noise: float
    minimum: NDArray[np.float64]
    basis: NDArray[np.float64]


def reduce_linear_features(
    input_spectrum: ArrayLike,
    target: ArrayLike,
    weights: ArrayLike,
    start: ArrayLike = 0.0,
    label_noise: float = 0.0,
) -> DiagonalProblem:
    r"""Return the diagonal problem that linear random features are, exactly in law.

    Inputs x ~ N(0, diag(input_spectrum)) give features W^T x and labels <x, target> + noise.

    Parameters
    ----------
    input_spectrum : array of shape (v,)
        Variances of the inputs, at least 0.
    target : array of shape (v,)
    weights : array of shape (v, d)
        The matrix W.
    start : float or array of shape (d,), default 0
        The starting parameters theta_0.
    label_noise : float, default 0
        Standard deviation of the labels' noise.

    Raises
    ------
    FastschedError
        A parameter is out of range or of the wrong shape.

    Notes
    -----
    With D the inputs' covariance, K = W^T D W = U diag(spectrum) U^T and theta* = K^+ W^T D b,
    the residual <x, b - W theta*> is Gaussian and uncorrelated with the features, hence
    independent of them: it acts as label noise of variance ||D^(1/2) (b - W theta*)||^2. So
    SGD, momentum and Nesterov on theta are those of `least_squares_risk`. Source of the model:
    Paquette et al. 2024, arXiv:2405.15074.

    Examples
    --------
    >>> from fastsched.theory import reduce_linear_features
    >>> reduce_linear_features([1.0, 0.25], [1.0, 2.0], [[1.0], [0.0]]).label_noise
    1.0
    """
    variances = array("input_spectrum", input_spectrum, ndim=(1,), allowed="a vector")
    if np.min(variances) < 0:
        reject("input_spectrum", input_spectrum, "at least 0")
    b = array("target", target, ndim=(1,), allowed="a vector")
    if b.shape != variances.shape:
        reject("target", target, f"of the input spectrum's shape {variances.shape}, got {b.shape}")
    w = array("weights", weights, ndim=(2,), allowed="a matrix of shape (inputs, features)")
    if w.shape[0] != len(b):
        reject("weights", weights, f"a matrix with {len(b)} rows, got shape {w.shape}")
    theta = array("start", start, ndim=(0, 1), allowed="a number or a vector")
    if theta.ndim and theta.shape != w.shape[1:]:
        reject("start", start, f"a number or of shape {w.shape[1:]}, got {theta.shape}")
    require_memory(_MATRICES * 8 * w.shape[1] ** 2, "the number of features")
    noise = real("label_noise", label_noise, minimum=0, maximum=LARGEST_SQUARED)

    with np.errstate(over="ignore", invalid="ignore"):
        covariance, moment = w.T @ (variances[:, None] * w), w.T @ (variances * b)
        if not (np.all(np.isfinite(covariance)) and np.all(np.isfinite(moment))):
            raise FastschedError(
                "input_spectrum, target and weights are so large that they overflow"
            )
        spectrum, basis = np.linalg.eigh(covariance)
        spectrum = np.where(spectrum > NULL * max(spectrum[-1], 0), spectrum, 0.0)
        inverse = np.divide(1, spectrum, out=np.zeros_like(spectrum), where=spectrum > 0)
        minimum = basis @ (inverse * (basis.T @ moment))
        unexplained = float(np.sum(variances * (b - w @ minimum) ** 2))
        error = basis.T @ (theta - minimum)
    return DiagonalProblem(spectrum, error, float(np.sqrt(unexplained + noise**2)), minimum, basis)
