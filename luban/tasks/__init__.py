"""The kind ``tasks``: one file each."""
