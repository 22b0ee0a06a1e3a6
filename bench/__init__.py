"""Measurements of goals 1 to 12, with their comparison partners in the same run: `python -m bench`."""
