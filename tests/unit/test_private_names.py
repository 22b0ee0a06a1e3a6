"""Names of libraries that they do not promise to keep. pyproject.toml bounds their versions; this says what broke."""

from __future__ import annotations

import tomllib

import pytest

from tests.programs import REPOSITORY

#: By library: the bound in pyproject.toml beyond which its private names must be looked at again.
BOUNDED = {"watchdog": "<8", "diffusers": "<0.43", "gunicorn": "<28"}


@pytest.mark.parametrize(("library", "bound"), BOUNDED.items())
def test_libraries_with_private_names_are_bounded(library: str, bound: str) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = [*project["dependencies"], *project["optional-dependencies"]["runner"]]
    (need,) = [need for need in needs if need.partition(">")[0].partition("[")[0] == library]
    assert need.endswith(bound), f"{need}: runner/watcher.py, engine/ or http_api/server/ uses private names of it"


def test_watchdogs_inotify_descriptor_has_what_the_watcher_uses() -> None:
    from watchdog.observers.inotify_c import InotifyFD

    descriptor = InotifyFD()
    try:
        assert isinstance(descriptor._inotify_fd, int), "runner/watcher.py waits for it"
        assert descriptor._is_reading in (True, False), "runner/watcher.py switches its thread off with it"
    finally:
        descriptor._is_reading = False
        descriptor.close()


def test_diffusers_names_the_blocks_that_are_compiled() -> None:
    from diffusers import FluxTransformer2DModel

    assert FluxTransformer2DModel._repeated_blocks, "engine/local/loading.py compiles nothing without them"


def test_gunicorn_caps_the_request_line_where_the_worker_raises_it() -> None:
    from gunicorn.http import message

    assert isinstance(message.MAX_REQUEST_LINE, int), "http_api/server/worker.py raises it"
