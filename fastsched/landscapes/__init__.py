"""Landscapes: the losses that trajectories descend, one file each."""

from fastsched.landscapes.base import Coupled, Landscape, Normal, Separable, Summed
from fastsched.landscapes.custom import Custom
from fastsched.landscapes.dataset import Dataset
from fastsched.landscapes.double_well import DoubleWell
from fastsched.landscapes.features import FeatureMap
from fastsched.landscapes.least_squares import LeastSquares
from fastsched.landscapes.minima import Minima
from fastsched.landscapes.quadratic import Quadratic
from fastsched.landscapes.random_features import RandomFeatures
from fastsched.landscapes.random_field import RandomField
from fastsched.landscapes.wells import Wells

__all__ = [
    "Coupled",
    "Custom",
    "Dataset",
    "DoubleWell",
    "FeatureMap",
    "Landscape",
    "LeastSquares",
    "Minima",
    "Normal",
    "Quadratic",
    "RandomFeatures",
    "RandomField",
    "Separable",
    "Summed",
    "Wells",
]
