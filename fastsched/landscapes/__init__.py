"""Landscapes: the losses that trajectories descend, one file each."""

from fastsched.landscapes.base import Coupled, Landscape, Normal, Separable, Summed
from fastsched.landscapes.least_squares import LeastSquares
from fastsched.landscapes.quadratic import Quadratic

__all__ = ["Coupled", "Landscape", "LeastSquares", "Normal", "Quadratic", "Separable", "Summed"]
