"""Which members of a sweep may be the best, all comparisons counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import real, reject
from fastsched.reliability import estimable_last
from fastsched.summary import NOT_ESTIMABLE, format_table

if TYPE_CHECKING:
    from fastsched.sweep import Sweep
    from fastsched.sweep_result import SweepResult

_ROWS = 20


@dataclass(frozen=True, eq=False, repr=False)
class Ranking:
    r"""Members of a sweep in order of a variable, and which of them may be the best.

    For each member i, the probability of data at least as far behind another one if i were the
    best is bounded by Bonferroni's inequality over the m - 1 others,

    .. math::
        p_i = \min\Big(1, (m - 1) \min_{j \ne i} P\Big(T_{n-1} \ge
            \frac{\bar x_i - \bar x_j}{\mathrm{se}(\bar x_i - \bar x_j)}\Big)\Big)

    with the errors of paired differences of n trajectories and Student's T. The members with
    p_i > 1 - confidence may be the best: the truly best one is among them with at least that
    probability. Members come last and are no candidates where trajectories have diverged, or where
    the mean is not estimable since a few trajectories carry its variance.

    Attributes
    ----------
    variable : str
        The name of what is compared.
    confidence : float
        The probability with which the truly best member is among `candidates`.
    members : list of dict
        Labels by axis, the best first.
    value, value_se : arrays of shape (members,)
        The variable and its standard error.
    behind, behind_se : arrays of shape (members,)
        How far behind the first, with the error of the paired difference; negative never.
    p : array of shape (members,)
        The bounds p_i; NaN where trajectories have diverged, the mean is not estimable, or an
        error is not known.
    diverged : array of bool of shape (members,)
        Whether the variable is not finite for some trajectories.
    estimable : array of bool of shape (members,)
        Whether the mean can be estimated.
    texts : list of lists of str
        The labels as tables show them.

    Notes
    -----
    Source: multiple comparisons with the best, Hsu, Ann. Stat. 9 (1981) 1026, and the selection of
    a subset, Gupta, Technometrics 7 (1965) 225.
    """

    variable: str
    confidence: float
    members: list[dict[str, Any]]
    value: NDArray[np.float64]
    value_se: NDArray[np.float64]
    behind: NDArray[np.float64]
    behind_se: NDArray[np.float64]
    p: NDArray[np.float64]
    diverged: NDArray[np.bool_]
    estimable: NDArray[np.bool_]
    texts: list[list[str]]

    @property
    def best(self) -> dict[str, Any]:
        """The labels of the first member."""
        return self.members[0]

    @property
    def candidates(self) -> list[dict[str, Any]]:
        """The labels of the members that may be the best."""
        chosen = self.p > 1 - self.confidence
        return [labels for labels, may in zip(self.members, chosen, strict=True) if may]

    @property
    def verdict(self) -> str:
        """What was found, in words."""
        number = len(self.candidates)
        if np.all(self.diverged):
            return "trajectories of every member have diverged"
        if np.all(self.diverged | ~self.estimable):
            return "no member has a mean that is estimable: compare the quantiles"
        if not number:
            return "no errors are known, of which two trajectories are needed"
        found = (
            "one member is the best" if number == 1 else f"the best is one of {number:,} members"
        )
        compared = f"all {len(self.members):,} compared"
        return f"{found}, at {100 * self.confidence:.4g} % confidence, {compared}"

    def table(self) -> list[list[str]]:
        """Return rows of text, headings first."""
        rows = [[*self.members[0], self.variable.replace("_", " "), "+-", "behind", "+-", "p", ""]]
        for k, texts in enumerate(self.texts):
            numbers = [f"{self.value[k]:.5g}", f"{self.value_se[k]:.2g}", "", ""]
            if k:
                numbers[2:] = f"{self.behind[k]:.3g}", f"{self.behind_se[k]:.2g}"
            if not (self.estimable[k] or self.diverged[k]):
                numbers = [NOT_ESTIMABLE] * 4
            rows.append(
                [
                    *texts,
                    *numbers,
                    self._standing(k),
                    "may be the best" if self.p[k] > 1 - self.confidence else "",
                ]
            )
        return rows

    def _standing(self, k: int) -> str:
        if self.diverged[k]:
            return "diverged"
        return _probability(self.p[k]) if self.estimable[k] else "not estimable"

    def __repr__(self) -> str:
        head, *rows = self.table()
        lines = format_table([head, *rows[:_ROWS]])
        if len(rows) > _ROWS:
            lines.append(f"and {len(rows) - _ROWS:,} more behind them")
        return "\n".join([*lines, "", self.verdict])


def _probability(p: float) -> str:
    return "< 1e-15" if p < 1e-15 else f"{p:.2g}"


def ranked(result: SweepResult, variable: str, largest: bool, confidence: float) -> Ranking:
    """Return the ranking of a sweep's members; see `SweepResult.best`."""
    from scipy.special import stdtr

    level = real("confidence", confidence, above=0, below=1)
    result.require_pairs(variable)
    values = result.last(variable)
    if values.ndim > len(result.sweep.dims):
        reject("variable", variable, "one without dimensions other than step")
    sign = -1.0 if largest else 1.0
    x = values.values.ravel()
    error = result.last(f"{variable}_se").values.ravel()
    diverged = result.finite(variable) < result.trajectories
    known = estimable_last(result, variable)
    out = diverged | ~known.values.ravel()
    order = np.lexsort((sign * x, out))
    members = len(x)
    first = np.repeat(np.arange(members), members).reshape(members, members)
    difference, paired_error, count = (
        part[..., -1] if part.ndim > 2 else part
        for part in result.differences(variable, first, first.T)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        # Equal members are not behind each other.
        t = np.where(difference == 0, 0.0, sign * difference / paired_error)
        p = stdtr(count - 1, -t)
    p[:, out] = 1.0
    np.fill_diagonal(p, 1.0)
    others = max(int(np.sum(~out)) - 1, 1)
    p = np.minimum(1.0, others * np.min(p, axis=1))
    best = order[0]
    sweep = result.sweep
    labels = [axis.tolist() for axis in sweep.labels]
    behind = sign * difference[order, best] + 0.0
    return Ranking(
        variable,
        level,
        [dict(zip(sweep.dims, row, strict=True)) for row in _along(sweep, labels, order)],
        x[order],
        error[order],
        behind,
        paired_error[order, best],
        np.where(out, np.nan, p)[order],
        diverged[order],
        known.values.ravel()[order],
        _along(sweep, sweep.texts, order),
    )


def _along(
    sweep: Sweep, labels: Sequence[Sequence[Any]], order: NDArray[np.int64]
) -> list[list[Any]]:
    """Return the labels of members of given numbers."""
    places = np.transpose(np.unravel_index(order, sweep.shape))
    return [[axis[k] for axis, k in zip(labels, place, strict=True)] for place in places]
