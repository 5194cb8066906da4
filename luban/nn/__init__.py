"""Layers and losses that models and tasks share."""
