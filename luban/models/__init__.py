"""The kind ``models``: one file each."""
