"""The report of a result: tables, figures and provenance in one HTML page."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, tostring

from matplotlib.figure import Figure

from fastsched import plot, summary, sweep_plot, sweep_summary
from fastsched.errors import FastschedError
from fastsched.sweep_result import SweepResult

if TYPE_CHECKING:
    from fastsched.result import Result
    from fastsched.study import Study
    from fastsched.sweep import Sweep

_ROWS = 12

# As many rows as `Overshoot` has axes.
_MOST_ROWS = 64

_LONGEST_TOML = 200_000

_STYLE = """
body { margin: 0; background: white; color: #222; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1rem; }
h1 { line-height: 1.2; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
p, td, summary { overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2rem 0.7rem; border-bottom: 1px solid #ddd; text-align: right; }
thead th { border-bottom: 2px solid #888; white-space: nowrap; }
th:first-child, .words td { text-align: left; }
.numbers td { white-space: nowrap; }
.figures { display: grid; gap: 1rem; }
figure { margin: 0; break-inside: avoid; }
img { width: 100%; height: auto; }
figcaption { font-size: 0.9rem; }
pre { overflow-x: auto; padding: 0.7rem; background: #f4f4f4; font-size: 0.8rem; }
@media (min-width: 60rem) { .figures { grid-template-columns: 1fr 1fr; } }
@media print {
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  .scroll { overflow: visible; }
  th, td { padding: 0.1rem 0.35rem; font-size: 8pt; }
  h2 { break-after: avoid; }
  tr { break-inside: avoid; }
  .figures { grid-template-columns: 1fr 1fr; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
}
"""


def page(result: Result) -> str:
    """Return the text of the page; see `Result.report`."""
    study, swept = result.study, isinstance(result, SweepResult)
    title = (
        f"{type(study.optimizer).__name__} on {type(study.landscape).__name__}, "
        f"d = {study.landscape.dim:,}{', swept' * swept}"
    )
    html = Element("html", lang="en")
    head = SubElement(html, "head")
    SubElement(head, "meta", charset="utf-8")
    SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    _add(head, "title", f"{title} - fastsched")
    _add(head, "style", _STYLE)
    main = SubElement(SubElement(html, "body"), "main")
    _add(main, "h1", title)
    if isinstance(result, SweepResult):
        _add_sweep(main, result)
    else:
        for line in summary.head(result):
            _add(main, "p", line)
        _add_numbers(main, result)
        _add_figures(main, result)
    _add_provenance(main, result)
    return f"<!DOCTYPE html>\n{tostring(html, encoding='unicode', method='html')}\n"


def _add_numbers(main: Element, result: Result) -> None:
    loss = summary.loss_table(result, _ROWS)
    if loss:
        _add(main, "h2", "Loss")
        _add_table(main, loss)
        for line in [
            *_on_exact_values(result),
            *summary.divergence(result),
            *summary.not_estimable(result, loss),
        ]:
            _add(main, "p", line)
    numbers = summary.scalars(result)
    tables = _labelled_tables(result)
    if numbers or tables:
        _add(main, "h2", "Other numbers")
    if numbers:
        _add_table(main, [["number", "value", "error"], *([_words(n), *r] for n, *r in numbers)])
    for table in tables:
        _add_table(main, table)


def _add_sweep(main: Element, result: SweepResult) -> None:
    for line in sweep_summary.sweep_head(result):
        _add(main, "p", line)
    _add(main, "h2", "Members")
    members = sweep_summary.members_table(result, _MOST_ROWS)
    _add_table(main, members)
    for line in summary.not_estimable(result, members):
        _add(main, "p", line)
    if "loss" in result.pairs and not sweep_summary.ranks_by_loss(result):
        _add(main, "p", f"{sweep_summary.UNRANKED}.".capitalize())
    elif "loss" in result.pairs:
        ranking = result.best()
        _add(main, "h2", "Ranking by the loss after the last step")
        _add_table(main, ranking.table()[: 1 + _MOST_ROWS])
        _add(main, "p", f"{ranking.verdict}. Behind: the paired difference from the first.")
    _add(main, "h2", "Figures")
    box = SubElement(main, "div", {"class": "figures"})
    names = sweep_plot.sweep_drawable(result)
    if "diverged" in names and float(result["diverged"].max()) == 0:
        names.remove("diverged")
    for name in names:
        over = ["step"] if "step" in result.data[name].dims else []
        for x in [*over, *result.sweep.dims]:
            figure = Figure(figsize=(5.5, 3.9), layout="constrained")
            with contextlib.suppress(FastschedError):  # too many curves for a picture
                result.plot(figure.subplots(), variable=name, x=x)
                _add_figure(box, figure, f"{_words(name)} over {_words(x)}")


def _on_exact_values(result: Result) -> list[str]:
    if result.is_exact:
        return []
    if result.exact is None:
        return ["Without exact values beside it: fastsched.exact(study) says why."]
    found = summary.largest_z(result)
    if not found:
        return ["No step can be compared with the exact values."]
    largest = ", ".join(
        f"{z:.1f} for {_words(name)} (step {step:,})" for name, (z, step) in found.items()
    )
    return [
        f"Largest |z| against the exact values: {largest}. "
        "z = (estimate - exact) / standard error; right estimates have |z| > 3 at 0.3 % of steps."
    ]


def _labelled_tables(result: Result) -> list[summary.Table]:
    """Return a table for all variables of the same dimensions, where `step` is none of them."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, values in result.data.items():
        if values.ndim and "step" not in values.dims and values.size <= _MOST_ROWS:
            groups.setdefault(tuple(map(str, values.dims)), []).append(str(name))
    tables = []
    for dims, names in groups.items():
        frame = result.data[names].to_dataframe(dim_order=list(dims)).dropna(how="all")
        rows = frame.reset_index().itertuples(index=False)
        titles = ["+-" if name.endswith("_se") else _words(name) for name in names]
        labels = [_words(dim) for dim in dims]
        tables.append([[*labels, *titles], *([f"{cell:.4g}" for cell in row] for row in rows)])
    return tables


def _add_figures(main: Element, result: Result) -> None:
    curves = [n for n in plot.drawable(result) if n != "loss_quantile"]
    if not summary.divergence(result):
        curves = [name for name in curves if name != "diverged"]
    small = [
        n for n in curves if result[n].size <= sweep_plot.MOST_CURVES * result[n].sizes["step"]
    ]
    _add(main, "h2", "Figures")
    box = SubElement(main, "div", {"class": "figures"})
    for name in small:
        figure = Figure(figsize=(5.5, 3.9), layout="constrained")
        label = "exact" if result.is_exact else "estimate"
        result.plot(figure.subplots(), label, name)
        _add_figure(box, figure, f"{_words(name)} over the steps")
    schedules = plot.plot_schedules(result.study)
    if schedules:
        names = ", ".join(ax.get_ylabel() for ax in schedules.axes)
        _add_figure(box, schedules, f"schedules of {names}")


def _add_figure(parent: Element, figure: Figure, words: str) -> None:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=200)
    data = base64.b64encode(file.getvalue()).decode()
    box = SubElement(parent, "figure")
    SubElement(box, "img", src=f"data:image/png;base64,{data}", alt=f"Curves: {words}")
    _add(box, "figcaption", words)


def _add_provenance(main: Element, result: Result) -> None:
    attributes, study = result.data.attrs, result.study
    if result.is_exact:
        done = "none: exact values"
    else:
        state = "complete" if result.complete else "interrupted"
        done = f"{result.trajectories:,} of {study.trajectories:,}, {state}"
    _add(main, "h2", "Provenance")
    rows = {
        "fastsched": attributes["fastsched_version"],
        "software": attributes.get("software", "not recorded"),
        "machine": attributes.get("machine", "not recorded"),
        "seed": str(study.seed),
        "trajectories": done,
        "seconds": f"{attributes['seconds']:.3g}",
    }
    _add_words(main, rows)
    title, text = _study_text(result.asked)
    details = SubElement(main, "details")
    _add(details, "summary", title)
    _add(details, "pre", text)


def _study_text(study: Study | Sweep) -> tuple[str, str]:
    try:
        text = study.to_toml()
    except FastschedError:
        return "The study (functions have no TOML)", repr(study)
    if len(text) > _LONGEST_TOML:
        return "The study (study.to_toml() writes out the long arrays)", repr(study)
    return "The study as TOML, for fastsched run", text


def _add(parent: Element, tag: str, text: str, **attributes: str) -> None:
    SubElement(parent, tag, attributes).text = text


def _add_table(parent: Element, table: summary.Table) -> None:
    box = SubElement(SubElement(parent, "div", {"class": "scroll"}), "table", {"class": "numbers"})
    head, *rows = [[cell.replace("+-", "±") for cell in row] for row in table]
    line = SubElement(SubElement(box, "thead"), "tr")
    for cell in head:
        _add(line, "th", cell, scope="col")
    body = SubElement(box, "tbody")
    for row in rows:
        line = SubElement(body, "tr")
        _add(line, "th", row[0], scope="row")
        for cell in row[1:]:
            _add(line, "td", cell)


def _add_words(parent: Element, rows: Mapping[str, str]) -> None:
    box = SubElement(SubElement(parent, "table", {"class": "words"}), "tbody")
    for name, text in rows.items():
        line = SubElement(box, "tr")
        _add(line, "th", name, scope="row")
        _add(line, "td", text)


def _words(name: str) -> str:
    return name.replace("_", " ")
