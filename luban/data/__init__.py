"""From files to encoded examples on disk."""
