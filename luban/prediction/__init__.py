"""Predictions for files of records, and what is written of them."""
