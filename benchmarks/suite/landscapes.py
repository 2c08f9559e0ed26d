"""Speed of the landscapes; each is checked against plain NumPy first."""

import numpy as np

import fastsched as fs
from fastsched.kernels import reference

POWERS = 1 / np.arange(1, 101)
SAMPLES = np.random.default_rng(0).normal(size=(2000, 50)) * np.sqrt(POWERS[:50])


def quartic_gradient(theta, draws, out):
    for i in range(len(theta)):
        out[i] = theta[i] ** 3 + draws[i]


def quartic(theta):
    return np.sum(theta**4) / 4


RNG = np.random.default_rng(1)
LANDSCAPES = {
    "LeastSquares": (fs.LeastSquares(POWERS, label_noise=0.1), 0.05),
    "RandomFeatures(linear)": (fs.RandomFeatures.power_law(400, 100, 1.0, 0.7), 0.2),
    "RandomFeatures(relu)": (
        fs.RandomFeatures.power_law(400, 100, 1.0, 0.7, activation="relu"),
        0.2,
    ),
    "Dataset(squared)": (fs.Dataset(SAMPLES, SAMPLES.sum(axis=1)), 0.05),
    "Dataset(logistic, epochs)": (
        fs.Dataset(SAMPLES, SAMPLES.sum(axis=1) > 0, "logistic", replacement=False, l2=0.01),
        0.05,
    ),
    "DoubleWell": (fs.DoubleWell(100, across=POWERS[1:]), 0.05),
    "Wells": (fs.Wells(RNG.normal(size=(5, 100)), RNG.uniform(0.5, 2, (5, 100))), 0.05),
    "RandomField": (fs.RandomField(100, 500, noise=0.1), 0.01),
    "Custom": (fs.Custom(quartic_gradient, quartic, 100, draws=100, start=0.5), 0.05),
}
STEPS = 100


def study(name, batch_size):
    landscape, lr = LANDSCAPES[name]
    return fs.Study(
        landscape, fs.SGD(lr), STEPS, 1024, batch_size, measures=(fs.Loss(()),), record=[0, STEPS]
    )


def check(question):
    """Check the first trajectories against plain NumPy."""
    few = question.replace(trajectories=16)
    slow = reference.simulate(
        few.landscape,
        few.optimizer,
        few.batch_sizes(),
        few.record_steps,
        np.arange(16),
        few.seed,
        few.precision,
    )
    fast = fs.run(few, progress=False)["loss"].values
    np.testing.assert_allclose(fast, slow.mean(axis=1), rtol=1e-3)


class Landscapes:
    params = (tuple(LANDSCAPES), (1, 16))
    param_names = ("landscape", "batch_size")

    def setup(self, name, batch_size):
        self.study = study(name, batch_size)
        check(self.study)

    def time_run(self, name, batch_size):
        fs.run(self.study, progress=False)
