"""Measures: what is asked of the trajectories, one file each."""

from fastsched.measures.base import Measure
from fastsched.measures.loss import Loss

__all__ = ["Loss", "Measure"]
