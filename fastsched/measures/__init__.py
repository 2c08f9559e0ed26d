"""Measures: what is asked of the trajectories, one file each."""

from fastsched.measures.average import Average
from fastsched.measures.base import Measure
from fastsched.measures.loss import Loss

__all__ = ["Average", "Loss", "Measure"]
