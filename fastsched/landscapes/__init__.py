"""Landscapes: the losses that trajectories descend, one file each."""

from fastsched.landscapes.base import Coupled, Landscape, Normal, Separable
from fastsched.landscapes.quadratic import Quadratic

__all__ = ["Coupled", "Landscape", "Normal", "Quadratic", "Separable"]
