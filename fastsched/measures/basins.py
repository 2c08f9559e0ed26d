"""In which basin trajectories are, and how they change between basins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels import reduce
from fastsched.kernels.device import device
from fastsched.kernels.probe import Probe, Reading
from fastsched.kernels.rows import Rows
from fastsched.landscapes import Landscape
from fastsched.measures.base import (
    Measure,
    Partial,
    Samples,
    Variables,
    binomial_error,
    mean_and_error,
)
from fastsched.optimizers import Optimizer
from fastsched.spec import spec

if TYPE_CHECKING:
    from fastsched.study import Study


@device
def basins_event(time, basin, last, count):
    """Return the basin, and the number of the change to it, or -1."""
    changed = (time > 0) & (basin != last)
    return basin, last * count + basin if changed else -1.0


@spec
class Basins(Measure):
    r"""The basin of attraction of the iterate, and the changes between basins.

    Adds to the result, each with its standard error `..._se`: `basin_occupancy(step, basin)`, the
    fraction of trajectories in each basin; `basin_final(basin)`, the same after the last step;
    `basin_transitions(basin, to_basin)`, how many times a trajectory changes from one basin to
    another, on average.

    The basins are, on a `DoubleWell`, the left (0) and the right well; on `Wells`, the well of
    largest weight, in the order of the landscape's `centers`; on a `RandomField`, the minimum
    nearest to where 100 steps of gradient descent without noise lead, in the order of the
    landscape's `minima()`. On the first two the basin is found after every update; on a random
    field, where that costs a hundred gradients, at the start, at recorded steps and after the
    last one, between which changes are counted.

    Raises
    ------
    FastschedError
        When the study is made: its landscape has no basins.

    Notes
    -----
    Source: Stillinger & Weber, Phys. Rev. A 25 (1982) 978, of the division of a landscape into
    the basins of its minima by steepest descent.

    Examples
    --------
    >>> Basins()
    Basins()
    """

    SEEKS = True

    def probe(self, landscape: Landscape, optimizer: Optimizer, steps: int) -> Probe:
        basins = landscape.model.basins
        return Probe(
            event_function=basins_event,
            watched=(basins.view,),
            registers=(0.0,),
            coefficients=np.full((steps, 1), float(basins.basins)),
            tally=basins.basins**2,
            at_records=basins.at_records,
            readings=(Reading(basins.view),),
            finals=(0,),
        )

    def reduce(self, observed: Rows, kept: Rows) -> Partial:
        basins = round(np.sqrt(len(kept) - 1))
        occupied = np.zeros((len(observed) + 1) * basins, np.int64)
        keys, counts = observed.occurrences(basins)
        occupied[keys] = counts
        keys, counts = kept[:1].occurrences(basins)
        occupied[len(observed) * basins + keys] = counts
        return {"occupied": occupied.reshape(-1, basins), "changes": kept[1:].moments()}

    def merge(self, left: Partial, right: Partial) -> Partial:
        return {
            "occupied": left["occupied"] + right["occupied"],
            "changes": reduce.merge_moments(left["changes"], right["changes"]),
        }

    def variables(self, total: Partial, study: Study, trajectories: int) -> Variables:
        fractions = total["occupied"] / trajectories
        errors = binomial_error(fractions, trajectories)
        basins = fractions.shape[1]
        changes = total["changes"].reshape(-1, basins, basins)
        return {
            "basin_occupancy": (("step", "basin"), fractions[:-1]),
            "basin_occupancy_se": (("step", "basin"), errors[:-1]),
            "basin_final": (("basin",), fractions[-1]),
            "basin_final_se": (("basin",), errors[-1]),
            **mean_and_error("basin_transitions", ("basin", "to_basin"), changes),
        }

    def samples(
        self, observed: NDArray[np.float64], kept: NDArray[np.float64], study: Study
    ) -> Samples:
        basins = np.arange(study.landscape.model.basins.basins)
        return {"basin_final": (kept[0] == basins[:, None]) * 1.0}

    def coordinates(self, study: Study) -> dict[str, NDArray[np.generic]]:
        basins = np.arange(study.landscape.model.basins.basins)
        return {"basin": basins, "to_basin": basins}
