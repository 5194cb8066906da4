"""The kind ``trackers``: one file each."""
