"""The command line, by its entry function and as a program."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tomllib
from importlib import import_module

import numpy as np
import pytest

import fastsched as fs
from fastsched import cli
from fastsched.cli import main
from fastsched.plot import plot_schedules
from fastsched.spec import Spec
from fastsched.sweep import read

PROGRAM = [sys.executable, "-c", "import sys; from fastsched.cli import main; sys.exit(main())"]
LANDSCAPES = [
    name
    for name, cls in Spec.registry.items()
    if issubclass(cls, fs.Landscape) and name in fs.__all__ and name not in ("Landscape", "Custom")
]
COMMANDS = ["run", "estimate", "show", "plot", "compare", "report", "demo", "example", "schedules"]
# Parameters that an example may leave out.
RARE = {"features", "brute_force", "test_size"}


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
    (tmp_path / "binary.nc").write_bytes(b"\x89HDF\xff\xfe\0")
    for arguments, message in [
        (["run", str(study_file)], "unknown key 'step'"),
        (["run", str(tmp_path / "none.toml")], "there is no such file"),
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


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"])
def test_encodings_of_a_study_file(study_file, capsys, encoding, end):
    mark = "\ufeff" if encoding.startswith("utf-16") else ""
    text = "# Rate η, é" + end + study_file.read_text().replace("\n", end)
    study_file.write_bytes((mark + text).encode(encoding))
    picture = study_file.with_name("lr.png")
    assert main(["schedules", "--draw", str(study_file), "-o", str(picture)]) == 0
    assert picture.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# Taux \xe9lev\xe9\n", "not UTF-8 or UTF-16: byte 0xe9 at position 7; save it as UTF-8"),
        (b"\xef\xbb\xbf# \xe9", "byte 0xe9 at position 5"),
        (b"\x89HDF\r\n\x1a\n\0\0", "not a text file; a result is read by `fastsched show`"),
        (b"\x89HDF\xff\xfe\0", "not a text file"),
        (b"\xff\xfes\0t", "not a text file"),
        ("\ufeffsteps".encode("utf-32-le"), "not a text file"),
        ("steps".encode("utf-16-le"), "not a text file"),
    ],
)
def test_files_that_are_not_studies(tmp_path, capsys, content, message):
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    assert main(["run", str(path)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert str(path) in error
    assert len(error.splitlines()) == 1


def test_text_with_a_byte_order_mark(small_study):
    text = "\ufeff" + small_study.to_toml()
    assert fs.Study.from_toml(text) == small_study
    swept = text + "[sweep]\nbatch_size = [1, 2]\n"
    assert fs.Sweep.from_toml(swept).study == small_study
    assert read(swept.replace("\n", "\r\n")).shape == (2,)


def test_output_folder_is_checked_before_the_run(study_file, tmp_path, capsys):
    assert main(["run", str(study_file), "-o", str(tmp_path / "no" / "out.nc")]) == 1
    captured = capsys.readouterr()
    assert "does not exist" in captured.err
    assert captured.out == ""


def test_program_has_help():
    done = subprocess.run(
        [*PROGRAM, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for part in (*COMMANDS, "exit codes"):
        assert part in done.stdout


def test_every_command_teaches(capsys):
    for command in COMMANDS:
        with pytest.raises(SystemExit, match="0"):
            main([command, "--help"])
        text = capsys.readouterr().out
        assert f"example:\n  fastsched {command} " in text
        assert len(text.split("\n\n")[1]) > 20


def test_wrong_usage(capsys):
    for arguments in ([], ["fly"], ["example", "Hills"], ["schedules", "-o", "fig.png"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        assert "usage: fastsched" in capsys.readouterr().err


def test_plot_of_a_variable(study_file, tmp_path, capsys):
    out, picture = tmp_path / "out.nc", tmp_path / "fig.png"
    assert main(["run", str(study_file), "-o", str(out)]) == 0
    assert main(["plot", str(out), "-o", str(picture), "--variable", "loss_std"]) == 0
    assert picture.stat().st_size > 10_000
    assert main(["plot", str(out), "-o", str(picture), "--variable", "speed"]) == 1
    assert "variable = 'speed': variable must be one over step: loss," in capsys.readouterr().err


def test_interrupted_run_writes_what_is_finished(study_file, tmp_path, capsys, monkeypatch):
    def interrupted(study, **options):
        result = fs.run(study.replace(trajectories=16))
        result.data.attrs["complete"] = 0
        return result

    monkeypatch.setattr(import_module("fastsched.run"), "run", interrupted)
    out = tmp_path / "out.nc"
    assert main(["run", str(study_file), "-o", str(out)]) == 3
    assert "interrupted" in capsys.readouterr().out
    assert not fs.load(out).complete


def test_interrupt_before_anything_is_finished(study_file, capsys, monkeypatch):
    def interrupted(study, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("fastsched.run"), "run", interrupted)
    assert main(["run", str(study_file)]) == 130
    assert "before anything was finished" in capsys.readouterr().err


def test_closed_pipe_ends_quietly(study_file, tmp_path):
    out = tmp_path / "out.nc"
    for arguments in (["schedules"], ["run", str(study_file), "-o", str(out)]):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([*PROGRAM, *arguments], stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, b"")
    assert fs.load(out).complete


def test_closed_pipes_of_windows(monkeypatch):
    """Windows reports EINVAL, without a file name."""
    pipe, file = OSError(errno.EINVAL, "invalid"), OSError(errno.EINVAL, "invalid", "a?b.nc")
    assert not cli._is_closed_pipe(pipe)
    monkeypatch.setattr(cli.sys, "platform", "win32")
    assert cli._is_closed_pipe(pipe)
    assert not cli._is_closed_pipe(file)
    assert not cli._is_closed_pipe(fs.FastschedError("invalid"))


def test_no_control_characters_in_a_pipe(study_file):
    done = subprocess.run([*PROGRAM, "run", str(study_file)], capture_output=True, check=True)
    assert done.stderr == b""
    assert done.stdout.replace(b"\n", b"").decode().isprintable()


def test_schedules(capsys):
    assert main(["schedules"]) == 0
    text = capsys.readouterr().out
    known = {name for name, cls in Spec.registry.items() if issubclass(cls, fs.Schedule)}
    listed = {line.partition("(")[0] for line in text.splitlines() if line[:1].isupper()}
    assert listed >= known - {"Schedule"}
    assert "Cosine(initial, steps, final=0.0)\n    Half a period of a cosine." in text
    assert main(["schedules", "Cosine"]) == 0
    assert "Step with the final value, at least 1." in capsys.readouterr().out
    assert main(["schedules", "Sine"]) == 1
    assert "NAME = 'Sine': NAME must be one of" in capsys.readouterr().err


def test_schedules_are_drawn(small_study, tmp_path, capsys):
    path, picture = tmp_path / "study.toml", tmp_path / "fig.png"
    study = small_study.replace(batch_size=fs.Piecewise([20], [1, 8]))
    figure = plot_schedules(study)
    assert [ax.get_ylabel() for ax in figure.axes] == ["lr", "batch size"]
    np.testing.assert_array_equal(
        figure.axes[0].lines[0].get_xydata()[::2].T, [np.arange(50), fs.Cosine(0.2, 50).values(50)]
    )
    path.write_text(study.to_toml())
    assert main(["schedules", "--draw", str(path), "-o", str(picture)]) == 0
    assert picture.stat().st_size > 10_000
    path.write_text(small_study.replace(optimizer=fs.SGD(0.1)).to_toml())
    assert main(["schedules", "--draw", str(path), "-o", str(picture)]) == 1
    assert "no hyper-parameter of the study is a schedule" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "printed"),
    [("Quadratic", "20,000 trajectories"), ("Sweep", "9 variants along batch_size (3) x lr (3)")],
)
def test_example_runs(name, printed, tmp_path, capsys):
    path = tmp_path / "study.toml"
    assert main(["example", name]) == 0
    path.write_text(capsys.readouterr().out)
    assert main(["run", str(path)]) == 0
    assert printed in capsys.readouterr().out


@pytest.mark.parametrize("name", LANDSCAPES)
def test_examples_show_every_parameter(name, capsys):
    assert main(["example", name]) == 0
    text = capsys.readouterr().out
    landscape = fs.Study.from_toml(text).landscape
    assert type(landscape).__name__ == name
    assert set(tomllib.loads(text)["landscape"]) - {"type"} >= set(landscape._fields()) - RARE


@pytest.mark.slow
@pytest.mark.parametrize("name", LANDSCAPES)
def test_every_example_runs(name, capsys):
    assert main(["example", name]) == 0
    study = fs.Study.from_toml(capsys.readouterr().out)
    assert study.replace(trajectories=16).run(progress=False).complete


def test_run_with_a_store_and_a_target(tmp_path, capsys):
    study = fs.Study(fs.Quadratic([1.0, 0.5], start=fs.Normal()), fs.SGD(0.1), 20, 3000)
    (tmp_path / "study.toml").write_text(study.to_toml())
    arguments = ["run", str(tmp_path / "study.toml"), "--store", str(tmp_path / "store")]
    assert main([*arguments, "--target-se", "0.5"]) == 0
    assert list((tmp_path / "store").glob("*.block"))
    assert main([*arguments, "--target-se", "-1"]) == 1
    assert "target_se must be" in capsys.readouterr().err


def test_sweeps(small_study, tmp_path, capsys):
    sweep = fs.sweep(small_study, {"optimizer.lr": {"low": 0.1, "high": 0.2}, "batch_size": [1, 2]})
    study, out, picture = (tmp_path / name for name in ("study.toml", "out.nc", "fig.png"))
    study.write_text(sweep.to_toml())
    assert main(["estimate", str(study)]) == 0
    assert "updates, about" in capsys.readouterr().out
    assert main(["run", str(study), "-o", str(out)]) == 0
    assert "4 variants along lr (2) x batch_size (2)" in capsys.readouterr().out
    assert main(["compare", str(out)]) == 0
    assert "all 4 compared" in capsys.readouterr().out
    assert main(["compare", str(out), "lr=low", "lr=high", "--variable", "loss"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "loss: lr=low less lr=high"
    assert lines[1].split()[:4] == ["batch_size", "step", "difference", "+-"]
    assert main(["compare", str(out), "lr=low,batch_size=2", "lr=low,batch_size=1"]) == 0
    capsys.readouterr()
    assert main(["plot", str(out), "-o", str(picture), "--x", "lr"]) == 0
    assert picture.stat().st_size > 10_000
    assert main(["report", str(out), "-o", str(tmp_path / "report.html")]) == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Curves: loss over batch size" in text
    assert "Ranking by the loss" in text
    assert "Curves: diverged" not in text
    assert "all 4 compared" in text
    for arguments, message in [
        (["compare", str(out), "low", "high"], "axis = 'low': axis must be one of lr, batch_size"),
        (["compare", str(out), "lr=no", "lr=low"], "lr = 'no': lr must be a label of that axis"),
        (["compare", str(out), "--variable", "loss_std"], "one of which differences are kept"),
        (["plot", str(out), "-o", str(picture), "--x", "seed"], "x = 'seed'"),
    ]:
        assert main(arguments) == 1
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["compare", str(out), "lr=low"])
    study.write_text(small_study.to_toml())
    assert main(["run", str(study), "-o", str(out)]) == 0
    assert main(["compare", str(out)]) == 1
    assert "comparisons and axes are of sweeps" in capsys.readouterr().err


def test_without_the_compiler(tmp_path):
    """One line each for the command and for Python, before anything else is imported."""
    command = tmp_path / "fastsched"
    command.write_text("import sys\nfrom fastsched.cli import main\nsys.exit(main())\n")
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    options = {"env": environment, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, str(command), "--version"], **options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("fastsched: Numba's compiler is turned off")
    assert "unset NUMBA_DISABLE_JIT" in done.stderr
    assert done.stderr.count("\n") == 1
    done = subprocess.run([sys.executable, "-c", "import fastsched"], **options)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: Numba's compiler is turned off")
