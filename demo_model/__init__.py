"""The small text-to-image model that ships with the project, and all that made it."""
