"""Measures: what is asked of the trajectories, one file each."""

from fastsched.measures.alignment import Alignment
from fastsched.measures.average import Average
from fastsched.measures.base import Measure
from fastsched.measures.basins import Basins
from fastsched.measures.escape import Escape
from fastsched.measures.hitting_time import HittingTime
from fastsched.measures.loss import Loss
from fastsched.measures.overshoot import Overshoot
from fastsched.measures.sharpness import Sharpness
from fastsched.measures.test_loss import TestLoss

__all__ = [
    "Alignment",
    "Average",
    "Basins",
    "Escape",
    "HittingTime",
    "Loss",
    "Measure",
    "Overshoot",
    "Sharpness",
    "TestLoss",
]
