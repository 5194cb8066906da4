"""The kind ``tokenizers``: one file each."""
