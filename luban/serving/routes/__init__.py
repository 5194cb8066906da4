"""One file per capability; a route is mounted when it fits the model."""
