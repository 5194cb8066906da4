"""What tasks share that read the same things."""
