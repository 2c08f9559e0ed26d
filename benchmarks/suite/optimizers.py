"""Whole runs of each optimizer on a 1,000-dimensional noisy quadratic."""

from __future__ import annotations

import fastsched as fs

from .common import Runs, check_start, needs, study

OPTIMIZERS = {
    "SGD": lambda: fs.SGD(0.1),
    "SGD, momentum": lambda: fs.SGD(0.01, 0.9),
    "SGD, Nesterov": lambda: fs.SGD(0.01, 0.9, nesterov=True),
    "SGD, weight decay": lambda: fs.SGD(0.1, weight_decay=0.01),
    "Adam": lambda: fs.Adam(0.01),
    "AdamW": lambda: fs.AdamW(0.01, weight_decay=0.1),
    "SignSGD": lambda: fs.SignSGD(0.01),
    "SignSGD, momentum": lambda: fs.SignSGD(0.01, 0.9),
}


class Optimizers(Runs):
    params = (tuple(OPTIMIZERS),)
    param_names = ("optimizer",)

    def setup(self, name):
        needs(name.split(",")[0])
        self.study = study().replace(optimizer=OPTIMIZERS[name](), measures=fs.Loss(()))
        check_start(self.study)
