"""Landscapes: the losses that trajectories descend, one file each."""

from fastsched.landscapes.base import Landscape, Normal
from fastsched.landscapes.quadratic import Quadratic

__all__ = ["Landscape", "Normal", "Quadratic"]
