"""The errors of the use cases. Each class says in one sentence what went wrong."""

from __future__ import annotations

import math

from core.errors import CyberImageError


class RateLimited(CyberImageError):
    """The client has used up its share of `what` is limited; `wait` is in full seconds."""

    def __init__(self, amount: int, what: str, period: str, wait: float) -> None:
        self.wait = math.ceil(wait)
        super().__init__(f"The limit of {amount} {what} per {period} is reached; try again in {self.wait} seconds.")


class KeyReused(CyberImageError):
    """An Idempotency-Key was used for another request."""

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for another request; use a new key for a new job.")


class StateConflict(CyberImageError):
    """The job's state does not allow what was asked for; the message is a sentence."""


class ClientGone(CyberImageError):
    """The client hung up before it was answered; nobody will read this."""

    def __init__(self) -> None:
        super().__init__("The client has hung up.")


class Restarting(CyberImageError):
    """This process is about to end, before the job that somebody waits for has ended."""

    def __init__(self) -> None:
        super().__init__("The server is restarting; the job goes on. Send the request again.")
