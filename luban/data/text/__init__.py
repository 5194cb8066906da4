"""Texts as words, tokens, tags and conversations."""
