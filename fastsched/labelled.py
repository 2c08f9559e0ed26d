"""Variables of measures and members, put into one labelled dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsched.measures.base import Variables

if TYPE_CHECKING:
    import xarray


class Part(NamedTuple):
    """Variables of one place in a dataset, with the coordinates of their dimensions.

    Attributes
    ----------
    place : tuple of int
        The index along each dimension of places.
    variables : dict
        Dimensions and values by name.
    coordinates : mapping
        Labels along each dimension of the variables.
    """

    place: tuple[int, ...]
    variables: Variables
    coordinates: Mapping[str, NDArray[Any]]


def dataset(
    parts: Sequence[Part], dims: Sequence[str] = (), shape: Sequence[int] = ()
) -> xarray.Dataset:
    """Return the variables of all parts over the dimensions of places and their own.

    Where parts have different coordinates, the dataset has them all, and what a part lacks is
    NaN.

    Parameters
    ----------
    parts : sequence of Part
    dims : sequence of str, default ()
        The dimensions of places, which come first.
    shape : sequence of int, default ()
        Their sizes.
    """
    import xarray

    coordinates: dict[str, NDArray[Any]] = {}
    for part in parts:
        for dim, labels in part.coordinates.items():
            known = coordinates.setdefault(dim, labels)
            if known is not labels and not np.array_equal(known, labels):
                coordinates[dim] = np.union1d(known, labels)
    arrays: dict[str, tuple[tuple[str, ...], NDArray[np.float64]]] = {}
    for part in parts:
        for name, (own, values) in part.variables.items():
            if name not in arrays:
                sizes = [len(coordinates[dim]) for dim in own]
                arrays[name] = (*dims, *own), np.full((*shape, *sizes), np.nan)
            place: Any = (*part.place, ...)
            target = arrays[name][1][place]
            if target.shape == np.shape(values):
                target[...] = values
            else:
                found = (np.searchsorted(coordinates[d], part.coordinates[d]) for d in own)
                target[np.ix_(*found)] = values
    return xarray.Dataset(arrays, coordinates)
