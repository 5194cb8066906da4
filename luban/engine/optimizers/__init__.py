"""The kind ``optimizers``: one file each."""
