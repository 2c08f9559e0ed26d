"""Optimizers: their parameters, and their update of one coordinate as a device function."""

from fastsched.optimizers.adam import Adam, AdamW
from fastsched.optimizers.base import Optimizer
from fastsched.optimizers.sgd import SGD
from fastsched.optimizers.sign_sgd import SignSGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "SignSGD"]
