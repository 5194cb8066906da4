"""What everything else rests on: components, the registry, errors, reports, batches, kinds."""
