"""Images and recordings: decoded, brought to size, and turned into features."""
