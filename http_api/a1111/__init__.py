"""The door `/sdapi/v1`: the API of AUTOMATIC1111's web UI, for clients that have it built in.

It translates words and nothing else. The form is that of the web UI, 1.10.
"""
