"""The kind ``augmentations``: one file each."""
