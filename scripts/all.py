"""All figures: every script of this folder, and one page with their pictures and verdicts.

    python scripts/all.py [--quick] [-o FOLDER]

Runs the scripts two at a time, each with half of the cores, writes their pictures to the folder,
and index.html beside them, which grows as they finish. A script that fails does not stop the
others; the page says so, and the exit code is 1. Ctrl-C keeps what is finished.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import numba
from study import Finding, argument_parser

AT_A_TIME = 2
HELPERS = ("all.py", "study.py")
DONE, FAILED, NOT_RUN = "drawn", "failed", "not run"

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>fastsched: figures and verdicts</title>
<style>
body { max-width: 72rem; margin: 0 auto; padding: 1rem; color: #222; background: white;
  font: 16px/1.5 system-ui, sans-serif; }
h2 { margin-top: 3rem; border-bottom: 1px solid #ccc; }
h3 { margin-bottom: 0; font-size: 1rem; }
p { margin-top: 0; overflow-wrap: anywhere; }
div { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { padding: 0.3rem 0.7rem; border-bottom: 1px solid #ddd; text-align: left;
  vertical-align: top; white-space: nowrap; }
.claim { white-space: normal; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; }
pre { overflow-x: auto; padding: 0.7rem; background: #f4f4f4; font-size: 0.8rem; }
</style>
</head>
<body>
<h1>fastsched: figures and verdicts</h1>
"""


class Entry(NamedTuple):
    """A script, and how it went."""

    script: Path
    state: str = NOT_RUN
    findings: Sequence[Finding] = ()
    printed: str = ""
    seconds: float = 0.0

    @property
    def title(self) -> str:
        module = ast.parse(self.script.read_text(encoding="utf-8"))
        return (ast.get_docstring(module) or self.script.stem).splitlines()[0].removesuffix(".")

    @property
    def picture(self) -> str:
        return f"{self.script.stem}.png"

    @property
    def verdicts(self) -> str:
        verdicts = [finding.verdict for finding in self.findings]
        return "; ".join(verdicts) if verdicts and self.state == DONE else self.state


def scripts() -> list[Path]:
    """Return the scripts that draw a figure."""
    return [p for p in sorted(Path(__file__).parent.glob("*.py")) if p.name not in HELPERS]


async def run(script: Path, quick: bool, folder: Path, slots: asyncio.Semaphore) -> Entry:
    """Run a script by itself, in the folder."""
    entry, record = Entry(script), f"{script.stem}.json"
    options = [*["--quick"] * quick, "-o", entry.picture, "--json", record]
    threads = str(max(1, numba.get_num_threads() // AT_A_TIME))
    settings = {"NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "MPLBACKEND": "Agg"}
    async with slots:
        for old in (entry.picture, record):
            (folder / old).unlink(missing_ok=True)
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(script.resolve()),
            *options,
            cwd=folder,
            env=os.environ | settings,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process
        )
        try:
            output, errors = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            raise
    failed = process.returncode != 0
    findings = []
    if (folder / record).exists():
        findings = [Finding(**each) for each in json.loads((folder / record).read_text("utf-8"))]
    printed = output + errors if failed else output
    return entry._replace(
        state=FAILED if failed else DONE,
        findings=findings,
        printed=printed.decode(errors="replace").strip(),
        seconds=time.perf_counter() - started,
    )


async def run_all(quick: bool, folder: Path) -> list[Entry]:
    """Run the scripts; after each print a line, and write the page."""
    entries = {script: Entry(script) for script in scripts()}
    write_index(folder, list(entries.values()), quick)
    slots = asyncio.Semaphore(AT_A_TIME)
    tasks = [asyncio.create_task(run(script, quick, folder, slots)) for script in entries]
    for number, task in enumerate(asyncio.as_completed(tasks), 1):
        entry = await task
        entries[entry.script] = entry
        write_index(folder, list(entries.values()), quick)
        print(
            f"[{number}/{len(tasks)}] {entry.script.stem}, {entry.seconds:.0f} s: {entry.verdicts}",
            flush=True,
        )
    return list(entries.values())


def write_index(folder: Path, entries: Sequence[Entry], quick: bool) -> None:
    """Write index.html: a table of all verdicts, then a section for each script."""
    rows = "".join(map(table_rows, entries))
    sections = "".join(section(folder, entry, quick) for entry in entries)
    size = "Quick runs: few trajectories, wide errors." if quick else "Full runs."
    text = (
        f"{PAGE}<p>{size} Verdicts are computed from the numbers; each section has the command "
        "that makes its picture.</p>\n<div>\n<table>\n<thead><tr><th>script</th><th>claim</th>"
        f"<th>verdict</th><th>seconds</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n"
        f"{sections}</body>\n</html>\n"
    )
    (folder / "index.html").write_text(text, encoding="utf-8")


def table_rows(entry: Entry) -> str:
    """Return a row for each finding; one if there is none."""
    cells = [(finding.claim, finding.verdict) for finding in entry.findings]
    if entry.state != DONE or not cells:
        cells.append(("", entry.state))
    span = f' rowspan="{len(cells)}"'
    rows = [
        f'<td class="claim">{escape(claim)}</td><td>{escape(verdict)}</td>'
        for claim, verdict in cells
    ]
    name = entry.script.stem
    rows[0] = (
        f'<td{span}><a href="#{name}">{name}</a></td>{rows[0]}<td{span}>{entry.seconds:.0f}</td>'
    )
    return "".join(f"<tr>{row}</tr>\n" for row in rows)


def section(folder: Path, entry: Entry, quick: bool) -> str:
    parts = [f'<section id="{entry.script.stem}">\n<h2>{escape(entry.title)}</h2>\n']
    for claim, verdict, reason in entry.findings:
        parts.append(f"<h3>{escape(claim)}</h3>\n")
        parts.append(f"<p><strong>{escape(verdict)}</strong>: {escape(reason)}</p>\n")
    if entry.state != NOT_RUN and (folder / entry.picture).exists():
        parts.append(
            f'<figure><a href="{entry.picture}"><img src="{entry.picture}" '
            f'alt="{escape(entry.title)}"></a></figure>\n'
        )
    command = f"python scripts/{entry.script.name}{' --quick' if quick else ''}"
    parts.append(f"<p><code>{command}</code>: {entry.state}")
    parts.append(f" in {entry.seconds:.0f} s</p>\n" if entry.seconds else "</p>\n")
    if entry.printed:
        unfold = " open" if entry.state == FAILED else ""
        parts.append(
            f"<details{unfold}><summary>what it printed</summary>\n"
            f"<pre>{escape(entry.printed)}</pre></details>\n"
        )
    return "".join([*parts, "</section>\n"])


def main() -> int:
    parser = argument_parser(__doc__, "gallery", "the folder")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    try:
        entries = asyncio.run(run_all(arguments.quick, arguments.output))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        print(f"page: {arguments.output / 'index.html'}")
    failed = [entry.script.stem for entry in entries if entry.state == FAILED]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
