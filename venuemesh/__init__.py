"""Exchange connectors as a distributed actor system on Ray."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("venuemesh")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
