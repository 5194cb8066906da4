"""What is asked of data before they are trained on."""
