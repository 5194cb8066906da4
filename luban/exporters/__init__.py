"""The kind ``exporters``: one file each."""
