"""The version of the library, which the state of a fitted encoder carries."""

__version__ = "0.1.0"
