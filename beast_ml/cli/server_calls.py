"""A running `beast serve`, as commands ask it for something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from beast_ml.errors import InputError, MissingExtraError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

__all__ = [
    "NEEDS_ADMIN_KEY",
    "AdminKeyOption",
    "UrlOption",
    "call_server",
    "own_admin_key",
    "server_client",
    "server_text",
]

UrlOption = Annotated[
    str | None, typer.Option("--url", help="Address of the server; default: serving.host and serving.port.")
]
"""The option `--url`."""

AdminKeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="BEAST_ADMIN_KEY",
        help="The admin key; default: admin_key, else admin.key in serving.state.",
    ),
]
"""The option `--key`."""

NEEDS_ADMIN_KEY: Final = "the admin key, which is BEAST_ADMIN_KEY or stands in `admin.key` in the server's state folder"
"""What a call needs that is refused without it."""

_PATIENCE_S: Final = 30.0
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  a server there is reached here


def server_client(url: str | None, key: str | None, timeout_s: float = _PATIENCE_S) -> httpx2.Client:
    """Return a client of a server; close it.

    Parameters
    ----------
    url
        Where it is; None: where `beast serve` listens under these settings.
    key
        Sent with every call; None: none.
    timeout_s
        How long to wait for an answer.

    Raises
    ------
    InputError
        If the address is malformed.
    MissingExtraError
        If the HTTP client is not installed.
    """
    try:
        import httpx2
    except ImportError as error:
        raise MissingExtraError("calling a server", "serve") from error
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    at = url or _own_url()
    try:
        client = httpx2.Client(base_url=at, headers=headers, timeout=timeout_s)
    except (httpx2.InvalidURL, UnicodeEncodeError) as error:
        raise InputError(f"`--url` == {at!r} or the key cannot be sent ({error}): look at them") from None
    if client.base_url.scheme not in ("http", "https") or not client.base_url.host:
        raise InputError(f"`--url` == {at!r}, must be like http://127.0.0.1:8080")
    return client


def call_server(
    method: str, path: str, body: Mapping[str, Any] | None = None, *, url: str | None, key: str | None, needs: str
) -> Any:
    """Return what a server answers, decoded.

    Parameters
    ----------
    method, path, body
        What to ask.
    url, key
        As in `server_client`.
    needs
        Which key it wants, and where it is got, for the message when it is refused.

    Raises
    ------
    InputError
        If the server refuses the key or the call; with what it says.
    UnavailableError
        If it does not answer, or cannot serve now.
    """
    return _answered(method, path, body, url, key, needs).json()


def server_text(path: str, *, url: str | None, key: str | None, needs: str) -> str:
    """Return what a server answers in plain text, such as its metrics; arguments and errors as of `call_server`."""
    return _answered("GET", path, None, url, key, needs).text


def own_admin_key(state: Path | None = None) -> str | None:
    """Return the admin key of a server with these settings; None where it has not made one yet.

    Parameters
    ----------
    state
        Its state folder; None: that of the settings.
    """
    from beast_ml.settings import load_settings

    settings = load_settings()
    if settings.admin_key is not None:
        return settings.admin_key.get_secret_value()
    kept = (state or settings.serving.state) / "admin.key"
    return kept.read_text("utf-8").strip() if kept.exists() else None


def _answered(
    method: str, path: str, body: Mapping[str, Any] | None, url: str | None, key: str | None, needs: str
) -> httpx2.Response:
    import httpx2

    with server_client(url, key) as client:
        at = str(client.base_url).rstrip("/")
        try:
            answer = client.request(method, path, json=body)
        except httpx2.HTTPError as error:
            raise UnavailableError(
                f"the server at {at} does not answer ({error}): start it with `beast serve`, or give its address "
                "with --url"
            ) from error
    if answer.is_success:
        return answer
    said = _said(answer)
    if answer.status_code in (401, 403):
        raise InputError(f"the server at {at} refuses the key: it must be {needs} ({said})")
    if answer.status_code in (400, 404, 405, 413, 422):
        raise InputError(f"the server at {at} refuses: {said}")
    raise UnavailableError(f"the server at {at} answered {answer.status_code}: {said}")


def _said(answer: httpx2.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.reason_phrase}; is it `beast serve`?"


def _own_url() -> str:
    from beast_ml.settings import load_settings

    serving = load_settings().serving
    host = _EVERYWHERE.get(serving.host, serving.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{serving.port}"
