"""The HTTP API. Start at `app.py`: the route table. Knows files only, never the runner or torch."""
