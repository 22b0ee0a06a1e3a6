"""How gunicorn runs the API: `gunicorn -c python:http_api.gunicorn_conf 'http_api.app:get_app()'`.

gevent workers, because slow clients and event streams must not starve others. Nothing is loaded
before the fork: no thread, lock or database handle may be shared between processes.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from core.errors import CyberImageError
from core.settings import Settings
from http_api.access import check_exposure
from http_api.server import places
from http_api.server.worker import LONGEST_REQUEST_LINE
from service.services import build_services

#: sysexits.h: the configuration is wrong; a restart would not help.
EX_CONFIG = 78


def _settings() -> Settings:
    try:
        return Settings.from_environment()
    except CyberImageError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EX_CONFIG)


_chosen = _settings()
#: As in `request_metrics`, which would load prometheus_client before the fork.
_METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_metrics_folders: list[str] = []
_shared_memory = Path("/dev/shm")  # noqa: S108

bind = f"[{_chosen.host}]:{_chosen.port}" if ":" in _chosen.host else f"{_chosen.host}:{_chosen.port}"
workers = _chosen.web_workers
worker_class = "http_api.server.worker.Worker"
places.raise_file_limit()
worker_connections = places.connections()
preload_app = False
proc_name = "cyberimage-api"

#: A worker that is busy for so long is broken; requests themselves may last (event streams do).
timeout = 60
graceful_timeout = 30
keepalive = 5
#: A worker is replaced now and then, in case a library leaks.
max_requests = 200_000
max_requests_jitter = 20_000

#: The heartbeat file of the workers must not wait for a busy disk.
worker_tmp_dir = str(_shared_memory) if os.access(_shared_memory, os.W_OK) else None
umask = 0o027

limit_request_line = LONGEST_REQUEST_LINE
limit_request_fields = 64
limit_request_field_size = 8190
#: No header may change the path; X-Forwarded-For is read by the application, and only for trusted proxies.
forwarder_headers = ""
control_socket_disable = True

logger_class = "http_api.server.worker.ServerLog"
loglevel = _chosen.log_level
accesslog = None
logconfig_dict: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "core.log.LineFormatter", "show_prompts": _chosen.log_prompts}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"level": loglevel.upper(), "handlers": ["stderr"]},
    "loggers": {"gunicorn.error": {"propagate": True}, "gunicorn.access": {"propagate": False}},
}


def on_starting(server: Any) -> None:
    """Refuse a wrong configuration before there are any workers: one that cannot start would be tried again.

    A port that is taken may be free later: whoever starts this again need not be kept from it.
    """
    fault = _fault()
    if fault:
        server.log.error("%s", fault)
        sys.exit(EX_CONFIG)
    if _port_is_taken():
        other = _chosen.port + 1 if _chosen.port < 65535 else _chosen.port - 1
        server.log.error(
            "PORT is %s, which is already in use by another program: end that one, or choose another port, as PORT=%s.",
            _chosen.port,
            other,
        )
        sys.exit(1)
    _share_metrics(server)


def _port_is_taken() -> bool:
    """Whether somebody listens where we would. (gunicorn itself tries for five seconds, and says five times why.)

    Not looked at where the socket is handed down: by systemd, or by a gunicorn that this one replaces.
    """
    if "GUNICORN_FD" in os.environ or "LISTEN_FDS" in os.environ:
        return False
    family = socket.AF_INET6 if ":" in _chosen.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_chosen.host, _chosen.port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _share_metrics(server: Any) -> None:
    """Make the folder in which the workers count their requests; without it `/metrics` tells those of one worker."""
    try:
        folder = tempfile.mkdtemp(prefix="cyberimage-metrics-", dir=worker_tmp_dir)
    except OSError as error:
        server.log.warning("Requests are counted by each worker alone: %s", error)
        return
    os.environ[_METRICS_VARIABLE] = folder
    _metrics_folders.append(folder)


def on_exit(server: Any) -> None:
    """Remove what the workers counted."""
    for folder in _metrics_folders:
        shutil.rmtree(folder, ignore_errors=True)


def on_reload(server: Any) -> None:
    """The workers that follow read the catalog and the keys again."""
    fault = _fault()
    if fault:
        server.halt(reason=fault, exit_status=EX_CONFIG)


def _fault() -> str | None:
    """A sentence about what is wrong in the settings and the files that they name; None if nothing is.

    Each worker loads them for itself.
    """
    try:
        check_exposure(_chosen)
        build_services(_chosen).spool.prepare(create_anyway=_chosen.create_data)
    except CyberImageError as error:
        return str(error)
    except OSError as error:
        where = error.filename or _chosen.data
        return f"CYBERIMAGE_DATA is {str(_chosen.data)!r}, which cannot be used: {where}: {error.strerror}."
    return None


def post_fork(server: Any, worker: Any) -> None:
    """Until the worker has handlers of its own, end it at once on request; the parent's would swallow the signal."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
