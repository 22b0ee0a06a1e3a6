"""Real clients of other APIs, each drawing a whole picture here by a base URL alone."""
