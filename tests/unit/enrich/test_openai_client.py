"""The OpenAI-compatible client against a real server on this machine, good and bad."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from core.errors import SettingsError
from enrich.enricher import (
    STYLES,
    BlankPrompt,
    BuiltInEnricher,
    Enrichment,
    OpenAIEnricher,
    UnknownStyle,
    enricher_from,
)
from enrich.openai_client import chat_completions_url

KEY = "sk-test-0123456789-secret"
GOOD = "a castle on a hill, banners, dawn mist"
Reply = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Plays OpenAI: answers as `reply` says and remembers what it was asked."""

    def __init__(self) -> None:
        self.reply: Reply = completion(GOOD)
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, dict(self.headers), json.loads(body)))
                outer.reply(self)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def never(self, handler: BaseHTTPRequestHandler) -> None:
        """Keep the caller waiting until the test is over."""
        self.released.wait()
        handler.close_connection = True

    def drip(self, handler: BaseHTTPRequestHandler) -> None:
        """Send a byte now and then, each in time, for as long as the caller listens."""
        handler.send_response(200)
        handler.end_headers()
        try:
            while not self.released.wait(0.02):
                handler.wfile.write(b" ")
        except OSError:
            handler.close_connection = True


def raw(body: bytes, status: int = 200, **headers: str) -> Reply:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        try:
            handler.wfile.write(body)
        except OSError:  # the client stopped reading, which is what a test of a huge answer wants
            handler.close_connection = True

    return reply


def completion(content: object) -> Reply:
    message = {"role": "assistant", "content": content}
    return raw(json.dumps({"object": "chat.completion", "choices": [{"index": 0, "message": message}]}).encode())


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def ask(url: str, prompt: str = "a castle on a hill", style: str = "fantasy", **changes: Any) -> Enrichment:
    settings = {"openai_endpoint": url, "openai_model": "llama3", "openai_api_key": KEY, "openai_timeout": 20.0}
    return enricher_from(**{**settings, **changes}).enrich(prompt, style)


def test_a_good_answer_is_used(server: Server) -> None:
    server.reply = completion(f'Sure! Here is the prompt:\n\n"{GOOD}"')
    result = ask(server.url)
    assert result == Enrichment(
        original_prompt="a castle on a hill", enriched_prompt=GOOD, style="fantasy", source="openai", warning=None
    )


def test_the_request_is_a_chat_completion(server: Server) -> None:
    ask(server.url, prompt="ein Schloß", style="anime")
    path, headers, body = server.requests[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body["model"] == "llama3"
    assert body["stream"] is False
    assert body["messages"][1] == {"role": "user", "content": "ein Schloß"}
    assert "cel shading" in body["messages"][0]["content"]
    assert "500" in body["messages"][0]["content"]
    assert KEY not in json.dumps(body)


def test_every_style_has_instructions_of_its_own(server: Server) -> None:
    for style in STYLES:
        ask(server.url, style=style)
    assert len({body["messages"][0]["content"] for _, _, body in server.requests}) == len(STYLES)


@pytest.mark.parametrize("key", [None, "", "  "])
def test_a_local_server_needs_no_key(server: Server, key: str | None) -> None:
    assert ask(server.url, openai_api_key=key).source == "openai"
    assert "Authorization" not in server.requests[0][1]


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_the_endpoint_may_end_in_any_way(server: Server, ending: str) -> None:
    assert ask(server.url + ending).source == "openai"
    assert server.requests[0][0] == "/v1/chat/completions"


def test_a_long_answer_is_cut_and_a_runaway_one_is_not_used(server: Server) -> None:
    server.reply = completion(", ".join(f"phrase {number}" for number in range(100)))
    result = ask(server.url)
    assert result.source == "openai"
    assert len(result.enriched_prompt) <= 500
    assert result.enriched_prompt.rsplit(", ", 1)[1].startswith("phrase ")
    server.reply = completion("phrase, " * 5000)
    assert "ran on" in fallback_warning(ask(server.url))


def fallback_warning(result: Enrichment) -> str:
    """Check that the built-in enricher answered honestly; return its warning."""
    built_in = BuiltInEnricher().enrich(result.original_prompt, result.style)
    assert result.source == "built-in"
    assert result.enriched_prompt == built_in.enriched_prompt
    assert result.warning is not None
    assert "the built-in enricher was used" in result.warning
    return result.warning


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (raw(b'{"error": "boom"}', 500), "answered 500"),
        (raw(b"<html>bad gateway</html>", 502), "answered 502"),
        (raw(json.dumps({"error": f"Incorrect key: {KEY}"}).encode(), 401), "refused the key"),
        (raw(b"", 403), "refused the key"),
        (raw(b'{"error": "model not found"}', 404), "does not know this address or model"),
        (raw(b"", 429), "too many requests"),
        (raw(b"", 302, Location="http://127.0.0.1:9/"), "answered 302"),
        (raw(b""), "did not answer with JSON"),
        (raw(b'{"choices": [{"mess'), "did not answer with JSON"),
        (raw(b"\xff\xfe\xfd"), "did not answer with JSON"),
        (raw(b"[" * 100_000), "did not answer with JSON"),
        (raw(b"[]"), "no chat completion"),
        (raw(b"null"), "no chat completion"),
        (raw(b'{"choices": []}'), "no chat completion"),
        (raw(b'{"choices": [{"message": {}}]}'), "no chat completion"),
        (completion(["a", "list"]), "no chat completion"),
        (completion(None), "empty answer"),
        (completion(""), "empty answer"),
        (completion('""'), "empty answer"),
        (completion("I'm sorry, I can't do that."), "declined"),
        (raw(b" " * 2_000_000), "more than 256 KiB"),
        (raw(b"\x1f\x8b\x08broken", 200, **{"Content-Encoding": "gzip"}), "did not answer with JSON"),
    ],
)
def test_a_bad_answer_falls_back_and_says_why(
    server: Server, reply: Reply, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.reply = reply
    warning = fallback_warning(ask(server.url))
    assert reason in warning
    assert reason in caplog.text
    assert KEY not in caplog.text + warning


def test_a_silent_server_is_given_up(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.reply = server.never
    assert "did not answer within 0.2 seconds" in fallback_warning(ask(server.url, openai_timeout=0.2))
    assert KEY not in caplog.text


def test_a_dripping_server_is_given_up(server: Server) -> None:
    server.reply = server.drip
    assert "within 0.3 seconds" in fallback_warning(ask(server.url, openai_timeout=0.3))


def test_a_server_that_hangs_up_is_told(server: Server) -> None:
    def hang_up(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    server.reply = hang_up
    assert "broke off" in fallback_warning(ask(server.url))


def test_no_server_at_all() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        warning = fallback_warning(ask(f"http://127.0.0.1:{taken.getsockname()[1]}"))
    assert "could not be reached" in warning


def test_both_warnings_are_told(server: Server) -> None:
    server.reply = raw(b"", 500)
    warning = fallback_warning(ask(server.url, prompt="x" * 500))
    assert "answered 500" in warning
    assert "no phrase could be added" in warning


def test_a_good_server_leaves_no_key_in_logs_or_reprs(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    enricher = enricher_from(openai_endpoint=server.url, openai_api_key=KEY, openai_model="m")
    result = enricher.enrich("a castle", "anime")
    assert caplog.text
    assert KEY not in caplog.text + repr(enricher) + str(enricher) + repr(result)


def test_bad_requests_never_reach_the_server(server: Server) -> None:
    with pytest.raises(UnknownStyle):
        ask(server.url, style="steampunk")
    with pytest.raises(BlankPrompt):
        ask(server.url, prompt=" ")
    assert server.requests == []


@pytest.mark.parametrize("endpoint", [None, "", "  "])
def test_without_an_endpoint_nothing_leaves_the_machine(endpoint: str | None) -> None:
    enricher = enricher_from(openai_endpoint=endpoint, openai_api_key=KEY, openai_model="gpt")
    assert isinstance(enricher, BuiltInEnricher)


def test_the_factory_passes_the_settings_on() -> None:
    enricher = enricher_from(
        openai_endpoint="http://localhost:11434", openai_model="llama3", openai_timeout=3.0, max_characters=200
    )
    assert isinstance(enricher, OpenAIEnricher)
    assert (enricher.timeout, enricher.max_characters) == (3.0, 200)
    assert len(enricher.fallback.enrich("a castle", "fantasy").enriched_prompt) <= 200


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"openai_model": ""}, "OPENAI_MODEL"),
        ({"openai_model": None}, "OPENAI_MODEL"),
        ({"openai_endpoint": "localhost:11434"}, "OPENAI_ENDPOINT"),
        ({"openai_endpoint": "ftp://host"}, "OPENAI_ENDPOINT"),
        ({"openai_endpoint": "http://"}, "OPENAI_ENDPOINT"),
        ({"openai_endpoint": "http://host:99999"}, "OPENAI_ENDPOINT"),
        ({"openai_endpoint": f"http://user:{KEY}@host/v1"}, "OPENAI_API_KEY"),
        ({"openai_endpoint": f"http://host/v1?key={KEY}"}, "OPENAI_API_KEY"),
        ({"openai_api_key": f"{KEY}\r\nX-Evil: 1"}, "OPENAI_API_KEY"),
        ({"openai_api_key": f"{KEY} {KEY}"}, "OPENAI_API_KEY"),
        ({"openai_api_key": KEY + "ö"}, "OPENAI_API_KEY"),
    ],
)
def test_bad_settings_are_named_without_the_key(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        ask("http://127.0.0.1:1", **changes)
    assert names in str(refusal.value)
    assert KEY not in str(refusal.value)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
        ("http://localhost:11434", "http://localhost:11434/v1/chat/completions"),
        ("https://openrouter.ai/api/v1/", "https://openrouter.ai/api/v1/chat/completions"),
        ("https://host/v1beta/openai/", "https://host/v1beta/openai/chat/completions"),
        ("http://[::1]:8000/", "http://[::1]:8000/v1/chat/completions"),
        (" http://host/proxy ", "http://host/proxy/v1/chat/completions"),
    ],
)
def test_the_address(endpoint: str, url: str) -> None:
    assert chat_completions_url(endpoint) == url
