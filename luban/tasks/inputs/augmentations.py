"""Which random changes of training examples a task can take."""

from __future__ import annotations

from collections.abc import Sequence

from luban.core.contracts import Augmentation


def check_augmentations(
    augmentations: Sequence[Augmentation], changes: Sequence[str], of: str, *, mixes: bool
) -> None:
    """Refuse what changes something else, and mixes where a label has no shares.

    Args:
        augmentations: Those of a recipe.
        changes: Fields of an example that may be changed.
        of: What these are, in a word.
        mixes: Whether the loss knows labels by shares.

    Raises:
        ValueError: for the first that does not fit.
    """
    for one in augmentations:
        if one.changes not in changes:
            raise ValueError(f"{one.name} does not change {of}")
        if one.mixes and not mixes:
            raise ValueError(
                f"{one.name} mixes examples, which only helps to tell labels: remove it"
            )
