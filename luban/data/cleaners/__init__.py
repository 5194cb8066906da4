"""The kind ``cleaners``: one file each."""
