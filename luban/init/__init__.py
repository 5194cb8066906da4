"""From a path to a first recipe: formats, layouts, tasks."""
