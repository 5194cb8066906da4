"""The HTTP server; routes plug in, one file each."""
