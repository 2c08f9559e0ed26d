"""The command line: `fastsched run | show | plot | report | demo`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fastsched.errors import FastschedError, reject
from fastsched.version import VERSION


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, 1 for an error, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except FastschedError as error:
        print(f"fastsched: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"fastsched: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fastsched: interrupted before anything was finished", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastsched", description="A Monte Carlo laboratory for learning-rate schedules."
    )
    parser.add_argument("--version", action="version", version=f"fastsched {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the study of a TOML file")
    run.add_argument("study", type=Path, help="the study, a TOML file")
    run.add_argument("-o", "--output", type=Path, help="NetCDF file to write the result to")
    run.add_argument("--device", default="auto", help='"auto" (default), "cpu" or "cuda"')
    run.set_defaults(command=_run)

    show = commands.add_parser("show", help="print the table of a result")
    show.add_argument("result", type=Path, help="a NetCDF file that `run` wrote")
    show.set_defaults(command=_show)

    plot = commands.add_parser("plot", help="draw a result")
    plot.add_argument("result", type=Path, help="a NetCDF file that `run` wrote")
    plot.add_argument("-o", "--output", type=Path, required=True, help="picture, e.g. fig.png")
    plot.set_defaults(command=_plot)

    report = commands.add_parser("report", help="write a result as an HTML page")
    report.add_argument("result", type=Path, help="a NetCDF file that `run` wrote")
    report.add_argument("-o", "--output", type=Path, required=True, help="page, e.g. report.html")
    report.set_defaults(command=_report)

    demo = commands.add_parser("demo", help="compare nine schedules: a table and a picture")
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
    demo.set_defaults(command=_demo)
    return parser


def _run(options: argparse.Namespace) -> int:
    from fastsched.result import check_writable
    from fastsched.run import RunFailed, run
    from fastsched.study import Study

    if options.output is not None:
        check_writable("output", options.output)
    try:
        text = options.study.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise FastschedError(
            f"study = {str(options.study)!r}: this is not a text file; a result is read by "
            "`fastsched show`"
        ) from None
    study = Study.from_toml(text)
    failure = None
    try:
        result = run(study, device=options.device)
    except RunFailed as error:
        failure, result = error, error.result
    print(result.summary())
    if options.output is not None:
        result.save(options.output)
        print(f"result: {options.output}")
    if failure:
        raise failure
    return 0 if result.complete else 130


def _show(options: argparse.Namespace) -> int:
    from fastsched.result import load

    print(load(options.result).summary())
    return 0


def _plot(options: argparse.Namespace) -> int:
    from fastsched.result import load

    _check_picture(options.output)
    figure = load(options.result).plot().get_figure(root=True)
    assert figure is not None
    figure.savefig(options.output, dpi=150)
    print(f"picture: {options.output}")
    return 0


def _report(options: argparse.Namespace) -> int:
    from fastsched.result import check_writable, load

    check_writable("output", options.output)
    load(options.result).report(options.output)
    print(f"report: {options.output}")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from fastsched.demo import demo

    _check_picture(options.output)
    results = demo(options.output, options.trajectories)
    return 0 if all(result.complete for result in results.values()) else 130


def _check_picture(path: Path) -> None:
    from matplotlib.backend_bases import FigureCanvasBase

    from fastsched.result import check_writable

    check_writable("output", path)
    formats = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        reject("output", str(path), "a picture's name with an ending in " + ", ".join(formats))
