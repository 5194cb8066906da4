"""From a trained module to text: cache, sampling, streaming."""
