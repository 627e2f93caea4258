"""Who may ask the app, where it listens beyond this machine: what the tests of the running app cannot start."""

import asyncio

import pytest

from pages.shell.gate import Gate


def asked(gate: Gate, host: str, method: str = "GET", **more: str) -> tuple[int, dict[str, str]]:
    """(status, headers) of one request to an app that answers 200."""
    headers = {"host": host, **more}
    scope = {
        "type": "http",
        "method": method,
        "path": "/",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[dict] = []

    async def receive() -> dict:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(gate(scope, receive, send))  # type: ignore[arg-type]
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


async def answer(scope: dict, receive: object, send: object) -> None:
    """An app that answers 200."""
    await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]


def gate(**given: object) -> Gate:
    return Gate(answer, **given)  # type: ignore[arg-type]


def test_the_address_it_listens_on_is_answered_to_and_no_other_name():
    one = gate(host="192.168.1.7")
    for host in ("192.168.1.7:7860", "localhost:7860", "[::1]:7860"):
        assert asked(one, host)[0] == 200
    for host in ("192.168.1.8:7860", "box.example", "192.168.1.7.example", "[::1", "user@", ""):
        assert asked(one, host)[0] == 403


def test_listening_everywhere_it_answers_to_addresses_which_no_site_can_call_its_own():
    for listens in ("0.0.0.0", "::"):
        one = gate(host=listens)
        assert (
            asked(one, "192.168.1.7:7860")[0] == asked(one, "[fe80::1]:7860")[0] == asked(one, "0.0.0.0:7860")[0] == 200
        )
        assert asked(one, "attacker.example:7860")[0] == 403
    assert asked(gate(), "192.168.1.7:7860")[0] == 403


def test_a_name_that_was_allowed_may_ask_and_send():
    one = gate(allowed=["Box.example"])
    assert asked(one, "box.example:1")[0] == 200
    assert asked(one, "127.0.0.1:7860", "POST", origin="https://box.example")[0] == 200
    assert asked(one, "127.0.0.1:7860", "POST", origin="https://other.example")[0] == 403
    assert asked(gate(allowed=["*"]), "any.example", "POST", origin="https://other.example")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_what_sends_must_come_from_the_same_name_and_port(method: str):
    one = gate()
    assert asked(one, "127.0.0.1:7860", method)[0] == 200  # programs name no origin
    assert asked(one, "127.0.0.1:7860", method, origin="http://127.0.0.1:7860")[0] == 200
    for origin in ("http://127.0.0.1:7861", "http://127.0.0.1", "null", "", "http://a.example", "file://"):
        assert asked(one, "127.0.0.1:7860", method, origin=origin)[0] == 403
    assert asked(one, "127.0.0.1:7860", "GET", origin="http://a.example")[0] == 200


def test_a_hugging_face_space_is_asked_by_its_own_name_and_shown_in_a_frame(monkeypatch: pytest.MonkeyPatch):
    status, headers = asked(gate(), "127.0.0.1")
    assert (status, headers["x-frame-options"]) == (200, "SAMEORIGIN")
    monkeypatch.setenv("SPACE_ID", "someone/explorer")
    status, headers = asked(gate(host="0.0.0.0"), "someone-explorer.hf.space", "POST", origin="https://a.hf.space")
    assert status == 200 and "x-frame-options" not in headers and "content-security-policy" not in headers
