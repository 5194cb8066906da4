"""What a model sees of stored examples: windows, packs, masks, augmentations."""
