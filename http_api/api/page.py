"""The web page: the files of `http_api/page/`, served as they are."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import falcon
import msgspec
from falcon import Request, Response

from http_api.server import file_answer

PAGE_FOLDER: Final = Path(__file__).parent.parent / "page"
#: Only what this server sends may run, show or be asked; nobody may frame it.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
#: Not served below `/static/`: it needs its first line.
WORKER: Final = "service-worker.js"
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}", re.ASCII)
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".ico": "image/vnd.microsoft.icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}
#: What a browser shows by itself, and so needs the policy; for what a page only loads, the page's own one counts.
_DOCUMENTS: Final = (_TYPES[".html"], _TYPES[".svg"])
#: How the types end that get smaller by compression; the others are compressed by themselves.
_TEXT: Final = ("charset=utf-8", "+xml", "+json")
#: What a browser keeps to show the page offline.
_OF_THE_SHELL: Final = (".html", ".js", ".css", ".svg", ".webp", ".webmanifest")


class PageResource:
    """`GET /static/<name>`, and with `fixed` given, that file at another address.

    Falcon's static route would serve any method past the table of routes, leave the file open after HEAD and a Range
    that cannot be read, know no If-Range, and take files of one size and time for the same, as in images that are
    built with fixed times.
    """

    def __init__(self, folder: Path = PAGE_FOLDER, fixed: str | None = None) -> None:
        self._folder = folder
        self._fixed = fixed

    def on_get(self, req: Request, resp: Response, name: str = "") -> None:
        """Send a file of the folder; sub-folders and other types are not served."""
        _refuse_folder(req)
        name = self._fixed or name
        content_type = _TYPES.get(Path(name).suffix)
        if content_type is None or name == WORKER or not _NAME.fullmatch(name):
            raise falcon.HTTPNotFound
        try:
            content = (self._folder / name).read_bytes()
        except (FileNotFoundError, IsADirectoryError) as error:
            raise falcon.HTTPNotFound from error
        _send(req, resp, content, content_type)

    on_head = on_get


class ServiceWorkerResource:
    """`GET /service-worker.js`: the script that lets a browser look offline at what it has loaded.

    It lies beside the page, not below `/static/`, since it may serve only what lies below its own address. Its first
    line tells what the page is made of (`shell`), so that the script changes whenever a file of the page does.
    """

    def __init__(self, folder: Path = PAGE_FOLDER) -> None:
        self._folder = folder

    def on_get(self, req: Request, resp: Response) -> None:
        """Send the script."""
        _refuse_folder(req)
        first = b"const SHELL = " + msgspec.json.encode(shell(self._folder)) + b";\n"
        _send(req, resp, first + (self._folder / WORKER).read_bytes(), _TYPES[".js"], is_worker=True)

    on_head = on_get


def shell(folder: Path) -> dict[str, Any]:
    """The page's files by address (that of the page itself is empty) with their hashes, and one hash of all of them."""
    files = {
        "" if path.name == "index.html" else f"static/{path.name}": _hash(path.read_bytes())
        for path in sorted(folder.iterdir())
        if path.suffix in _OF_THE_SHELL and path.is_file() and path.name != WORKER and not path.name.startswith("docs.")
    }
    version = _hash("".join(files.values()).encode() + (folder / WORKER).read_bytes())
    return {"version": version[:16], "files": files}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _send(req: Request, resp: Response, content: bytes, content_type: str, *, is_worker: bool = False) -> None:
    if content_type in _DOCUMENTS or is_worker:
        resp.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        resp.set_header("Referrer-Policy", "no-referrer")
    resp.set_header("Cache-Control", "no-cache")
    etag = _hash(content)
    if content_type.endswith(_TEXT):
        resp.set_header("Vary", "Accept-Encoding")
        if _takes_gzip(req.get_header("Accept-Encoding") or ""):
            resp.set_header("Content-Encoding", "gzip")
            content, etag = _compressed(content), f"{etag}-gzip"
    file_answer.send(req, resp, io.BytesIO(content), size=len(content), etag=etag, content_type=content_type)


@lru_cache(maxsize=256)
def _compressed(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=9, mtime=0)


def _takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding (RFC 9110) names gzip, or everything, and not with a weight of 0."""
    weights = {}
    for part in accepted.lower().split(","):
        coding, _, weight = part.partition(";")
        weights[coding.strip()] = weight.replace(" ", "")
    weight = weights.get("gzip", weights.get("*", "q=0"))
    return not re.fullmatch(r"q=0(\.0*)?", weight, re.ASCII)


def _refuse_folder(req: Request) -> None:
    """Lead /docs/ to /docs: a page's relative addresses count from where it lies."""
    path: str = req.env["PATH_INFO"]
    if len(path) > 1 and path.endswith("/"):
        raise falcon.HTTPPermanentRedirect(f"../{path.rstrip('/').rpartition('/')[2]}")
