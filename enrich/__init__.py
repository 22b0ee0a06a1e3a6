"""Prompt enrichment: six styles as data, a built-in enricher, and a client for OpenAI-compatible servers.

Start at `enricher.py`. Nothing here needs torch, and httpx is imported only when a server is asked.
"""
