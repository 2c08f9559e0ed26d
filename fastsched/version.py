"""The version of the installed package."""

import importlib.metadata

try:
    VERSION = importlib.metadata.version("fastsched")
except importlib.metadata.PackageNotFoundError:
    VERSION = "source"
