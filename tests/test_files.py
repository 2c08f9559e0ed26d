"""Paths, endings and attributes of the files that results are written to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastsched as fs
from fastsched.cli import main

STUDY = fs.Study(fs.Quadratic([1.0]), fs.SGD(0.1), 4, 16)
NOT_PATHS = [None, b"x", 5, True, ["a"], "", "a\0b"]


@pytest.fixture
def result():
    return fs.run(STUDY, progress=False)


@pytest.mark.parametrize("value", NOT_PATHS, ids=repr)
def test_what_is_not_a_path_is_refused_by_name(result, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for use in (result.save, result.report, fs.load):
        with pytest.raises(fs.FastschedError, match="path must be a path"):
            use(value)
    if value is not None:
        with pytest.raises(fs.FastschedError, match="store must be a path"):
            fs.run(STUDY, store=value, progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["res.csv", "res.json", "res.toml", "res.html", "r.0.5"])
def test_results_are_netcdf(result, name, tmp_path):
    with pytest.raises(fs.FastschedError, match=r"\.nc, \.nc4, \.netcdf, \.h5, \.cdf"):
        result.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.pdf", "x.nc", "x.md"])
def test_reports_are_html(result, name, tmp_path):
    with pytest.raises(fs.FastschedError, match=r"\.html, \.htm"):
        result.report(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_allowed_endings(result, tmp_path):
    for name in ("a.nc", "a.NC", "a.nc4", "a.netcdf", "a.h5", "a.cdf", "a"):
        result.save(tmp_path / name)
        assert fs.load(tmp_path / name).study == STUDY
    for name in ("b.html", "b.HTM", "b"):
        result.report(tmp_path / name)


def test_endings_are_checked_before_anything_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Neither the study nor the result exists: the ending is refused first.
    assert main(["run", "none.toml", "-o", "res.csv"]) == 1
    assert "output = 'res.csv'" in capsys.readouterr().err
    assert main(["report", "none.nc", "-o", "x.pdf"]) == 1
    assert "output = 'x.pdf'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("é", "é"),
        (True, 1),
        (np.bool_(False), 0),
        (np.float32(3), 3),
        ([1, 2.0], [1, 2]),
        (["a", "b"], ["a", "b"]),
        (("a", "b"), ["a", "b"]),
    ],
    ids=repr,
)
def test_attributes_that_are_kept(result, value, kept, tmp_path):
    result.data.attrs["note"] = value
    result.save(tmp_path / "out.nc")
    assert np.all(np.asarray(fs.load(tmp_path / "out.nc").data.attrs["note"]) == np.asarray(kept))
    assert result.data.attrs["note"] is value


@pytest.mark.parametrize(
    "value",
    [{"a": 1}, None, b"x", object(), [{"a": 1}], [1, "a"], [[1], [2, 3]], Path("x"), 2**70, "a\0b"],
    ids=lambda value: type(value).__name__,
)
def test_attributes_that_netcdf_cannot_hold(result, value, tmp_path):
    result.data.attrs["note"] = value
    with pytest.raises(fs.FastschedError, match=r"data.attrs\['note'\]"):
        result.save(tmp_path / "out.nc")
    del result.data.attrs["note"]
    result.data["loss"].attrs["note"] = value
    with pytest.raises(fs.FastschedError, match=r"data\['loss'\].attrs\['note'\]"):
        result.save(tmp_path / "out.nc")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", [5, None, ""], ids=repr)
def test_names_of_attributes(result, key, tmp_path):
    result.data.attrs[key] = 1
    with pytest.raises(fs.FastschedError, match=r"data\.attrs key"):
        result.save(tmp_path / "out.nc")


def test_the_loss_ranks_only_where_it_is_all_that_is_asked(tmp_path):
    wells = fs.Study(fs.DoubleWell(start=-1.0), fs.SGD(0.1), 10, 50)
    for measures, ranked in [
        ((fs.Loss(),), True),
        ((fs.Loss(), fs.Average()), True),
        ((fs.Loss(), fs.Escape()), False),
    ]:
        study = wells.replace(measures=measures)
        result = fs.run(fs.sweep(study, {"optimizer.lr": [0.1, 0.2]}), progress=False)
        result.report(tmp_path / "page.html")
        page = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert ("Ranking by the loss" in page) is ranked
        assert ("least loss" in result.summary()) is ranked
        assert ("result.best(variable)" in page) is not ranked
        assert ("result.best(variable)" in result.summary()) is not ranked


def test_output_on_an_ascii_terminal(tmp_path):
    study = fs.sweep(STUDY, {"optimizer.lr": {"größe": 0.1, "klein": 0.2}})
    (tmp_path / "é.toml").write_text(study.to_toml(), encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    program = [sys.executable, "-c", "import sys; from fastsched.cli import main; sys.exit(main())"]

    def told(*arguments):
        done = subprocess.run(
            [*program, *arguments], cwd=tmp_path, env=environment, capture_output=True, check=False
        )
        assert b"Traceback" not in done.stderr, done.stderr
        return done.stdout.decode("ascii")

    assert r"gr\xf6\xdfe" in told("run", "é.toml", "-o", "é.nc")
    assert r"gr\xf6\xdfe" in told("show", "é.nc")
    assert r"gr\xf6\xdfe" in told("compare", "é.nc")
    assert r"H\xe4gele" in told("schedules", "WSD")
    told("show", "ü.nc")
