"""`cyberimage mcp`: the API as tools and resources of the Model Context Protocol, by the official SDK (package `mcp`).

A client of the REST API like any other: it stores nothing and decides nothing. `serving` has the two transports,
`server` the protocol's requests, `tools` one row for each tool, `schemas` what a tool takes (made from the API's own
description), `following` the wait for a job with its progress, `pictures` how images are shown. The SDK is imported
only when this is used.
"""
