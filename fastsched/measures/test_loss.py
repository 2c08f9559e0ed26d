"""The loss of a test split."""

from __future__ import annotations

from fastsched.errors import FastschedError
from fastsched.kernels.probe import Probe, Reading, View
from fastsched.landscapes import Dataset, Landscape
from fastsched.landscapes.finite_sum import dataset_test_loss
from fastsched.measures.base import MeanAndDeviation
from fastsched.optimizers import Optimizer
from fastsched.spec import spec


@spec
class TestLoss(MeanAndDeviation):
    r"""The mean loss over the test split of a `Dataset`, without its penalty.

    Adds to the result, over `step`: `test_loss`, its mean over trajectories, with standard error
    `test_loss_se`; `test_loss_std`, its standard deviation between trajectories, with
    `test_loss_std_se`.

    Raises
    ------
    FastschedError
        When the study is made: its landscape has no test split.

    Examples
    --------
    >>> TestLoss()
    TestLoss()
    """

    # Not a test, for pytest.
    __test__ = False

    variable = "test_loss"

    def probe(self, landscape: Landscape, optimizer: Optimizer, steps: int) -> Probe:
        if not isinstance(landscape, Dataset) or landscape.test_inputs is None:
            raise FastschedError(
                f"TestLoss needs a Dataset with test_inputs and test_targets, not "
                f"{type(landscape).__name__}"
                + (" without them" if isinstance(landscape, Dataset) else "")
            )
        return Probe(readings=(Reading(View(dataset_test_loss)),))
