"""The comparison partner: what Falcon costs when it does nothing but the durable write, or nothing at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from uuid import uuid4

import falcon

ANSWER = b'{"id": "0c907066-985e-467b-8d11-07419060ef91", "status": "completed", "progress": {"step": 30}}'


class Constant:
    """Answers the same JSON."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = falcon.MEDIA_JSON
        resp.data = ANSWER


class Submit:
    """Parses a JSON body and stores it: file synced, renamed into place, directory synced."""

    def __init__(self, folder: Path) -> None:
        self._temporary = folder / "tmp"
        self._pending = folder / "pending"
        for path in (self._temporary, self._pending):
            path.mkdir(parents=True, exist_ok=True)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        document = json.loads(req.bounded_stream.read())
        name = str(uuid4())
        draft = self._temporary / name
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        os.write(descriptor, json.dumps({"id": name, **document}).encode())
        os.fsync(descriptor)
        os.close(descriptor)
        os.rename(draft, self._pending / f"{name}.json")
        directory = os.open(self._pending, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        resp.media = {"job_id": name, "status": "pending"}


def get_app() -> falcon.App[falcon.Request, falcon.Response]:
    """For gunicorn."""
    app: falcon.App[falcon.Request, falcon.Response] = falcon.App()
    app.add_route("/constant", Constant())
    app.add_route("/submit", Submit(Path(os.environ["BENCH_FOLDER"])))
    return app
