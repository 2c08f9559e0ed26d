"""Reports: the page as a parser and as a browser see it, and its numbers."""

from __future__ import annotations

import base64
import shutil
import subprocess
import tomllib

import matplotlib.colors
import matplotlib.image
import numpy as np
import pytest
from helpers import Page

import fastsched as fs
from fastsched.cli import main
from fastsched.plot import plot_schedules

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def report(result, folder):
    """Write the report of a result; return its text and the page."""
    path = folder / "report.html"
    result.report(path)
    assert list(folder.iterdir()) == [path]
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


@pytest.fixture(scope="module")
def measured():
    """A result with exact values, numbers without a step, by axis and by quantile, and curves."""
    study = fs.Study(
        fs.Quadratic([1.0, 0.5, 0.1], noise=0.5),
        fs.SGD(lr=fs.Cosine(0.2, 50), momentum=fs.Linear(0.5, 50, 0.9)),
        steps=50,
        trajectories=200,
        batch_size=fs.Constant(4.0),
        measures=(fs.Loss((0.25, 0.75)), fs.HittingTime(0.1), fs.Overshoot(), fs.Average()),
    )
    return fs.run(study, progress=False)


@pytest.fixture(scope="module")
def written(measured, tmp_path_factory):
    return report(measured, tmp_path_factory.mktemp("page"))


def test_page_stands_alone(written):
    text, page = written
    assert text.startswith("<!DOCTYPE html>\n<html")
    for outside in ("http:", "https:", "@import", "url(", "<script", "<link"):
        assert outside not in text
    images = page.named("src")
    assert len(images) == page.tags.count("img") == len(page.named("alt"))
    for image in images:
        head, data = image.split(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    assert not page.named("href")
    assert "viewport" in page.named("name")


def test_numbers_and_exact_values(measured, written):
    _, page = written
    last, exact = measured.data.isel(step=-1), fs.exact(measured.study).data.isel(step=-1)
    z = (last["loss"] - exact["loss"]) / last["loss_se"]
    assert page.rows[0][:7] == ["step", "loss", "±", "exact", "z", "std", "±"]
    row = next(row for row in page.rows if row[0] == "50")
    shown = [last["loss"], last["loss_se"], exact["loss"]]
    assert row[1:5] == [*(f"{float(x):.4g}" for x in shown), f"{float(z):.1f}"]
    assert [
        "hitting probability",
        f"{measured['hitting_probability'].item():.6g}",
        f"± {measured['hitting_probability_se'].item():.2g}",
    ] in page.rows
    depth = measured["overshoot_depth"].values
    by_axis = page.rows[next(k for k, row in enumerate(page.rows) if row[0] == "axis") :]
    assert [row[0] for row in page.rows].count("step") == 1
    column = by_axis[0].index("overshoot depth")
    assert [row[column] for row in by_axis[1:4]] == [f"{x:.4g}" for x in depth]
    worst = abs(measured.z_scores["loss"])
    line = next(words for words in page.words["p"] if words.startswith("Largest |z|"))
    assert f"{float(worst.max()):.1f} for loss (step {int(worst.idxmax('step'))})" in line
    assert "for average loss" in line


def test_figures(written):
    _, page = written
    captions = page.words["figcaption"]
    assert captions[0] == "loss over the steps"
    assert "hitting survival over the steps" in captions
    assert captions[-1] == "schedules of lr, momentum, batch size"
    assert not any("diverged" in words or "quantile" in words for words in captions)


def test_provenance(measured, written):
    _, page = written
    assert ["seed", "0"] in page.rows
    assert ["fastsched", fs.__version__] in page.rows
    assert ["trajectories", "200 of 200, complete"] in page.rows
    assert ["machine", measured.data.attrs["machine"]] in page.rows
    assert any(np.__version__ in row[1] for row in page.rows if row[0] == "software")
    text = "".join(page.words["pre"])
    assert tomllib.loads(text)["optimizer"]["type"] == "SGD"
    assert fs.Study.from_toml(text) == measured.study


def test_incomplete_and_diverged_results(tmp_path):
    study = fs.Study(fs.Quadratic([1.0]), fs.SGD(3.0), 300, 64)
    result = fs.run(study, progress=False)
    result.data.attrs.update(trajectories=32, complete=0)
    _, page = report(result, tmp_path)
    assert ["trajectories", "32 of 64, interrupted"] in page.rows
    assert any("32 trajectories of 64 (interrupted)" in words for words in page.words["p"])
    assert any(words.startswith("diverged: up to 100 %") for words in page.words["p"])
    assert "diverged over the steps" in page.words["figcaption"]


def test_exact_results(measured, tmp_path):
    _, page = report(fs.exact(measured.study), tmp_path)
    assert ["trajectories", "none: exact values"] in page.rows
    assert not any("|z|" in words or "beside" in words for words in page.words["p"])
    assert "theta mean over the steps" in page.words["figcaption"]


def test_too_many_curves_are_left_out(tmp_path):
    study = fs.Study(fs.Quadratic(1 / np.arange(1, 101)), fs.SGD(0.1), 20, 16)
    _, page = report(fs.exact(study), tmp_path)
    assert page.words["figcaption"] == ["loss over the steps", "loss std over the steps"]


def test_long_studies_are_shown_short(tmp_path):
    study = fs.Study(fs.Quadratic(1 / np.arange(1, 20_001)), fs.SGD(0.1), 4, 16)
    text, page = report(fs.run(study, progress=False), tmp_path)
    assert "".join(page.words["pre"]) == repr(study)
    assert len(text) < 1e6


def test_without_theory_or_loss(tmp_path):
    study = fs.Study(
        fs.DoubleWell(noise=1.0, start=-1.0), fs.SGD(0.1), 20, 100, measures=(fs.Basins(),)
    )
    _, page = report(fs.run(study, progress=False), tmp_path)
    assert "Loss" not in page.words["h2"]
    assert ["basin", "to basin", "basin transitions", "±"] in page.rows
    assert page.words["figcaption"] == ["basin occupancy over the steps"]
    _, page = report(fs.run(study.replace(measures=fs.Loss()), progress=False), tmp_path)
    assert any("fastsched.exact(study) says why" in words for words in page.words["p"])


def test_text_is_escaped(tmp_path):
    def rate(t):
        return 0.1

    rate.__name__ = '</pre><script>alert("$x$ & $y$")</script>'
    study = fs.Study(fs.Quadratic([1.0]), fs.SGD(fs.Function(rate)), 4, 16)
    text, page = report(fs.run(study, progress=False), tmp_path)
    assert "script" not in page.tags
    assert "<script" not in text
    assert "".join(page.words["pre"]) == repr(study)
    assert rate.__name__ in page.words["p"][0]


def test_schedules_of_many_steps_show_every_peak():
    schedule = fs.Piecewise([12_345, 12_346], [0.1, 0.7, 0.1])
    study = fs.Study(fs.Quadratic([1.0]), fs.SGD(schedule), 50_000, 1)
    curve = plot_schedules(study).axes[0].lines[0]
    assert curve.get_ydata().max() == 0.7
    assert curve.get_ydata().min() == 0.1
    assert len(curve.get_ydata()) < 5000
    assert plot_schedules(study.replace(optimizer=fs.SGD(0.1))) is None


def test_paths_and_command(measured, written, tmp_path, capsys):
    with pytest.raises(fs.FastschedError, match="not of a folder"):
        measured.report(tmp_path)
    out, page = tmp_path / "out.nc", tmp_path / "report.html"
    measured.save(out)
    assert main(["report", str(out), "-o", str(page)]) == 0
    assert capsys.readouterr().out == f"report: {page}\n"
    assert page.read_text(encoding="utf-8") == written[0]
    assert main(["report", str(out), "-o", str(tmp_path / "no" / "r.html")]) == 1
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_browser_shows_the_page(written, tmp_path):
    text, page = written
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    options = "headless no-sandbox disable-gpu disable-quic no-first-run disable-sync "
    options += "disable-background-networking disable-component-update window-size=1200,2400"

    def browser(*more):
        return subprocess.run(
            [
                str(CHROMIUM),
                *(f"--{option}" for option in options.split()),
                f"--user-data-dir={tmp_path / 'profile'}",
                *more,
                (tmp_path / "report.html").as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout

    # A browser mends what is not valid: then its tags would be others.
    assert Page(browser("--dump-dom")).tags == page.tags
    browser(f"--screenshot={tmp_path / 'page.png'}")
    picture = matplotlib.image.imread(tmp_path / "page.png")[..., :3]
    curve = np.abs(picture - matplotlib.colors.to_rgb("#0072B2")).max(axis=2) < 0.02
    assert curve.sum() > 100
