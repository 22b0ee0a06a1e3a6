"""How gunicorn runs the API, but with little patience for clients that take nothing: a test need not wait for long."""

from http_api.gunicorn_conf import *  # noqa: F403
from http_api.server import worker

worker.SILENCE_SECONDS = 1.0  # type: ignore[misc]  # read at each connection
