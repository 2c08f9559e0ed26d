"""Results: files, tables, pictures."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
import xarray

import fastsched as fs
from fastsched.demo import demo, steps_to, zoo

matplotlib.use("Agg")


@pytest.fixture
def result(small_study):
    return fs.run(small_study, progress=False)


def test_save_and_load(result, tmp_path):
    path = tmp_path / "out.nc"
    result.save(path)
    again = fs.load(path)
    assert again.study == result.study
    assert again.complete
    xarray.testing.assert_identical(again.data, result.data)
    assert list(tmp_path.iterdir()) == [path]


def test_a_study_of_many_numbers_is_saved(tmp_path):
    study = fs.Study(fs.Quadratic(1 / np.arange(1.0, 20_001)), fs.SGD(0.1), 4, 16)
    result = fs.run(study, progress=False)
    result.save(tmp_path / "out.nc")
    assert fs.load(tmp_path / "out.nc").study == study


def test_function_schedules_cannot_be_saved(tmp_path):
    study = fs.Study(fs.Quadratic([1.0]), fs.SGD(fs.Function(lambda t: 0.1)), 4, 16)
    with pytest.raises(fs.FastschedError, match="Table"):
        fs.run(study, progress=False).save(tmp_path / "out.nc")
    assert list(tmp_path.iterdir()) == []


def test_not_our_file(result, tmp_path):
    with pytest.raises(fs.ResultFileError, match="there is no such file"):
        fs.load(tmp_path / "none.nc")
    (tmp_path / "text.nc").write_text("not a result")
    with pytest.raises(fs.ResultFileError, match="not a NetCDF file"):
        fs.load(tmp_path / "text.nc")
    xarray.Dataset({"loss": ("step", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(fs.ResultFileError, match="not a result of fastsched"):
        fs.load(tmp_path / "other.nc")
    result.save(tmp_path / "ours.nc")
    whole = (tmp_path / "ours.nc").read_bytes()
    (tmp_path / "ours.nc").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(fs.ResultFileError, match="damaged"):
        fs.load(tmp_path / "ours.nc")
    with pytest.raises(fs.FastschedError, match="not of a folder"):
        result.save(tmp_path)
    with pytest.raises(fs.FastschedError, match="does not exist"):
        result.save(tmp_path / "no" / "out.nc")


def test_summary(result):
    text = result.summary()
    assert repr(result) == text
    lines = text.splitlines()
    assert "Quadratic(d=3), SGD(lr=Cosine" in lines[0]
    assert "100 trajectories, 50 steps" in lines[1]
    assert " ".join(lines[3].split()) == ("step loss +- exact z std +- 5 % 25 % 50 % 75 % 95 %")
    first, last = lines[4].split(), lines[-1].split()
    assert first[0] == "0"
    assert last[0] == "50"
    assert float(last[1]) == pytest.approx(float(result.data["loss"][-1]), rel=1e-3)
    assert len(result.summary(rows=5).splitlines()) == 9


def test_exact_values_stand_beside(result):
    exact = fs.exact(result.study)
    for name in ("loss", "loss_std"):
        np.testing.assert_array_equal(result.exact[name], exact[name])
        z = (result.data[name] - exact[name]) / result.data[f"{name}_se"]
        np.testing.assert_array_equal(result.z_scores[name][1:], z[1:])
        assert np.isnan(result.z_scores[name][0])  # the start is fixed
    assert exact["loss_quantile"].dims == ("quantile", "step")
    assert float(abs(result.z_scores["loss"]).max()) < 4
    exact.plot()


def test_diverged_means_have_no_z_score():
    study = fs.Study(fs.Quadratic([1.0]), fs.SGD(3.0), 300, 64)
    result = fs.run(study, progress=False)
    assert result.data["diverged"][-1] == 1
    assert np.isnan(result.z_scores["loss"][-1])
    assert np.isfinite(result.z_scores["loss"][1])
    assert "diverged: up to 100 %" in result.summary()


def test_plot(result, tmp_path):
    ax = result.plot()
    assert ax.get_xlabel() == "step (updates)"
    assert ax.get_ylabel() == "loss"
    result.plot(ax, label="again")
    labels = [str(line.get_label()) for line in ax.lines]
    assert labels.count("exact mean") == 1
    assert labels[2].startswith("again\nmax |z| = ")
    ax.get_figure().savefig(tmp_path / "fig.png")
    assert (tmp_path / "fig.png").stat().st_size > 10_000


@pytest.fixture(scope="module")
def passage():
    """A result with numbers without a step, curves, and quantiles of other orders."""
    study = fs.Study(
        fs.DoubleWell(noise=1.0, start=-1.0),
        fs.SGD(0.1),
        40,
        500,
        measures=(fs.Loss((0.5,)), fs.Escape(), fs.Basins()),
    )
    return fs.run(study, progress=False)


def test_summary_of_other_measures(passage):
    text = passage.summary(3)
    assert " ".join(text.splitlines()[3].split()) == "step loss +- std +- 50 %"
    probability = passage["escape_probability"].item()
    error = passage["escape_probability_se"].item()
    assert ["escape_probability", f"{probability:.6g}", "+-", f"{error:.2g}"] in [
        line.split() for line in text.splitlines()
    ]
    assert "in .data also: escape_time_quantile (quantile), escape_survival (step)" in text


def test_plot_of_other_measures(passage):
    assert passage.plot().get_ylabel() == "loss"
    ax = passage.plot(variable="basin_occupancy", label="constant")
    assert [line.get_label() for line in ax.lines] == ["basin 0, constant", "basin 1, constant"]
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), passage["basin_occupancy"].sel(basin=1))
    with pytest.raises(fs.FastschedError, match="variable = 'hitting_time': variable must be one"):
        passage.plot(variable="hitting_time")


def test_demo(tmp_path, capsys):
    results = demo(tmp_path / "zoo.png", trajectories=32, progress=False)
    assert list(results) == list(zoo())
    text = capsys.readouterr().out
    for name in zoo():
        assert name in text
    assert (tmp_path / "zoo.png").stat().st_size > 50_000


def test_steps_to_a_target():
    study = fs.Study(fs.Quadratic([1.0], noise=0.0), fs.SGD(0.5), 10, 16, record=np.arange(11))
    result = fs.run(study, progress=False)
    assert steps_to(result, 1.0) == (0.0, 0.0)
    assert steps_to(result, 0.125)[0] == pytest.approx(1.0)
    assert steps_to(result, 0.078125)[0] == pytest.approx(1.5)
    assert steps_to(result, 1e-9) == (np.inf, np.inf)
