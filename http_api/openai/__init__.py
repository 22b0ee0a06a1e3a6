"""The door `/v1`: OpenAI's Images API, for clients that have it built in. It translates words and nothing else.

Its form is that of the types of OpenAI's Python library, 3.57.
"""
