"""The kind ``schedules``: one file each."""
