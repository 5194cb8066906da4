"""The kind ``objectives``: one file each."""
