"""What of a request the router reads, and what of it the log keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, Literal

from beast_ml.errors import InputError
from beast_ml.serving.payloads import Message

__all__ = ["PromptKeeping", "PromptPrivacy", "estimated_tokens", "routed_text", "text_of"]

PromptKeeping = Literal["keep", "hash", "withhold"]
"""What the log keeps of a prompt's text."""

_BYTES_PER_TOKEN: Final = 4.0


def routed_text(messages: Sequence[Message]) -> str:
    """Return the text that is routed: what the user said last, or whatever was said where no user spoke.

    Raises
    ------
    InputError
        If there is no text in the messages.
    """
    for message in reversed(messages):
        if message.role == "user" and (text := text_of(message.content)):
            return text
    said = "\n\n".join(filter(None, (text_of(message.content) for message in messages)))
    if not said:
        raise InputError("`messages` hold no text: give at least one with content")
    return said


def text_of(content: str | list[dict[str, Any]] | None) -> str:
    """Return the text of a message's content; its parts that are no text are passed over."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = (part.get("text") for part in content if part.get("type") in ("text", "input_text"))
    return "\n".join(part for part in parts if isinstance(part, str))


def estimated_tokens(n_characters: int) -> int:
    """Return about how many tokens a text is: four characters each, as English has on most tokenisers."""
    return int(n_characters / _BYTES_PER_TOKEN) + 1


class PromptPrivacy:
    """Keeps, hashes or withholds prompt text, tenant by tenant.

    Parameters
    ----------
    default, of_tenants
        What is done; the latter wins.
    secret
        Key of the hashes: without it nobody can try texts against them.
    """

    def __init__(self, default: PromptKeeping, of_tenants: Mapping[str, PromptKeeping], secret: bytes) -> None:
        self._default, self._of_tenants = default, dict(of_tenants)
        self._keyed = blake2b(key=secret[:64], digest_size=16, person=b"prompt")

    def keeps(self, tenant: str) -> bool:
        """Return whether a tenant's texts may be kept as they are."""
        return self._of_tenants.get(tenant, self._default) == "keep"

    def kept(self, tenant: str, prompt: str | None) -> tuple[str | None, str | None]:
        """Return the text to be logged, and the hash to be logged."""
        how = self._of_tenants.get(tenant, self._default) if self._of_tenants else self._default
        if how == "keep" or prompt is None:
            return prompt, None
        if how == "withhold":
            return None, None
        keyed = self._keyed.copy()
        keyed.update(f"{tenant}\0{prompt}".encode())  # equal texts of two tenants must not be seen to be equal
        return None, keyed.hexdigest()
