"""The command line: `fastsched run`, `show`, `plot`, `compare`, `report` and so on."""

from __future__ import annotations

import argparse
import errno
import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from fastsched.errors import FastschedError, reject
from fastsched.version import VERSION

if TYPE_CHECKING:
    from fastsched.result import Result
    from fastsched.schedules import Schedule
    from fastsched.study import Study
    from fastsched.sweep import Sweep
    from fastsched.sweep_result import SweepResult

_INTERRUPTED = 3

# Steps of a table.
_ROWS = 12

_CONVENTION = """\
Step t = 0, 1, ... is the index of the update that uses the value. Past its end a schedule holds
its final value; `fastsched schedules NAME` tells where that is. In a study file a schedule is a
table with its name as `type`: {type = "Cosine", initial = 0.1, steps = 450}."""

_FIRST_STEPS = """\
first steps:
  fastsched example Quadratic > study.toml
  fastsched run study.toml -o out.nc
  fastsched show out.nc
  fastsched plot out.nc -o fig.png

exit codes:
  0    success
  1    an error in the input or the run, told on standard error
  2    wrong usage
  3    interrupted by Ctrl-C: what is shown and written is of the trajectories finished
  130  interrupted by Ctrl-C before anything was finished
  141  the reader of the output went away, such as `head`
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code, one of those that `--help` tells."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names and labels may have letters that the terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return _execute(arguments)
        finally:
            print(end="", flush=True)
    except OSError as error:
        if not _is_closed_pipe(error):
            raise
        # Python flushes the output again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _is_closed_pipe(error: Exception) -> bool:
    """Return whether the reader of the output has gone.

    Windows reports EINVAL instead of EPIPE. EINVAL from opening a file carries a file name.
    """
    if isinstance(error, BrokenPipeError):
        return True
    invalid = isinstance(error, OSError) and error.errno == errno.EINVAL and not error.filename
    return sys.platform == "win32" and invalid


def _execute(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except (FastschedError, OSError) as error:
        if _is_closed_pipe(error):
            raise
        print(f"fastsched: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fastsched: interrupted before anything was finished", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastsched",
        description="A Monte Carlo laboratory for learning-rate schedules.",
        epilog=_FIRST_STEPS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastsched {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        command: Callable[[argparse.Namespace], int], summary: str, description: str, example: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(
            command.__name__.removeprefix("_"),
            help=summary,
            description=description,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(command=command, usage_error=added.error)
        return added

    run = add(
        _run,
        "run the study of a TOML file",
        "Run the study of a TOML file, write its result and print the table of it. With a table\n"
        "[sweep] all its variants run together.\n"
        "Ctrl-C ends the run and keeps the trajectories that are finished (exit code 3).",
        "fastsched run study.toml -o out.nc",
    )
    run.add_argument("study", type=Path, help="the study; `fastsched example` prints some")
    run.add_argument("-o", "--output", type=Path, help="NetCDF file for the result, e.g. out.nc")
    run.add_argument("--device", default="auto", help='"auto" (default), "cpu" or "cuda"')
    run.add_argument("--store", type=Path, help="folder that keeps finished blocks, to go on from")
    run.add_argument(
        "--target-se",
        type=float,
        help="stop once the loss has this relative standard error at every recorded step",
    )

    estimate = add(
        _estimate,
        "tell what a run takes",
        "Tell how many coordinate updates a run of a study takes, how much memory and about how\n"
        "many seconds, from a first call of its kernel.",
        "fastsched estimate study.toml",
    )
    estimate.add_argument("study", type=Path, help="the study")
    estimate.add_argument("--device", default="auto", help='"auto" (default), "cpu" or "cuda"')

    show = add(
        _show,
        "print the table of a result",
        "Print the table of a result: the loss with its standard error, beside the exact loss\n"
        "where theory has it, the numbers of the other measures, and the variables to plot.",
        "fastsched show out.nc",
    )
    show.add_argument("result", type=Path, help="a NetCDF file that `run` wrote")

    plot = add(
        _plot,
        "draw a result",
        "Draw a variable of a result over the steps, with two standard errors.",
        "fastsched plot out.nc -o fig.png --variable loss_std",
    )
    plot.add_argument("result", type=Path, help="a NetCDF file that `run` wrote")
    plot.add_argument("-o", "--output", type=Path, required=True, help="picture, e.g. fig.png")
    plot.add_argument("--variable", metavar="NAME", help="what to draw (default: the loss)")
    plot.add_argument(
        "--x", metavar="AXIS", help='of a sweep, the axis to draw over, or "step" for the steps'
    )

    compare = add(
        _compare,
        "rank the members of a sweep, or compare two",
        "Rank the members of a sweep by a variable after the last step, with the errors of paired\n"
        "trajectories, and tell which may be the best, all comparisons counted. With two members,\n"
        "A less B: labels by axis, or of a sweep along one axis a label alone.",
        "fastsched compare out.nc\n  fastsched compare out.nc lr=cosine lr=linear",
    )
    compare.add_argument("result", type=Path, help="a NetCDF file that `run` wrote, of a sweep")
    compare.add_argument("a", nargs="?", metavar="A", help="e.g. lr=cosine,batch_size=16")
    compare.add_argument("b", nargs="?", metavar="B")
    compare.add_argument("--variable", default="loss", metavar="NAME", help="default %(default)s")
    compare.add_argument("--largest", action="store_true", help="the largest is the best")
    compare.add_argument(
        "--confidence", type=float, default=0.95, help="of the ranking (default %(default)s)"
    )

    report = add(
        _report,
        "write a result as an HTML page",
        "Write the tables, figures and provenance of a result as one HTML page, which needs no\n"
        "network.",
        "fastsched report out.nc -o report.html",
    )
    report.add_argument("result", type=Path, help="a NetCDF file that `run` wrote")
    report.add_argument("-o", "--output", type=Path, required=True, help="page, e.g. report.html")

    demo = add(
        _demo,
        "compare nine schedules: a table and a picture",
        "Run nine schedules on a noisy quadratic in 1,000 dimensions; print a table of their\n"
        "losses beside the exact ones, and draw them.",
        "fastsched demo --trajectories 2000 -o demo.png",
    )
    demo.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("fastsched-demo.png"),
        help="picture (default %(default)s)",
    )
    demo.add_argument(
        "--trajectories", type=int, default=20_000, help="per schedule (default %(default)s)"
    )

    example = add(
        _example,
        "print a commented study file",
        "Print a commented study file for one of the landscapes, or with a table [sweep].",
        "fastsched example Wells > study.toml && fastsched run study.toml",
    )
    files = (resources.files("fastsched") / "examples").iterdir()
    example.add_argument("name", choices=sorted(file.name.removesuffix(".toml") for file in files))

    schedules = add(
        _schedules,
        "list, explain or draw schedules",
        "List all schedules; explain one; or draw those of a study over its steps.",
        "fastsched schedules Cosine\n  fastsched schedules --draw study.toml -o fig.png",
    )
    what = schedules.add_mutually_exclusive_group()
    what.add_argument("name", nargs="?", metavar="NAME", help="the schedule to explain")
    what.add_argument("--draw", type=Path, metavar="STUDY", help="a study file; with -o")
    schedules.add_argument("-o", "--output", type=Path, help="picture, with --draw")
    return parser


def _run(options: argparse.Namespace) -> int:
    from fastsched.files import RESULT_ENDINGS, new_file
    from fastsched.run import RunFailed, run

    if options.output is not None:
        new_file("output", options.output, RESULT_ENDINGS)
    study = _read_study(options.study)
    failure = None
    try:
        result = run(study, device=options.device, store=options.store, target_se=options.target_se)
    except RunFailed as error:
        failure, result = error, error.result
    if options.output is not None:
        result.save(options.output)
    print(result.summary())
    if options.output is not None:
        print(f"result: {options.output}")
    if failure:
        raise failure
    return 0 if result.complete else _INTERRUPTED


def _estimate(options: argparse.Namespace) -> int:
    print(_read_study(options.study).estimate(options.device))
    return 0


def _show(options: argparse.Namespace) -> int:
    from fastsched.result import load

    print(load(options.result).summary())
    return 0


def _plot(options: argparse.Namespace) -> int:
    from fastsched.result import load
    from fastsched.sweep_result import SweepResult

    _check_picture(options.output)
    result = load(options.result)
    if options.x in (None, "step") and not isinstance(result, SweepResult):
        ax = result.plot(variable=options.variable)
    else:
        ax = _as_sweep(result, options.result).plot(variable=options.variable, x=options.x)
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.savefig(options.output, dpi=150)
    print(f"picture: {options.output}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from fastsched.result import load
    from fastsched.summary import format_table
    from fastsched.sweep_summary import difference_table

    if (options.a is None) != (options.b is None):
        options.usage_error("A and B go together")
    result = _as_sweep(load(options.result), options.result)
    if options.a is None:
        ranking = result.best(
            options.variable, largest=options.largest, confidence=options.confidence
        )
        print(ranking)
        return 0
    a, b = (_labels(result.sweep, text) for text in (options.a, options.b))
    table = difference_table(result.compare(a, b, options.variable), _ROWS)
    print("\n".join([f"{options.variable}: {options.a} less {options.b}", *format_table(table)]))
    return 0


def _as_sweep(result: Result, path: Path) -> SweepResult:
    from fastsched.sweep_result import SweepResult

    if not isinstance(result, SweepResult):
        raise FastschedError(
            f"{path} is of one study: comparisons and axes are of sweeps, which a table [sweep] in "
            f'a study file makes, e.g. "optimizer.lr" = [0.1, 0.2]'
        )
    return result


def _labels(sweep: Sweep, text: str) -> dict[str, object]:
    """Return the labels that a word of the command line names."""
    known = {
        dim: {str(x): x for x in labels.tolist()}
        for dim, labels in zip(sweep.dims, sweep.labels, strict=True)
    }
    if len(known) == 1 and text in next(iter(known.values())):
        text = f"{sweep.dims[0]}={text}"
    # A label may have commas: parts begin where an axis is named.
    axes = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    found: dict[str, object] = {}
    for part in re.split(rf",(?=(?:{axes})=)", text):
        dim, _, label = part.partition("=")
        if dim not in known:
            reject("axis", dim, f"one of {', '.join(known)}, as in {sweep.dims[0]}=...")
        found[dim] = known[dim].get(label, label)
    return found


def _report(options: argparse.Namespace) -> int:
    from fastsched.files import REPORT_ENDINGS, new_file
    from fastsched.result import load

    new_file("output", options.output, REPORT_ENDINGS)
    load(options.result).report(options.output)
    print(f"report: {options.output}")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from fastsched.demo import demo

    _check_picture(options.output)
    results = demo(options.output, options.trajectories)
    return 0 if all(result.complete for result in results.values()) else _INTERRUPTED


def _example(options: argparse.Namespace) -> int:
    file = resources.files("fastsched") / "examples" / f"{options.name}.toml"
    print(file.read_text(encoding="utf-8"), end="")
    return 0


def _schedules(options: argparse.Namespace) -> int:
    if (options.draw is None) != (options.output is None):
        options.usage_error("--draw and -o go together")
    if options.draw is not None:
        from fastsched.plot import plot_schedules

        _check_picture(options.output)
        (study, *_) = _read_study(options.draw).members
        figure = plot_schedules(study)
        if figure is None:
            raise FastschedError("no hyper-parameter of the study is a schedule")
        figure.savefig(options.output, dpi=150)
        print(f"picture: {options.output}")
        return 0
    known = _known_schedules()
    if options.name is None:
        for cls in known.values():
            print(f"{_call(cls)}\n    {_documentation(cls).splitlines()[0]}")
        print(f"\n{_CONVENTION}")
    elif options.name in known:
        print(f"{_call(known[options.name])}\n\n{_documentation(known[options.name])}")
    else:
        reject("NAME", options.name, f"one of {', '.join(known)}")
    return 0


def _known_schedules() -> dict[str, type[Schedule]]:
    from fastsched import schedules

    found = {name: getattr(schedules, name) for name in schedules.__all__ if name[0].isupper()}
    del found["Schedule"]
    return found


def _call(cls: type[Schedule]) -> str:
    """Return the text of a call with the defaults: the signature without its types."""
    signature = inspect.signature(cls)
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return f"{cls.__name__}{inspect.Signature(bare)}"


def _documentation(cls: type[Schedule]) -> str:
    return inspect.cleandoc(cls.__doc__ or "")


def _read_study(path: Path) -> Study | Sweep:
    from fastsched.files import read_text
    from fastsched.sweep import read

    try:
        text = read_text("study", path, "; a result is read by `fastsched show`")
    except FileNotFoundError:
        raise FastschedError(
            f"study = {str(path)!r}: there is no such file; `fastsched example` prints some"
        ) from None
    return read(text)


def _check_picture(path: Path) -> None:
    from matplotlib.backend_bases import FigureCanvasBase

    from fastsched.files import new_file

    new_file("output", path)
    formats = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        reject("output", str(path), "a picture's name with an ending in " + ", ".join(formats))
