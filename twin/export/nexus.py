"""Groups and quantities of NeXus files."""

from __future__ import annotations

import h5py

from models.estimate import Array


def group(parent: h5py.Group, name: str, nexus_class: str) -> h5py.Group:
    """A new group of a class."""
    made = parent.create_group(name)
    made.attrs["NX_class"] = nexus_class
    return made


def quantity(parent: h5py.Group, name: str, value: Array | float, unit: str) -> h5py.Dataset:
    """A new data set with its unit; readers disagree on what a missing one means."""
    dataset = parent.create_dataset(name, data=value)
    dataset.attrs["units"] = unit
    return dataset
