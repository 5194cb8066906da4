"""Luban: from raw data to a model that is trained, measured, documented and served."""

__version__ = "0.1.0"
