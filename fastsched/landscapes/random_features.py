"""Random features of Gaussian inputs."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import LARGEST_SQUARED, FastschedError, array, choice, integer, real, reject
from fastsched.landscapes.base import Landscape, Normal, checked_start, start_of
from fastsched.landscapes.features import ACTIVATIONS, DrawnFeatures, random_weights
from fastsched.landscapes.least_squares import LeastSquares
from fastsched.landscapes.linear_features import DiagonalProblem, reduce_linear_features
from fastsched.spec import spec

if TYPE_CHECKING:
    from fastsched.kernels.reference import Draws


@spec
class _ReducedFeatures(LeastSquares):
    """Linear features in the eigenbasis of their covariance."""

    least_loss: float = 0.0

    @property
    def kind(self) -> str:
        return "RandomFeatures"


@spec
class RandomFeatures(Landscape):
    r"""One-pass regression on random features of Gaussian inputs.

    .. math::
        \phi(x) = a(W^\top x), \quad W_{ij} \sim N(0, 1/p), \qquad
        x \sim N(0, D), \quad y = \langle x, b \rangle + \sigma \epsilon, \qquad
        g_t = \frac1B \sum_{k=1}^B \phi(x_k) \left(\langle \phi(x_k), \theta_t \rangle - y_k\right)

    with fresh inputs at every step. The loss is the population risk
    :math:`\tfrac12 E (\langle \phi(x), \theta \rangle - \langle x, b \rangle)^2`: it holds what
    the features cannot explain (`least_loss`), and leaves out the labels' noise, sigma^2 / 2.

    Parameters
    ----------
    input_spectrum : array of shape (v,)
        Variances D of the inputs, at least 0 and not all 0.
    target : array of shape (v,)
        The vector b.
    features : int
        Number p of features, and of parameters theta.
    activation : {"linear", "relu", "tanh", "erf", "cos"}, default "linear"
        The function a. Linear features are run as `LeastSquares` in the eigenbasis of their
        covariance, which follows the same law.
    label_noise : float, default 0
        Standard deviation sigma of the labels' noise.
    seed : int, default 0
        Of the weights W; and of the test set, if any.
    start : float, array of shape (p,) or Normal, default 0
        The starting point, or the distribution it is drawn from for each trajectory. Linear
        features take one standard deviation for all parameters only.
    brute_force : bool, default False
        Draw all v inputs of every sample and multiply them by W. By default linear features are
        reduced, and the preactivations of others drawn from their own covariance, which takes
        min(v, p) normals and half of the multiplications.
    test_size : int, default 10000
        "tanh" only, whose risk has no closed form: the inputs of the test set over which the
        risk is averaged, the same at all steps.

    Raises
    ------
    FastschedError
        A parameter is out of range or of the wrong shape.

    Notes
    -----
    Population risks are |M (theta - theta*)|^2 / 2 + `least_loss` with M^T M = E phi phi^T. With
    S = W^T D W, the covariance of the preactivations, sigma_i^2 = S_ii and rho the correlation,

    .. math::
        \text{relu:}\; \frac{\sigma_i \sigma_j}{2 \pi}
            \left(\sqrt{1 - \rho^2} + \rho (\pi - \arccos \rho)\right), \quad
        \text{erf:}\; \frac2\pi \arcsin \frac{2 S_{ij}}{\sqrt{(1 + 2 S_{ii})(1 + 2 S_{jj})}},
            \quad
        \text{cos:}\; e^{-(S_{ii} + S_{jj}) / 2} \cosh S_{ij}

    Sources: of the model, Maloney, Roberts & Sully 2022, arXiv:2210.16859; Paquette et al. 2024,
    arXiv:2405.15074. Of the kernels, Cho & Saul, NeurIPS 2009 (relu); Williams, NeurIPS 1996
    (erf); Rahimi & Recht, NeurIPS 2007 (cos). A cosine is even, so it explains nothing of a
    linear target.

    Examples
    --------
    >>> landscape = RandomFeatures([1.0, 0.25, 0.1], [1.0, 2.0, 3.0], features=2)
    >>> landscape.dim, landscape.weights.shape
    (2, (3, 2))
    """

    input_spectrum: NDArray[np.float64]
    target: NDArray[np.float64]
    features: int
    activation: str = "linear"
    label_noise: float = 0.0
    seed: int = 0
    start: float | NDArray[np.float64] | Normal = 0.0
    brute_force: bool = False
    test_size: int = 10_000

    def __post_init__(self) -> None:
        spectrum = array(
            "input_spectrum", self.input_spectrum, ndim=(1,), allowed="a vector of shape (v,)"
        )
        if np.min(spectrum) < 0 or np.max(spectrum) == 0:
            reject("input_spectrum", self.input_spectrum, "at least 0, and not all 0")
        shape = f"a vector of the input spectrum's shape {spectrum.shape}"
        target = array("target", self.target, ndim=(1,), allowed=shape)
        if target.shape != spectrum.shape:
            reject("target", self.target, f"{shape}, got shape {target.shape}")
        if not isinstance(self.brute_force, (bool, np.bool_)):
            reject("brute_force", self.brute_force, "True or False")
        self._set(
            input_spectrum=spectrum,
            target=target,
            features=integer("features", self.features, minimum=1, maximum=2**31),
            activation=choice("activation", self.activation, tuple(ACTIVATIONS)),
            label_noise=real("label_noise", self.label_noise, minimum=0, maximum=LARGEST_SQUARED),
            seed=integer("seed", self.seed, minimum=0, maximum=2**64 - 1),
            brute_force=bool(self.brute_force),
            test_size=integer("test_size", self.test_size, minimum=2),
        )
        self._set(start=checked_start(self.start, self.dim))
        if (
            self._reduced
            and isinstance(self.start, Normal)
            and np.ptp(np.atleast_1d(self.start.std)) > 0
        ):
            raise FastschedError(
                "start.std differs between parameters, which the eigenbasis of linear features "
                "would make dependent: start.std must be one number, or give brute_force=True"
            )

    @classmethod
    def power_law(
        cls, inputs: int, features: int, alpha: float, beta: float, **options: Any
    ) -> RandomFeatures:
        """Return power-law random features.

        Parameters
        ----------
        inputs, features : int
            Numbers v of inputs and p of features.
        alpha : float
            The inputs have the spectrum j^(-2 alpha), j = 1 ... v.
        beta : float
            The target is j^(-beta).
        **options
            The other parameters of `RandomFeatures`.

        Notes
        -----
        Source: Paquette et al. 2024, arXiv:2405.15074. The phases of compute-optimal scaling are
        those of `fastsched.theory.compute_optimal_exponents`.

        Examples
        --------
        >>> RandomFeatures.power_law(4, 2, alpha=1.0, beta=0.5).input_spectrum.tolist()
        [1.0, 0.25, 0.1111111111111111, 0.0625]
        """
        j = np.arange(1, integer("inputs", inputs, minimum=1) + 1.0)
        return cls(
            j ** (-2 * real("alpha", alpha, minimum=0)),
            j ** -real("beta", beta),
            features,
            **options,
        )

    @property
    def _reduced(self) -> bool:
        return self.activation == "linear" and not self.brute_force

    @property
    def dim(self) -> int:
        return self.features

    @property
    def irreducible_risk(self) -> float:
        return self.label_noise**2 / 2

    @property
    def least_loss(self) -> float:
        """The least loss that these features can reach."""
        return self.model.least_loss

    @functools.cached_property
    def weights(self) -> NDArray[np.float64]:
        """The matrix W, of shape (v, p): normals of NumPy's Philox generator of `seed`."""
        inputs = len(self.input_spectrum)
        return random_weights(inputs, self.features, 1 / self.features, self.seed)

    @functools.cached_property
    def _problem(self) -> DiagonalProblem:
        mean, _ = start_of(self.start, self.dim)
        return reduce_linear_features(
            self.input_spectrum, self.target, self.weights, mean, self.label_noise
        )

    def run_coordinates(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._problem.basis.T @ theta if self._reduced else theta

    @property
    def rotated(self) -> str | None:
        return "give brute_force=True" if self._reduced else None

    @functools.cached_property
    def model(self) -> LeastSquares | DrawnFeatures:
        if not self._reduced:
            return DrawnFeatures(self)
        _, std = start_of(self.start, self.dim)
        problem = self._problem
        minimum = problem.basis.T @ problem.minimum
        return _ReducedFeatures(
            problem.spectrum,
            problem.label_noise,
            Normal(minimum + problem.error, std[0]),
            minimum,
            least_loss=(problem.label_noise**2 - self.label_noise**2) / 2,
        )

    def origin(self) -> NDArray[np.float64]:
        return self.model.origin()

    def start_moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.model.start_moments()

    def step_table(self, batch_sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.model.step_table(batch_sizes)

    def reference_gradient(
        self, theta: NDArray[np.floating], draws: Draws, batch_size: float
    ) -> NDArray[np.floating]:
        return self.model.reference_gradient(theta, draws, batch_size)

    def reference_loss(self, theta: NDArray[np.floating]) -> NDArray[np.floating]:
        return self.model.reference_loss(theta)
