"""The HTTP API: Falcon under gunicorn. Reads and writes files only; never imports torch."""
