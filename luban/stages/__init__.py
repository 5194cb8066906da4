"""The kind ``stages``: the verbs of a model's life, one file each."""
