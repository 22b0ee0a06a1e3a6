"""Dropped files: what lies in `incoming/`, and how it becomes a job or is refused."""
