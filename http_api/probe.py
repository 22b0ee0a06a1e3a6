"""`python -m http_api.probe`: asks the API on this machine whether it answers; ends with 0 if it does, else with 1.

For the health checks of containers and the like: a command without arguments, so that nothing needs quotes.
"""

from __future__ import annotations

import http.client
import sys
from typing import Final

from core.errors import SettingsError
from core.settings import Settings

_PATH: Final = "/health/live"
#: Seconds in which a living API answers.
_TIMEOUT: Final = 5.0
#: Where an API is asked that binds every address.
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  a name for it, nothing is bound


def main() -> int:
    """Ask; returns the exit status, and says in a sentence what was found."""
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    host = settings.host.strip("[]")
    fault = _fault(_LOOPBACK.get(host, host), settings.port, settings.allowed_hosts)
    sys.stderr.write(f"{fault or 'The API answers.'}\n")
    return 1 if fault else 0


def _fault(host: str, port: int, allowed_hosts: tuple[str, ...]) -> str | None:
    """What is wrong with the API at an address, as a sentence; None if it answers as it should."""
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    try:
        # An API that answers for certain hosts only is asked as one of them.
        connection.request("GET", _PATH, headers={"Host": allowed_hosts[0]} if allowed_hosts else {})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"The API does not answer at {host} port {port}: {str(error) or type(error).__name__}."
    finally:
        connection.close()
    return None if status == http.client.OK else f"The API answers {_PATH} with status {status}, not 200."


if __name__ == "__main__":
    sys.exit(main())
