"""Conversations as text and as tokens, in the way Hugging Face's chat templates describe."""
