"""Every script runs, and draws its figure; the page of all of them is right."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import Page

import fastsched as fs

FOLDER = Path(__file__).parents[1] / "scripts"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.stem not in ("all", "study"))


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script_has_a_title_and_uses_the_helper(path, scripts):
    module, helper = scripts(path.stem), scripts("study")
    title, empty, rest = module.__doc__.split("\n", 2)
    assert title.endswith((".", "?"))
    assert not empty
    assert f"\n    python scripts/{path.name} [--quick] [-o FIGURE]\n" in f"\n{rest}"
    assert list(inspect.signature(module.study).parameters) == ["quick"]
    assert module.main is helper.main
    source = path.read_text(encoding="utf-8")
    assert not re.search(r"argparse|rcParams|savefig|#[0-9A-Fa-f]{6}", source)


def test_all_finds_every_script(scripts):
    assert scripts("all").scripts() == SCRIPTS


def test_main_prints_draws_and_records(scripts, tmp_path, monkeypatch, capsys):
    helper = scripts("study")
    finding = helper.Finding("Rates <matter>", helper.HOLDS, "3 ± 1")
    asked = []

    def study(quick):
        asked.append(quick)
        assert plt.rcParams["axes.grid"]
        return helper.Outcome(plt.figure(), [["rate"], ["0.1"]], [finding])

    figure, record = tmp_path / "figure.png", tmp_path / "findings.json"
    arguments = ["x.py", "--quick", "-o", str(figure), "--json", str(record)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert helper.main(study) == [finding]
    assert asked == [True]
    assert json.loads(record.read_text("utf-8")) == [finding._asdict()]
    assert figure.stat().st_size > 0
    out = capsys.readouterr().out
    assert "verdict: holds\n" in out
    assert f"figure: {figure}" in out
    monkeypatch.setattr(sys, "argv", ["x.py", "-o", str(tmp_path / "nowhere" / "figure.png")])
    with pytest.raises(SystemExit):
        helper.main(study)
    assert asked == [True]


def test_an_interrupted_run_ends_the_script(scripts, monkeypatch):
    helper = scripts("study")
    study = fs.Study(fs.Quadratic([1.0]), fs.SGD(0.1), 5, 16)
    result = helper.simulate(study)
    assert result.trajectories == 16
    partial = fs.Result(study, result.data.assign_attrs(complete=0))
    monkeypatch.setattr(fs, "run", lambda *args, **options: partial)
    with pytest.raises(KeyboardInterrupt):
        helper.simulate(study)


def test_final_ratio_is_that_of_paired_trajectories(scripts):
    helper = scripts("study")
    study = fs.Study(fs.Quadratic([1.0], start=5.0), fs.SGD(0.1), 8, 256, measures=fs.Loss(()))
    result = helper.simulate(
        fs.sweep(study, {"optimizer.lr, steps": {"a": (0.1, 8), "b": (0.1, 6)}})
    )
    one, other = (result.member(name).data.isel(step=-1) for name in "ab")
    ratio, error = helper.final_ratio(result, "a", "b")
    assert ratio == float(one["loss"] / other["loss"])
    independent = ratio * np.hypot(*(x["loss_se"] / x["loss"] for x in (one, other)))
    assert 0 < error < 0.8 * independent
    same_steps = helper.simulate(fs.sweep(study, {"optimizer.lr": [0.1, 0.11]}))
    expected = same_steps.compare(0.11, 0.1).sel(step=8)
    found = helper.final_ratio(same_steps, 0.11, 0.1)
    assert found == (float(expected["ratio"]), float(expected["ratio_se"]))


def test_index(scripts, tmp_path):
    page, helper = scripts("all"), scripts("study")
    done, failed, waiting, empty = SCRIPTS[:4]
    claims = [
        helper.Finding("A rate > 0 & small", helper.HOLDS, "z < 3"),
        helper.Finding('A rate is "best"', helper.DOES_NOT_HOLD, "2.0 ± 0.1"),
    ]
    entries = [
        page.Entry(done, page.DONE, claims, "rate  loss", 12.3),
        page.Entry(failed, page.FAILED, [], "Traceback <module>", 1.0),
        page.Entry(waiting),
        page.Entry(empty, page.DONE, [], "", 2.0),
    ]
    for path in (done, waiting):  # of the waiting one it is an old picture
        (tmp_path / f"{path.stem}.png").touch()
    page.write_index(tmp_path, entries, quick=True)
    text = (tmp_path / "index.html").read_text("utf-8")
    found = Page(text)
    names = [path.stem for path in SCRIPTS[:4]]
    assert found.named("id") == names
    picture = f"{done.stem}.png"
    assert found.named("src") == [picture]
    assert found.named("href") == [f"#{name}" for name in names] + [picture]
    cells = [done.stem, claims[0].claim, "holds", "12", claims[1].claim, "does not hold here"]
    cells += [failed.stem, "failed", "1", waiting.stem, "not run", "0", empty.stem, "drawn", "2"]
    assert [cell for row in found.rows[1:] for cell in row if cell] == cells
    for part in ("z &lt; 3", "Traceback &lt;module&gt;", f"python scripts/{done.name} --quick"):
        assert part in text
    assert "http" not in text


def test_all_goes_on_after_a_failure(scripts, tmp_path, monkeypatch, capsys):
    page = scripts("all")
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(
        f"'''A title.'''\nimport sys\nsys.path.append({str(FOLDER)!r})\n"
        "from study import *\n"
        "def study(quick):\n    return Outcome(plt.figure(), [['x']], [Finding('c', HOLDS, 'r')])\n"
        "main(study)\n"
    )
    bad.write_text("'''Another.'''\nraise SystemExit('no such luck')\n")
    monkeypatch.setattr(page, "scripts", lambda: [bad, good])
    folder = tmp_path / "gallery"
    monkeypatch.setattr(sys, "argv", ["all.py", "--quick", "-o", str(folder)])
    assert page.main() == 1
    captured = capsys.readouterr()
    assert "failed: bad" in captured.err
    assert "good, " in captured.out
    assert "no such luck" in (folder / "index.html").read_text("utf-8")
    assert (folder / "good.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script(script, tmp_path):
    figure = tmp_path / "figure.png"
    done = subprocess.run(
        [sys.executable, str(script), "--quick", "-o", str(figure)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert figure.stat().st_size > 10_000
    assert str(figure) in done.stdout
