"""The averaged iterate, against averages taken by hand."""

import numpy as np
import pytest

import fastsched as fs

QUADRATIC = fs.Quadratic([1.0, 0.3], noise=0.0, start=[2.0, -1.0])
OPTIMIZER = fs.SGD(fs.Cosine(0.3, 40), momentum=0.7)


def iterates(steps):
    """Return theta_0 ... theta_steps without noise, shape (steps + 1, 2)."""
    theta, state = np.array([2.0, -1.0]), (np.zeros(2),)
    values, result = OPTIMIZER.hyperparameters(steps), [theta]
    for t in range(steps):
        gradient = QUADRATIC.eigenvalues * theta
        theta, *state = OPTIMIZER.reference_step(theta, state, gradient, values, t)
        result.append(theta)
    return np.array(result)


def averages(kind, path, decay, start):
    result = [path[0]]
    for t in range(1, len(path)):
        if kind == "ema":
            result.append(decay * result[-1] + (1 - decay) * path[t])
        elif kind == "tail":
            result.append(path[start:t].mean(axis=0) if t > start else path[t])
        else:
            result.append(path[:t].mean(axis=0))
    return np.array(result)


@pytest.mark.parametrize(
    "measure",
    [fs.Average(), fs.Average("ema", decay=0.9), fs.Average("tail", start=7)],
    ids=lambda m: m.kind,
)
@pytest.mark.parametrize("precision", ["single", "double"])
def test_average_without_noise(measure, precision):
    steps = 40
    study = fs.Study(
        QUADRATIC,
        OPTIMIZER,
        steps,
        trajectories=3,
        record=np.arange(steps + 1),
        measures=(fs.Loss(), measure),
        precision=precision,
    )
    data = fs.run(study, progress=False).data
    path = iterates(steps)
    mean = averages(measure.kind, path, measure.decay, measure.start)
    tolerance = 2e-5 if precision == "single" else 1e-12
    for name, points in (("loss", path), ("average_loss", mean)):
        exact = 0.5 * points**2 @ QUADRATIC.eigenvalues
        np.testing.assert_allclose(data[name], exact, rtol=tolerance, atol=1e-3 * tolerance)
    np.testing.assert_allclose(data["average_loss_std"], 0, atol=tolerance)


def test_a_measure_of_the_average_changes_no_other():
    study = fs.Study(fs.Quadratic([1.0, 0.1]), OPTIMIZER, steps=30, trajectories=50)
    alone = fs.run(study, progress=False).data
    both = fs.run(study.replace(measures=(fs.Loss(), fs.Average())), progress=False).data
    np.testing.assert_array_equal(alone["loss"], both["loss"])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kind": "median"}, "kind = 'median': kind must be one of"),
        ({"kind": "ema"}, "decay = None: decay must be given"),
        ({"kind": "ema", "decay": 1.0}, "decay must be a finite number, at least 0, less than 1"),
        ({"kind": "tail", "start": 0}, "start = 0: start must be an integer, at least 1"),
        ({"kind": "polyak", "decay": 0.9}, "decay must be left out"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.Average(**parameters)


def test_a_tail_that_never_starts_is_refused():
    with pytest.raises(fs.FastschedError, match="start = 30: start must be less than"):
        fs.Study(QUADRATIC, OPTIMIZER, 30, 1, measures=fs.Average("tail", start=30))


def test_toml():
    for measure in (fs.Average(), fs.Average("ema", decay=0.9), fs.Average("tail", start=7)):
        study = fs.Study(QUADRATIC, OPTIMIZER, 30, 1, measures=measure)
        assert fs.Study.from_toml(study.to_toml()) == study
