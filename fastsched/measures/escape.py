"""The first exit from a basin, a ball or a region."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastsched.compiled import compiled, tried
from fastsched.errors import LARGEST_SQUARED, FastschedError, real, reject
from fastsched.kernels.device import device
from fastsched.kernels.probe import Probe, View, Work
from fastsched.landscapes import Landscape
from fastsched.landscapes.base import filled, scalar_or_vector
from fastsched.measures.base import Partial, Variables
from fastsched.measures.passage import FirstPassage
from fastsched.optimizers import Optimizer
from fastsched.spec import refuse_text, spec

if TYPE_CHECKING:
    from fastsched.study import Study

_CONFIDENCE = 0.95


@device
def distance_coordinate(before, after, gradient, velocity, center, square_radius):
    """Return the coordinate's part of the squared distance from the center."""
    return ((after - center) * (after - center),)


@device
def ball_event(time, square, left, square_radius):
    """Return the time of the first point outside the ball, or -1."""
    return (time if (left < 0) & (not square <= square_radius) else left,)


@device
def basin_event(time, basin, home, left):
    """Return the starting basin, and the time of the first point in another, or -1."""
    home = basin if time == 0 else home
    return home, time if (left < 0) & (basin != home) else left


@device
def region_event(time, inside, left):
    """Return the time of the first point outside the region, or -1."""
    return (time if (left < 0) & (inside == 0) else left,)


@device
def region_view(first, last, slot, state, origin, data, work, own, space, totals):
    """Write whether the iterate is inside the region to `totals`."""
    region, theta = own[1], space[0]
    for i in range(state.shape[1]):
        for lane in range(first, last):
            theta[lane - first, i] = origin[i] + state[slot, i, lane]
    for lane in range(first, last):
        totals[0, lane - first] = 1 if region(theta[lane - first]) else 0


@spec
class Escape(FirstPassage):
    r"""The first exit from the starting basin, from a ball, or from a region.

    The iterate is looked at after every update, and at the start; the basin on a `RandomField`
    only at the steps that `Basins` names, so later than the exit itself. A time is a number of
    updates, 0 where the start is already outside, and is censored at the study's last step T.
    Adds to the result, each with its standard error `..._se`: `escape_probability`, the fraction
    of trajectories that leave; `escape_time`, the restricted mean time E min(tau, T);
    `escape_time_quantile(quantile)`, the Kaplan-Meier quantiles of tau, NaN where not reached;
    `escape_survival(step)`, the fraction still inside (see `HittingTime` for the estimates); and
    `escape_rate`, per step,

    .. math::
        \hat r = \frac{D}{\sum_i \min(\tau_i, T)}, \qquad
        \mathrm{se}(\hat r) = \frac{\hat r}{\sqrt D}

    of D escapes, with `escape_rate_low` and `escape_rate_high`, the ends of its exact 95 %
    interval for Poisson counts, which also holds for few escapes or none. All are NaN where every
    trajectory starts outside.

    Parameters
    ----------
    radius : float, optional
        Leave the ball |theta - center| <= radius. Without `radius` and `region`, leave the
        starting basin, on landscapes that have basins; see `Basins` for what these are.
    center : float or array of shape (d,), optional
        Center of the ball, by default the landscape's minimum.
    region : function, optional
        Leave the region where `region(theta)` is true; compiled by Numba, called with one
        trajectory's theta of shape (d,), which it must not change. It returns a bool, or a number
        that is not 0 inside. A study with a region cannot be written as TOML.

    Raises
    ------
    FastschedError
        A parameter is out of range or given with another that excludes it; or, when
        the study is made, the function cannot be compiled, fails at the start or returns something
        else, or the landscape has no basins or no minimum.

    Notes
    -----
    Sources: Kaplan & Meier, J. Am. Stat. Assoc. 53 (1958) 457; of the interval, Garwood,
    Biometrika 28 (1936) 437. Exact times of discrete chains are in `fastsched.theory`.

    Examples
    --------
    >>> Escape(radius=2.0)
    Escape(radius=2.0, center=None, region=None)
    """

    radius: float | None = None
    center: float | NDArray[np.float64] | None = None
    region: Callable[..., Any] | None = None

    prefix: ClassVar[str] = "escape"

    @property
    def SEEKS(self) -> bool:  # type: ignore[override]
        return self.radius is None and self.region is None

    def __post_init__(self) -> None:
        if self.radius is not None:
            self._set(radius=real("radius", self.radius, above=0, maximum=LARGEST_SQUARED))
            if self.region is not None:
                reject("region", self.region, "left out where radius is given")
        if self.center is not None:
            if self.radius is None:
                reject("center", self.center, "left out unless radius is given")
            self._set(center=scalar_or_vector("center", self.center))
        if self.region is not None and not callable(self.region):
            reject("region", self.region, "a function region(theta)")

    def probe(self, landscape: Landscape, optimizer: Optimizer, steps: int) -> Probe:
        if self.radius is not None:
            return Probe(
                coordinate_function=distance_coordinate,
                terms=1,
                event_function=ball_event,
                registers=(-1.0,),
                constants=self._displacement(landscape)[None],
                coefficients=np.full((steps, 1), self.radius**2),
                finals=(0,),
                settled=0,
            )
        if self.region is not None:
            mean, _ = landscape.start_moments()
            tried("region", self.region, "(theta)", mean.copy(), returns="a bool or a number")
            # A function in the first place would make Numba look for function pointers.
            view = View(
                region_view,
                (np.zeros(0), compiled(self.region)),
                (Work(landscape.dim, by_lane=True),),
                cacheable=False,
            )
            return Probe(
                event_function=region_event,
                watched=(view,),
                registers=(-1.0,),
                finals=(0,),
                settled=0,
            )
        basins = landscape.model.basins
        return Probe(
            event_function=basin_event,
            watched=(basins.view,),
            registers=(0.0, -1.0),
            at_records=basins.at_records,
            finals=(1,),
            settled=1,
        )

    def _displacement(self, landscape: Landscape) -> NDArray[np.float64]:
        """Return where the center lies from the origin of the landscape's run."""
        model = landscape.model
        if self.center is None:
            try:
                return model.minimizer() - model.origin()
            except FastschedError as error:
                raise FastschedError(f"{error}: center must be given") from None
        if isinstance(self.center, np.ndarray) and self.center.shape != (landscape.dim,):
            reject("center", self.center, f"a number or a vector of shape ({landscape.dim},)")
        center = filled(self.center, landscape.dim)
        return landscape.run_coordinates(center) - model.origin()

    def variables(self, total: Partial, study: Study, trajectories: int) -> Variables:
        from scipy import stats

        times, counts = total["times"], total["counts"]
        events = int(counts.sum())
        exposure = float(counts @ times) + (trajectories - events) * study.steps
        tail = (1 - _CONFIDENCE) / 2
        low = stats.chi2.ppf(tail, 2 * events) / 2 if events else 0.0
        high = stats.chi2.isf(tail, 2 * events + 2) / 2
        rates = np.array([events, np.sqrt(events), low, high]) / (exposure or np.nan)
        names = ("escape_rate", "escape_rate_se", "escape_rate_low", "escape_rate_high")
        return super().variables(total, study, trajectories) | {
            name: ((), rate) for name, rate in zip(names, rates, strict=True)
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; raise where there is a region, since a function is not data."""
        if self.region is not None:
            refuse_text(self, ", because its region is a function")
        return super().to_dict()
