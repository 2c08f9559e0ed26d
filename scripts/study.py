"""What the scripts share: their arguments, the style of their figures, their verdicts."""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import matplotlib.pyplot as plt

import fastsched as fs
from fastsched.summary import format_table

STYLE = matplotlib.rc_params_from_file(
    Path(__file__).with_name("fastsched.mplstyle"), use_default_template=False
)
COLOURS: tuple[str, ...] = tuple(STYLE["axes.prop_cycle"].by_key()["color"])

HOLDS = "holds"
HOLDS_ONLY_WHEN = "holds only when"
DOES_NOT_HOLD = "does not hold here"


class Finding(NamedTuple):
    """What a study found of a claim.

    Attributes
    ----------
    claim : str
        The textbook's sentence.
    verdict : {HOLDS, HOLDS_ONLY_WHEN, DOES_NOT_HOLD}
    reason : str
        The numbers behind it, with standard errors; after `HOLDS_ONLY_WHEN`, the condition first.
    """

    claim: str
    verdict: str
    reason: str


class Outcome(NamedTuple):
    """A study's figure, the rows of its table (headings first), and its findings."""

    figure: plt.Figure
    table: Sequence[Sequence[str]]
    findings: Sequence[Finding]


def simulate(question: fs.Study | fs.Sweep) -> fs.Result:
    """Return the result of all trajectories of a study or sweep; else raise KeyboardInterrupt."""
    result = fs.run(question, progress=False)
    if not result.complete:
        raise KeyboardInterrupt
    return result


def final_ratio(result: fs.SweepResult, one: Any, other: Any) -> tuple[float, float]:
    """Return the ratio of two members' mean losses at the end, and its paired standard error."""
    last = result.compare(one, other).isel(step=-1, missing_dims="ignore")
    return float(last["ratio"]), float(last["ratio_se"])


def verdict(holds: Sequence[bool]) -> str:
    """Return the verdict on a claim from where it holds."""
    return HOLDS if all(holds) else HOLDS_ONLY_WHEN if any(holds) else DOES_NOT_HOLD


def with_error(value: float, error: float, digits: int = 2) -> str:
    """Return `value ± error`, to so many digits of the error."""
    if not error > 0:
        return f"{value:.4g}"
    decimals = digits - 1 - _exponent(error)
    if decimals > 6 or max(abs(value), error) >= 1e7:
        mantissa = max(0, decimals + _exponent(value or error))
        return f"{value:.{mantissa}e} ± {error:.{digits - 1}e}"
    decimals = max(0, decimals)
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def _exponent(value: float) -> int:
    return int(f"{value:e}".split("e")[1])


def argument_parser(description: str | None, output: str, what: str) -> argparse.ArgumentParser:
    """Return the parser of a script that writes `what` to `output`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller runs, wider errors")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path(output), help=f"{what} (default %(default)s)"
    )
    return parser


def main(study: Callable[[bool], Outcome]) -> Sequence[Finding]:
    """Run a study from the command line: `study(quick)`; its module's docstring is the help."""
    name = Path(inspect.getfile(study)).stem
    parser = argument_parser(inspect.getmodule(study).__doc__, f"{name}.png", "the figure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings there too")
    arguments = parser.parse_args()
    if not arguments.output.resolve().parent.is_dir():
        parser.error(f"--output {arguments.output}: its folder does not exist")
    with plt.rc_context(STYLE):
        figure, table, findings = study(arguments.quick)
        figure.savefig(arguments.output)
    print("\n".join(format_table(table)))
    for finding in findings:
        print(f"\nclaim:   {finding.claim}\nverdict: {finding.verdict}\n         {finding.reason}")
    print(f"\nfigure: {arguments.output}")
    if arguments.json:
        text = json.dumps([finding._asdict() for finding in findings], ensure_ascii=False)
        arguments.json.write_text(text, encoding="utf-8")
    return findings
