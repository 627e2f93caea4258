"""Who may ask the app, and how much at once: what stands before every page, file and function.

The one idea: there is no login, so the browser of someone who uses the app must not be lent to other sites. A site that
makes its own name point here is seen by the name (Host), one that sends to this address from elsewhere by its own
(Origin); both get 403 and a sentence. No other site may show the app in a frame, where clicks can be stolen.
"""

import ipaddress
import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Names of this machine that always are answered to."""
EVERYWHERE = ("0.0.0.0", "::")
"""Addresses that mean: listen on all of this machine's."""
ANY = "*"
READING = ("GET", "HEAD", "OPTIONS")
MOST_BYTES = 64 * 2**20
"""Of one request: pictures of a whole run fit, a memory full of them does not."""
FRAMES = {"x-frame-options": "SAMEORIGIN", "content-security-policy": "frame-ancestors 'self'"}

NOT_FOUND = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>No such page · MINI-LLM Explorer</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>body { font: 1.1rem/1.5 system-ui, sans-serif; margin: 15vh auto; max-width: 34rem; padding: 0 1rem }</style>
</head><body><h1>There is no such page</h1>
<p>The address may be mistyped, or from another version. <a href="/">Go to the Start page</a>; your runs are on
<a href="/runs">Runs</a>.</p></body></html>"""


def on_spaces() -> bool:
    """Whether this is a Hugging Face Space: its proxy decides who may ask, and shows the app in a frame."""
    return bool(os.environ.get("SPACE_ID"))


class Gate:
    """ASGI middleware that refuses requests from other sites, and such as are too large.

    host: the address the app listens on; allowed: further names that it is asked by ("*": any); framed: whether other
    sites may show it in a frame. On Hugging Face Spaces every name is allowed and frames are.
    """

    def __init__(self, app: ASGIApp, host: str = LOCAL[0], allowed: Iterable[str] = (), framed: bool = False) -> None:
        self._app, self._host = app, host
        self._told = {name.lower() for name in allowed} | ({ANY} if on_spaces() else set())
        self._framed = framed or on_spaces()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 or 413, or pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._refused(scope["method"], headers)
        if refused is not None:
            await refused(scope, receive, send)
        else:
            await self._app(scope, _bounded(receive), send if self._framed else _unframed(send))

    def _refused(self, method: str, headers: Headers) -> Response | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._answers_to(host):
            return PlainTextResponse(
                f"This app does not answer to the name “{_name(host)[:80]}”. If that is meant, start it with "
                f"--allow-host {_name(host)[:80]}.\n",
                403,
            )
        if method not in READING and origin is not None and not self._own(origin, host):
            return PlainTextResponse(
                f"This app takes nothing from another site (“{origin[:80]}”). If that is meant, start it with "
                "--allow-host and the name of that site.\n",
                403,
            )
        if int(given if (given := headers.get("content-length", "0")).isdecimal() else 0) > MOST_BYTES:
            return PlainTextResponse(f"A request may have {MOST_BYTES // 2**20} MiB at most.\n", 413)
        return None

    def _answers_to(self, host: str) -> bool:
        name = _name(host)
        if ANY in self._told or name in (*LOCAL, self._host.lower()) or name in self._told:
            return True
        return self._host in EVERYWHERE and _is_address(name)  # a name can be made to point here, an address cannot

    def _own(self, origin: str, host: str) -> bool:
        """Whether a request comes from the app's own pages."""
        parts = urlsplit(origin)
        name = (parts.hostname or "").lower()
        return ANY in self._told or name in self._told or (bool(name) and parts.netloc.lower() == host.lower())


def _name(host: str) -> str:
    """The name in a Host header, without its port: "[::1]:7860" is "::1"."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _bounded(receive: Receive) -> Receive:
    """Count what comes, for a request that does not say beforehand how long it is."""
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        return {"type": "http.disconnect"} if taken > MOST_BYTES else message

    return counted


def _unframed(send: Send) -> Send:
    """Forbid frames of other sites in the head of an answer."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in FRAMES.items():
                headers.setdefault(name, value)
        await send(message)

    return sent


async def not_found(request: Request, fault: Any) -> Response:
    """A page for people where there is none; for programs what they had before."""
    if "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/gradio_api"):
        return HTMLResponse(NOT_FOUND, 404)
    return JSONResponse({"detail": getattr(fault, "detail", "Not Found")}, 404)
