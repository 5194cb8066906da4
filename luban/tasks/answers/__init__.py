"""What tasks share that give the same answers."""
