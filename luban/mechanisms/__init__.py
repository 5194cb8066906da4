"""The kind ``mechanisms``: one file each."""
