"""Sweeps run: the bits of their members, paired differences, ranking, files."""

from __future__ import annotations

import functools
import json
from concurrent.futures import ThreadPoolExecutor

import h5py
import numba
import numpy as np
import pytest
from helpers import same_data

import fastsched as fs
from fastsched.plan import make_plan

LANDSCAPE = fs.Quadratic(1 / np.arange(1, 21), noise="hessian", start=fs.Normal())
MEASURES = (fs.Loss(), fs.HittingTime(0.05), fs.Overshoot(), fs.Alignment(), fs.Sharpness())


def study(**changes):
    options = {"steps": 60, "trajectories": 300, "measures": MEASURES, "record": 8, "seed": 5}
    return fs.Study(LANDSCAPE, fs.SGD(0.3), **(options | changes))


AXES = {
    "optimizer.lr": {"constant": 0.3, "cosine": fs.Cosine(0.5, 60), "linear": fs.Linear(0.5, 60)},
    "batch_size": [1, 8],
}


@functools.cache
def swept():
    return fs.run(fs.sweep(study(), AXES), progress=False)


def test_members_are_the_studies_alone():
    result = swept()
    for lr in AXES["optimizer.lr"]:
        for batch_size in (1, 8):
            member = result.member(lr=lr, batch_size=batch_size)
            assert same_data(member, fs.run(member.study, progress=False))
    assert result.member({"lr": "cosine", "batch_size": 8}).study == result.sweep.members[3]


def test_everything_after_the_last_step_is_after_the_studys_last_step():
    """A large rate is ahead at step 5, and behind after the last of 60."""
    few = study(record=[0, 5], measures=(fs.Loss(),))
    result = fs.run(fs.sweep(few, {"optimizer.lr": [0.1, 0.5]}), progress=False)
    losses = result["loss"]
    assert losses.sel(step=5).idxmin() == 0.5
    ranking = result.best()
    assert losses.sel(step=60).idxmin() == ranking.best["lr"] == 0.1
    np.testing.assert_array_equal(np.sort(losses.sel(step=60)), ranking.value)
    shown = result.plot(x="lr").lines[0].get_ydata()
    np.testing.assert_array_equal(shown, losses.sel(step=60))


def test_a_file_without_the_last_step_is_still_read(tmp_path):
    """Version 0.1.0 recorded the steps that were asked for alone."""
    path = tmp_path / "old.nc"
    few = study(record=[0, 5], measures=(fs.Loss(),))
    for asked in (few, fs.sweep(few, {"batch_size": [1, 8]})):
        result = fs.run(asked, progress=False)
        result.data = result.data.sel(step=[0, 5])
        result.save(path)
        old = fs.load(path)
        assert old["step"].values.tolist() == [0, 5]
        assert old.exact["step"].values.tolist() == [0, 5]
        assert "loss" in old.summary()


def trajectories(study):
    """Return the recorded losses and the hitting time of every trajectory."""
    plan = make_plan(study, 1)
    runner = plan.runner()
    losses, times = [], []
    for block in plan.blocks():
        observed, kept = runner.run(
            0, block.first_tile, block.count, lambda: True, lambda updates: None
        )
        losses.append(observed.host()[: len(study.record_steps)])
        times.append(kept.host()[0])
    time = np.concatenate(times)
    return np.concatenate(losses, axis=1), np.where(time < 0, study.steps, time)


def test_differences_are_those_of_trajectories():
    result = swept()
    a, b = result.sweep.members[1], result.sweep.members[4]  # constant, 8 and linear, 1
    (loss_a, time_a), (loss_b, time_b) = trajectories(a), trajectories(b)
    sides = {"lr": "constant", "batch_size": 8}, {"lr": "linear", "batch_size": 1}
    for variable, x, y in [("loss", loss_a, loss_b), ("hitting_time", time_a, time_b)]:
        for d, order in ((x - y, sides), (y - x, sides[::-1])):
            found = result.compare(*order, variable)
            se = d.std(axis=-1, ddof=1) / np.sqrt(300)
            np.testing.assert_allclose(found["difference"], d.mean(axis=-1), rtol=1e-9, atol=1e-15)
            np.testing.assert_allclose(found["difference_se"], se, rtol=1e-9, atol=1e-15)
            assert np.all(found["trajectories"] == 300)
        ratio = result.compare(*sides, variable)["ratio"]
        np.testing.assert_allclose(ratio, x.mean(axis=-1) / y.mean(axis=-1), rtol=1e-9)


def test_the_ratio_error_is_that_of_resampling():
    """The delta method against the spread of the ratio over bootstrap samples."""
    result = swept()
    a, b = result.sweep.members[3], result.sweep.members[5]
    (x, _), (y, _) = trajectories(a), trajectories(b)
    picks = np.random.default_rng(0).integers(0, 300, (4000, 300))
    spread = (x[-1][picks].mean(axis=1) / y[-1][picks].mean(axis=1)).std()
    found = result.compare({"lr": "cosine"}, {"lr": "linear"}).sel(batch_size=8).isel(step=-1)
    assert float(found["ratio_se"]) == pytest.approx(spread, rel=0.1)
    # Errors of independent runs would be three times as large.
    assert float(found["variance_reduction"]) > 5


def test_dimensions_of_a_comparison():
    result = swept()
    found = result.compare({"lr": "cosine"}, {"lr": "linear"})
    assert found["difference"].dims == ("batch_size", "step")
    assert found["difference"].sel(step=0).values.tolist() == [0, 0]
    exact = result.exact["loss"]
    expected = exact.sel(lr="cosine") - exact.sel(lr="linear")
    z = ((found["difference"] - expected) / found["difference_se"]).sel(step=60)
    assert np.all(np.abs(z) < 4)
    axis = result.compare({"lr": "cosine"}, {"lr": "linear"}, "overshoot_depth")
    assert axis["difference"].dims == ("batch_size", "axis")
    every = result.compare({"lr": "cosine"}, {})
    assert every["difference"].dims == ("lr", "batch_size", "step")
    assert every.sel(lr="linear").drop_vars("lr").drop_attrs().identical(found.drop_attrs())
    crossed = result.compare({"lr": "cosine"}, {"batch_size": 1})
    assert crossed["difference"].dims == ("lr", "batch_size", "step")
    one = result.compare({"lr": "cosine", "batch_size": 8}, {"lr": "linear", "batch_size": 1})
    part = crossed.sel(lr="linear", batch_size=8).drop_vars(["lr", "batch_size"])
    assert part.drop_attrs().identical(one.drop_attrs())
    same = result.compare({"lr": "cosine"}, {"lr": "cosine"})
    assert np.all(same["difference"] == 0)
    assert np.all(same["ratio"] == 1)
    for a, b, variable, message in [
        ({"lr": "cosine"}, {"lr": "linear"}, "loss_std", "differences are kept: loss, "),
        ({"lr": "cos"}, {"lr": "linear"}, "loss", "a label of that axis"),
        ("cosine", "linear", "loss", "a dict of labels"),
    ]:
        with pytest.raises(fs.FastschedError, match=message):
            result.compare(a, b, variable)


def test_large_sweeps_compare_the_last_step():
    rates = np.linspace(0.1, 0.9, 20)
    result = fs.run(fs.sweep(study(measures=(fs.Loss(),)), {"optimizer.lr": rates}), progress=False)
    small = fs.run(
        fs.sweep(study(measures=(fs.Loss(),)), {"optimizer.lr": rates[[2, 7]]}), progress=False
    )
    last = result.compare(rates[2], rates[7])
    assert last["difference"].dims == ()
    every = small.compare(rates[2], rates[7]).isel(step=-1)
    for name in last:
        assert last[name].item() == every[name].item()


def test_variables_with_too_many_differences_are_left_out(monkeypatch):
    sweep = fs.sweep(study(), {"optimizer.lr": np.linspace(0.1, 0.9, 20)})
    assert "overshoot_depth" in fs.run(sweep, progress=False).pairs
    monkeypatch.setattr("fastsched.pairs._MOST_DIFFERENCES", 19 * 190)
    pairs = fs.run(sweep, progress=False).pairs
    assert "overshoot_depth" not in pairs
    assert "hitting_time" in pairs


def test_very_large_sweeps_have_no_pairs(monkeypatch):
    monkeypatch.setattr("fastsched.pairs.MOST_PAIRED", 3)
    result = fs.run(fs.sweep(study(), {"seed": [0, 1, 2, 3]}), progress=False)
    assert not result.pairs
    with pytest.raises(fs.FastschedError, match="keeps no differences"):
        result.compare(0, 1)
    assert "least loss" not in result.summary()


def test_members_may_differ_in_everything():
    """Steps, records, dimensions, optimizers, measures: what a member lacks is NaN."""
    other = fs.LeastSquares(1 / np.arange(1, 9) ** 2, label_noise=0.1)
    sweep = fs.sweep(
        study(record=[0, 10, 60], measures=(fs.Loss(), fs.Alignment(), fs.Overshoot())),
        {
            "landscape": {"quadratic": LANDSCAPE, "regression": other},
            "optimizer": {"SGD": fs.SGD(0.1), "momentum": fs.SGD(0.05, momentum=0.5)},
            "steps, record": {"short": (60, [0, 10, 60]), "long": (80, [0, 30, 60, 80])},
        },
    )
    result = fs.run(sweep, progress=False)
    assert result["step"].values.tolist() == [0, 10, 30, 60, 80]
    assert result["axis"].size == 20
    for labels, member in zip(
        [(a, b, c) for a in sweep.labels[0] for b in sweep.labels[1] for c in sweep.labels[2]],
        sweep.members,
        strict=True,
    ):
        found = result.member(dict(zip(sweep.dims, map(str, labels), strict=True)))
        alone = fs.run(member, progress=False)
        assert found.study == member
        for name, values in alone.data.items():
            part = found[name].sel({d: values[d] for d in values.dims})
            np.testing.assert_array_equal(part, values)
    # The velocity's alignment is known with momentum only, and the records differ.
    assert "velocity_alignment" not in result.pairs
    found = result.compare({"steps+record": "short"}, {"steps+record": "long"})
    assert found["difference"].dims == ("landscape", "optimizer")


def test_members_lack_what_they_do_not_measure():
    sweep = fs.sweep(
        study(measures=(fs.Loss(),)),
        {"measures": {"loss": (fs.Loss(),), "time": fs.HittingTime(0.1)}},
    )
    result = fs.run(sweep, progress=False)
    for name, member in zip(("loss", "time"), sweep.members, strict=True):
        found = result.member(name)
        assert same_data(found, fs.run(member, progress=False))
        assert repr(found)
    with pytest.raises(fs.FastschedError, match="there is none that all members have"):
        result.best()


def test_other_axes_are_not_compared():
    """Numbers along axes that members do not share are in the data, not in the pairs."""
    sweep = fs.sweep(
        study(measures=(fs.Loss(), fs.Overshoot(axes=[0, 1]))),
        {"measures.1.axes": {"first": [0, 1], "second": [1, 2]}},
    )
    result = fs.run(sweep, progress=False)
    assert result["overshoot_depth"].shape == (2, 3)
    assert "overshoot_depth" not in result.pairs
    assert result.compare("first", "second")["difference"].sel(step=60) == 0


def test_z_scores_where_only_some_members_have_an_exact_deviation():
    one_pass = fs.LeastSquares(1 / np.arange(1, 9) ** 2, label_noise=0.1)
    sweep = fs.sweep(study(measures=(fs.Loss(),)), {"landscape": {"a": LANDSCAPE, "b": one_pass}})
    result = fs.run(sweep, progress=False)
    alone = result.member("b")
    np.testing.assert_array_equal(
        result.z_scores["loss"].sel(landscape="b"), alone.z_scores["loss"]
    )
    assert np.all(np.isfinite(alone.z_scores["loss"][1:]))
    assert np.isnan(result.data.attrs["irreducible_risk"])
    assert alone.data.attrs["irreducible_risk"] == one_pass.irreducible_risk


def test_divergence_is_compared_where_both_are_finite():
    sweep = fs.sweep(study(steps=400), {"optimizer.lr": [0.1, 1.5, 8.0]})
    result = fs.run(sweep, progress=False)
    found = result.compare(0.1, 8.0).isel(step=-1)
    assert found["trajectories"] == 0
    assert np.isnan(found["difference"])
    assert np.isnan(found["ratio"])
    ranking = result.best()
    assert [m["lr"] for m in ranking.members] == [0.1, 1.5, 8.0]
    assert np.isnan(ranking.p[2])
    assert "diverged" in repr(ranking)
    assert np.isnan(found["variance_reduction"])
    # Events are known of diverged trajectories, too.
    assert len(result.best("hitting_probability", largest=True).candidates) > 0
    only_loss = study(steps=400, measures=fs.Loss())
    lost = fs.run(fs.sweep(only_loss, {"optimizer.lr": [7.0, 8.0]}), progress=False)
    assert "trajectories of every member have diverged" in lost.summary()
    single = fs.sweep(study(trajectories=1, measures=fs.Loss()), {"optimizer.lr": [0.1, 0.2]})
    assert "no errors are known" in fs.run(single, progress=False).summary()
    assert {"lr": 8.0} not in ranking.candidates


def test_the_same_bits_however_it_is_run(threads, monkeypatch, tmp_path):
    sweep = fs.sweep(study(), AXES)
    reference = swept()

    def identical(result):
        return same_data(result, reference) and result.pairs.identical(reference.pairs)

    monkeypatch.setattr("fastsched.plan._SMALLEST_BLOCK", 1)
    monkeypatch.setattr("fastsched.plan._STEADY_WORK", 2**16)
    for number in sorted({1, threads}):
        numba.set_num_threads(number)
        assert identical(fs.run(sweep, progress=False))
    monkeypatch.setattr("fastsched.plan._LARGEST_CALL", 2000)
    assert identical(fs.run(sweep, progress=False))
    folder = tmp_path / "store"
    assert identical(fs.run(sweep, store=folder, progress=False))
    blocks = sorted(folder.glob("*.block"))
    assert len(blocks) > 2
    blocks[1].unlink()
    assert identical(fs.run(sweep, store=folder, progress=False))
    with ThreadPoolExecutor(2) as executor:
        assert identical(fs.run(sweep, executor=executor, progress=False))
    more = sweep.with_trajectories(400)
    assert same_data(fs.run(more, store=folder, progress=False), fs.run(more, progress=False))
    with pytest.raises(fs.FastschedError, match="another study, which differs in sweep"):
        fs.run(fs.sweep(study(), {"batch_size": [1, 8]}), store=folder, progress=False)
    with pytest.raises(fs.FastschedError, match="another study, which differs in type, sweep"):
        fs.run(study(), store=folder, progress=False)
    assert fs.run(sweep, store=folder, progress=False).complete


def test_a_store_of_many_shapes(tmp_path):
    """Arrays of equal names and other shapes come back as they were."""
    sweep = fs.sweep(study(), {"landscape": {"a": LANDSCAPE, "b": fs.Quadratic([1.0, 0.5])}})
    first = fs.run(sweep, store=tmp_path / "store", progress=False)
    again = fs.run(sweep, store=tmp_path / "store", progress=False)
    assert same_data(first, again)
    assert json.loads((tmp_path / "store" / "store.json").read_text())["format"] == 3


def test_run_to_a_target():
    sweep = fs.sweep(study(trajectories=100_000, measures=(fs.Loss(),)), AXES)
    result = fs.run(sweep, target_se=0.05, progress=False)
    assert 256 <= result.trajectories < 100_000
    assert result.complete
    assert float((result["loss_se"] / result["loss"]).max()) <= 0.05


def test_files(tmp_path):
    result = swept()
    result.save(tmp_path / "out.nc")
    again = fs.load(tmp_path / "out.nc")
    assert isinstance(again, fs.SweepResult)
    assert again.sweep == result.sweep
    assert again.data.identical(result.data)
    assert again.pairs.identical(result.pairs)
    assert repr(again) == repr(result)
    with h5py.File(tmp_path / "out.nc", "a") as file:
        del file["pairs"]
    with pytest.raises(fs.ResultFileError, match="damaged"):
        fs.load(tmp_path / "out.nc")
    assert same_data(
        again.member(lr="cosine", batch_size=8), result.member(lr="cosine", batch_size=8)
    )


def test_ranking_by_hand():
    result = swept()
    ranking = result.best(confidence=0.9)
    final = result["loss"].isel(step=-1).values.ravel()
    order = np.argsort(final)
    assert ranking.value.tolist() == final[order].tolist()
    assert ranking.best == {"lr": "linear", "batch_size": 8}
    from scipy.stats import t as student

    x = [trajectories(member)[0][-1] for member in result.sweep.members]
    for k, i in enumerate(order):
        z = max(
            (x[i] - x[j]).mean() / ((x[i] - x[j]).std(ddof=1) / np.sqrt(300))
            for j in range(6)
            if j != i
        )
        assert ranking.p[k] == pytest.approx(min(1, 5 * student.sf(z, 299)), rel=1e-6, abs=1e-300)
    largest = result.best("hitting_time", largest=True)
    assert largest.value.tolist() == sorted(largest.value, reverse=True)
    assert np.all(largest.behind >= 0)
    for arguments, message in [
        ({"variable": "overshoot_depth"}, "without dimensions other than step"),
        ({"confidence": 1.0}, "less than 1"),
        ({"variable": "nothing"}, "of which differences are kept"),
        ({"variable": ["loss"]}, "of which differences are kept"),
    ]:
        with pytest.raises(fs.FastschedError, match=message):
            result.best(**arguments)


def test_the_best_is_kept_as_often_as_said():
    """Of members that are all equally good, each is a candidate in most runs."""
    kept, runs = 0, 100
    base = fs.Study(LANDSCAPE, fs.SGD(0.3), 10, 256, measures=(fs.Loss(()),), record=[0, 10])
    for number in range(runs):
        seeds = [10 * number + k for k in range(6)]
        ranking = fs.run(fs.sweep(base, {"seed": seeds}), progress=False).best(confidence=0.8)
        kept += {"seed": seeds[0]} in ranking.candidates
    # Bonferroni's bound is near what happens for five comparisons: about 0.85 here.
    assert 0.8 - 4 * np.sqrt(0.8 * 0.2 / runs) < kept / runs < 1


def test_the_best_is_kept_with_few_trajectories():
    """Student's distribution: eight trajectories would lose it in 12 % of runs by a normal one."""
    kept, runs = 0, 150
    base = fs.Study(LANDSCAPE, fs.SGD(0.3), 10, 8, measures=(fs.Loss(()),), record=[0, 10])
    for number in range(runs):
        seeds = [100 * number + k for k in range(21)]
        ranking = fs.run(fs.sweep(base, {"seed": seeds}), progress=False).best()
        kept += {"seed": seeds[0]} in ranking.candidates
    assert kept / runs > 0.92


def test_summary_and_pictures():
    result = swept()
    text = result.summary()
    assert "6 variants along lr (3) x batch_size (2) of" in text
    assert "not ranked by the loss, since there are other measures" in text
    assert "least loss" not in text
    loss = fs.run(fs.sweep(study(measures=fs.Loss()), AXES), progress=False)
    assert "least loss: the best is one of 2 members" in loss.summary()
    assert len(result.summary(rows=2).splitlines()) < len(text.splitlines())
    ax = result.plot()
    assert len(ax.get_legend().get_texts()) == 7
    across = result.plot(x="lr", variable="hitting_time")
    assert across.get_xlabel() == "lr"
    for options, message in [
        ({"variable": "nothing"}, "variable = 'nothing'"),
        ({"x": "nothing"}, "one of step, lr, batch_size"),
    ]:
        with pytest.raises(fs.FastschedError, match=message):
            result.plot(**options)


def test_one_member_and_interrupted_runs():
    result = fs.run(fs.sweep(study(), {"seed": [5]}), progress=False)
    assert same_data(result.member(5), fs.run(study(), progress=False))
    with pytest.raises(fs.FastschedError, match="nothing to compare"):
        result.best()
    with pytest.raises(fs.FastschedError, match="lr must be given"):
        swept().member(batch_size=8)
    with pytest.raises(fs.FastschedError, match="left out where labels are keywords"):
        swept().member({"lr": "cosine"}, batch_size=8)
    assert fs.sweep(study(), AXES).estimate().updates == 6 * 300 * 20 * 60
