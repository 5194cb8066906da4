"""Ranks of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np


def midranks(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the rank of each value (N,), from 1; equal values share the mean of their ranks."""
    _, inverse, times = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray[Any, Any] = (np.cumsum(times) - (times - 1) / 2)[inverse]
    return ranks
