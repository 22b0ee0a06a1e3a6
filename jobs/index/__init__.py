"""The derived index of jobs."""
