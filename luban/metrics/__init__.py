"""The kind ``metrics``: one file each."""
