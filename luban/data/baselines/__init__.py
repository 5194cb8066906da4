"""Simple models that a trained one is compared with."""
