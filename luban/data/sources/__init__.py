"""The kind ``sources``: one file each."""
