"""The command line, by its entry function and as a program."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fastsched as fs
from fastsched.cli import main


@pytest.fixture
def study_file(small_study, tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(small_study.to_toml())
    return path


def test_run_show_plot(study_file, small_study, tmp_path, capsys):
    out, picture = tmp_path / "out.nc", tmp_path / "fig.png"
    assert main(["run", str(study_file), "-o", str(out)]) == 0
    table = capsys.readouterr().out
    assert "100 trajectories" in table
    assert fs.load(out).study == small_study
    assert main(["show", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[3:] == table.splitlines()[3:-1]
    assert main(["plot", str(out), "-o", str(picture)]) == 0
    assert picture.stat().st_size > 10_000


def test_errors_are_one_line(study_file, tmp_path, capsys):
    text = study_file.read_text()
    study_file.write_text("step = 3\n" + text)
    (tmp_path / "binary.nc").write_bytes(b"\x89HDF\xff\xfe")
    for arguments, message in [
        (["run", str(study_file)], "unknown key 'step'"),
        (["run", str(tmp_path / "none.toml")], "No such file"),
        (["show", str(study_file)], "not a NetCDF file"),
        (["run", str(tmp_path / "binary.nc")], "this is not a text file"),
        (["run", str(study_file), "-o", str(tmp_path)], "not of a folder"),
        (["plot", str(study_file), "-o", str(tmp_path / "fig.xyz")], "an ending in"),
        (["plot", str(study_file), "-o", str(tmp_path / "no" / "fig.png")], "does not exist"),
        (["demo", "--trajectories", "0", "-o", str(tmp_path / "d.png")], "trajectories = 0"),
    ]:
        assert main(arguments) == 1
        error = capsys.readouterr().err
        assert message in error
        assert len(error.splitlines()) == 1


def test_output_folder_is_checked_before_the_run(study_file, tmp_path, capsys):
    assert main(["run", str(study_file), "-o", str(tmp_path / "no" / "out.nc")]) == 1
    captured = capsys.readouterr()
    assert "does not exist" in captured.err
    assert captured.out == ""


def test_program_has_help():
    done = subprocess.run(
        [sys.executable, "-c", "from fastsched.cli import main; main()", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for command in ("run", "show", "plot", "report", "demo"):
        assert command in done.stdout
