"""Measures: what is asked of the trajectories, one file each."""

from fastsched.measures.average import Average
from fastsched.measures.base import Measure
from fastsched.measures.loss import Loss
from fastsched.measures.test_loss import TestLoss

__all__ = ["Average", "Loss", "Measure", "TestLoss"]
