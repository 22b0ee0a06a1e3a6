"""`POST /api/generate`: a request becomes a job."""

from __future__ import annotations

from falcon import Request, Response

from http_api.api.answers import AcceptedAnswer
from http_api.api.job_view import api_status
from http_api.server import blocking
from http_api.server.client_address import sender
from http_api.server.request_body import read_json
from jobs.requests import RequestValidator
from jobs.schema import GenerateRequest, Job, State
from service.submit import Client, Submitter


class GenerateResource:
    """Accepts jobs."""

    def __init__(self, validator: RequestValidator, submitter: Submitter) -> None:
        self._validator = validator
        self._submitter = submitter

    def on_post(self, req: Request, resp: Response) -> None:
        """Store the job and answer its id."""
        request = self._validator.generate(read_json(req))
        answer_accepted(req, resp, *accept(req, self._submitter, request))


def accept(req: Request, submitter: Submitter, request: GenerateRequest) -> tuple[State, Job]:
    """Submit a request off the event loop: one with a picture that may have to be decoded where that is done."""
    client = client_of(req)
    pool = blocking.WRITES if request.image is None else blocking.PICTURES
    return blocking.run(lambda: submitter.submit(request, client), pool)


def client_of(req: Request) -> Client:
    """Who submits."""
    client = sender(req)
    return Client(
        address=client.key,
        idempotency_key=req.get_header("Idempotency-Key"),
        key_name=req.context.get("key"),
        is_own_machine=client.is_own_machine,
    )


def answer_accepted(req: Request, resp: Response, state: State, job: Job) -> None:
    """The answer to an accepted job."""
    req.context.job_id = job.id
    resp.set_header("Location", f"{req.context.prefix}/api/status/{job.id}")
    resp.media = _answer(job, state)


def _answer(job: Job, state: State) -> AcceptedAnswer:
    number = job.effective_settings.num_images
    return AcceptedAnswer(
        job_id=job.id,
        status=api_status(state),
        num_images=number,
        message=f"Image generation job submitted successfully for {number} image(s)",
        seed=job.effective_settings.seed,
        warnings=job.warnings,
    )
