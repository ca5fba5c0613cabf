"""The package's version; bundles are stamped with it."""

__version__ = "0.1.0"
