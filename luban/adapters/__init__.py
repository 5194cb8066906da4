"""The kind ``adapters``: one file each."""
