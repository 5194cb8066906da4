"""How far made things are from real ones, as two clouds of features.

Shapes: N things, D features.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from pydantic import Field, PrivateAttr

from luban.core.contracts import Metric, Statistics

Array: TypeAlias = "np.ndarray[Any, Any]"


class FrechetDistance(Metric):
    """Of two normal distributions: |m - n|^2 + tr(A + B - 2 (A B)^1/2) (Dowson and Landau 1982).

    m and A are mean and covariance of the features of what is measured, n and B those of real
    things. In the features of an Inception network this is FID (Heusel et al. 2017, 1706.08500);
    in those of any other classifier the figure can be compared only with others in the same
    features. It grows as things get fewer: compare sets of one size.
    """

    of: str = Field(default="", description="Whose features these are, for the name in reports.")
    higher_is_better: ClassVar[bool] = False
    biased: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    _mean: Array | None = PrivateAttr(default=None)
    _root: Array | None = PrivateAttr(default=None)

    @property
    def label(self) -> str:
        """The name in reports: it says whose features these are."""
        return f"frechet-distance (features of {self.of})" if self.of else "frechet-distance"

    def against(self, features: Array) -> Self:
        """Return this metric with the features of real things, (N, D), to compare with."""
        metric = self.model_copy()
        metric._mean, covariance = moments(features)
        metric._root = root(covariance)
        return metric

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return the features, D numbers."""
        return tuple(float(value) for value in prediction["features"])

    def compute(self, statistics: Array) -> float:
        """Return the distance from the real things; from a standard normal if there are none."""
        mean, size = statistics.mean(0), statistics.shape[1]
        other = np.zeros(size) if self._mean is None else self._mean
        base = np.eye(size) if self._root is None else self._root
        # The roots of the eigenvalues of A B are the singular values of X R, with A = X'X and
        # R the root of B: the smaller of its two products with itself has them.
        values = (statistics - mean) / np.sqrt(max(1, len(statistics) - 1))
        both = values @ base
        square = both @ both.T if len(statistics) < size else both.T @ both
        shared = np.linalg.eigvalsh(square).clip(min=0)
        spread = np.sum(values**2) + np.sum(base**2) - 2 * np.sqrt(shared).sum()
        return float(max(0.0, np.sum((mean - other) ** 2) + spread))

    def note(self, statistics: Array) -> str:
        """Return that few things look farther away than they are."""
        return f"biased upwards, the more the fewer: compare with others of {len(statistics):,}"


def moments(features: Array) -> tuple[Array, Array]:
    """Return mean (D,) and covariance (D, D) of features (N, D); of one, the covariance is 0.

    Over N - 1, as pytorch-fid, clean-fid and the program of Heusel et al. have it.
    """
    values = np.asarray(features, np.float64)
    mean = values.mean(0)
    return mean, (values - mean).T @ (values - mean) / max(1, len(values) - 1)


def root(covariance: Array) -> Array:
    """Return the symmetric square root of a covariance, (D, D)."""
    values, vectors = np.linalg.eigh(covariance)
    found: Array = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return found
