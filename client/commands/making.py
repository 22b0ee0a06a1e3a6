"""Commands that make pictures: submit jobs, follow them, and save each picture as soon as it is done."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from client import terminal
from client.api_client import CyberImageClient
from client.commands import answering
from client.delivery import Delivery
from client.errors import ClientError, JobFailed
from client.exit_codes import Ended, Exit, sentence_of
from client.output_files import Output, Picture
from client.progress import Follower, following
from client.prompts import prompts_of
from client.remembered import remember_job
from client.requests import basis_of, count_of, request_of
from client.results import JobStatus, Submission
from client.short_ids import ShortIds, short

#: Seconds that a cancelled job is given to end its step, so that what is finished by then is saved, too.
_LAST_STEP = 10


def generate(client: CyberImageClient, args: Namespace) -> None:
    """Draw pictures, and save them unless told to leave the job."""
    prompts = prompts_of(args)
    output = Output(target=args.output, force=args.force)
    if not args.detach:
        output.check(_expected(args, prompts))
    basis = basis_of(client, args)
    requests = [request_of(client, args, basis, prompt) for prompt in prompts]
    if args.enrich is not None:
        for request in requests:
            answering.note(args, f"prompt: {request['prompt']}")
    Making(client, args, output).run(requests)


def submit(client: CyberImageClient, args: Namespace) -> None:
    """Send a file's content as a job."""
    content = sys.stdin.buffer.read() if args.file == "-" else Path(args.file).read_bytes()
    output = Output(target=args.output, force=args.force)
    args.detach = not args.wait
    if args.wait:
        output.check([Picture(n=1, count=1)])
    Making(client, args, output).run([content])


def retry(client: CyberImageClient, args: Namespace) -> None:
    """Submit old jobs again."""
    ids = ShortIds(client)

    def again(text: str) -> Submission:
        accepted = client.retry(ids.job(text))
        remember_job(client.url, accepted.job_id)
        for warning in accepted.warnings:
            answering.note(args, f"note: {warning}")
        return accepted

    answering.each(args, args.ids, again, lambda accepted: terminal.line(accepted.job_id))


def wait(client: CyberImageClient, args: Namespace) -> None:
    """Follow jobs that somebody submitted; an interruption leaves them alone."""
    output = Output(target=args.output, force=args.force)
    output.check([Picture(n=1, count=1)])
    ids = ShortIds(client)
    jobs = [client.status(ids.job(text)) for text in dict.fromkeys(args.ids)]
    making = Making(client, args, output, is_owner=False)
    making.follow([(job.id, max(len(job.images), job.progress.total_images)) for job in jobs])


def enrich(client: CyberImageClient, args: Namespace) -> None:
    """Print a fuller prompt."""
    args.prompts = None
    (prompt,) = prompts_of(args)
    answer = client.enrich(prompt, args.style)
    for warning in answer.warnings:
        answering.note(args, f"note: {warning}")
    answering.show(args, answer, lambda: terminal.line(answer.enriched_prompt))


def _expected(args: Namespace, prompts: Sequence[str]) -> list[Picture]:
    """What is known of the pictures before the server has seen the request."""
    each = count_of(args)
    count = each * len(prompts)
    return [
        Picture(
            n=place * each + number + 1,
            count=count,
            prompt=None if args.enrich is not None or not prompt else prompt,
            seed=None if args.seed is None or args.seed < 0 else args.seed + number,
        )
        for place, prompt in enumerate(prompts)
        for number in range(each)
    ]


class Making:
    """Jobs from their submission to the last picture. Who only watches does not cancel them when interrupted."""

    def __init__(self, client: CyberImageClient, args: Namespace, output: Output, *, is_owner: bool = True) -> None:
        self._client = client
        self._args = args
        self._output = output
        self._is_owner = is_owner
        self._ended: dict[str, JobStatus] = {}
        self._failures: list[Exception] = []

    def run(self, requests: Sequence[dict[str, Any] | bytes]) -> None:
        """Submit all, then follow them in turn. Where one is refused, those before it are made all the same."""
        accepted: list[Submission] = []
        try:
            for request in requests:
                accepted.append(self._submit(request))
        except ClientError as error:
            if not accepted:
                raise
            code, message = sentence_of(error)
            place = f"{len(accepted)} of {len(requests)} prompts were sent, and not the others"
            self._failures.append(Ended(code, f"{place}: {message}"))
        except KeyboardInterrupt:
            self._cancel([(job.job_id, job.num_images) for job in accepted])
            raise
        if self._args.detach:
            self._leave(accepted)
        else:
            self.follow([(job.job_id, job.num_images) for job in accepted])

    def follow(self, jobs: Sequence[tuple[str, int]]) -> None:
        """Wait for jobs, given with the number of their pictures, and save these."""
        args = self._args
        previews = getattr(args, "preview", True)
        delivery = Delivery(self._client, self._output, sum(count for _, count in jobs), quiet=args.json)
        interrupted = False
        try:
            with following(self._client.preview, quiet=args.json, previews=previews) as follower:
                delivery.show = follower.show
                self._follow_all(jobs, delivery, follower)
        except KeyboardInterrupt:
            interrupted = True
            with suppress(KeyboardInterrupt):  # pressed again: enough
                self._save_rest(jobs, delivery)
        delivery.names()
        if interrupted:
            self._say_interrupted(jobs, delivery)
        self._say_failures(delivery)
        delivery.finish()
        ended = [{"job": self._ended[job_id]} for job_id, _ in jobs]
        answer = (
            {**ended[0], "files": delivery.files} if len(ended) == 1 else {"results": ended, "files": delivery.files}
        )
        answering.show(args, answer, lambda: None)

    def _submit(self, request: dict[str, Any] | bytes) -> Submission:
        accepted = self._client.submit(request)
        remember_job(self._client.url, accepted.job_id)
        for warning in accepted.warnings:
            answering.note(self._args, f"note: {warning}")
        return accepted

    def _leave(self, accepted: Sequence[Submission]) -> None:
        answer = accepted[0] if len(accepted) == 1 else {"results": accepted}
        answering.show(self._args, answer, lambda: terminal.lines([job.job_id for job in accepted]))
        if self._failures:
            raise self._failures[0]

    def _follow_all(self, jobs: Sequence[tuple[str, int]], delivery: Delivery, follower: Follower) -> None:
        before = 0
        for place, (job_id, count) in enumerate(jobs, start=1):
            follower.title = f"job {place} of {len(jobs)}: " if len(jobs) > 1 else ""

            def tell(job: JobStatus, before: int = before) -> None:
                follower.tell(job)
                delivery.take(job, before)

            try:
                self._ended[job_id] = self._client.wait(job_id, on_progress=tell)
            except JobFailed as error:
                self._ended[job_id] = error.job
                self._failures.append(error)
            except ClientError as error:
                code, message = sentence_of(error)
                left = f"The server may go on with the job: cyberimage wait {short(job_id)}"
                self._failures.append(Ended(code, f"{message} {left}"))
                return
            before += count

    def _save_rest(self, jobs: Sequence[tuple[str, int]], delivery: Delivery) -> None:
        """After an interruption: cancel what has not ended, and save what was finished."""
        if self._is_owner:
            self._cancel(jobs)
        before = 0
        for job_id, count in jobs:
            if job_id not in self._ended:
                with suppress(ClientError):  # the server is away: the sentence below says what is saved
                    delivery.take(self._client.status(job_id, wait=_LAST_STEP if self._is_owner else None), before)
            before += count

    def _cancel(self, jobs: Sequence[tuple[str, int]]) -> None:
        for job_id, _ in reversed(jobs):  # the last first: none of them begins meanwhile
            if job_id in self._ended:
                continue
            try:
                self._client.cancel(job_id)
            except ClientError as error:
                terminal.note(f"The job {job_id} was not cancelled: {error}")
            else:
                answering.note(self._args, f"Interrupted; the job {job_id} is cancelled.")

    def _say_interrupted(self, jobs: Sequence[tuple[str, int]], delivery: Delivery) -> None:
        count = sum(count for _, count in jobs)
        if self._is_owner:
            saved = f"Interrupted: {len(delivery.files)} of {count} pictures are saved"
        else:
            left = ", ".join(short(job_id) for job_id, _ in jobs if job_id not in self._ended)
            saved = f"Interrupted: {len(delivery.files)} pictures are saved; {left} goes on at the server"
        raise Ended(Exit.INTERRUPTED, f"{saved}.", files=delivery.files)

    def _say_failures(self, delivery: Delivery) -> None:
        if not self._failures:
            return
        error, *others = self._failures
        for other in others:
            answering.note(self._args, f"cyberimage: {sentence_of(other)[1]}")
        code, message = sentence_of(error)
        raise Ended(code, message, files=delivery.files) from error
