"""Draws in this process: devices, weights, the memory plan, loading, pipelines, previews."""
