"""How records that nobody described would be read: a file for each task that asks them."""
