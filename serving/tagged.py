"""Answers that name their content: who has it already is told so, in a few bytes."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel

_NAMED = {"ETag": {"description": "Names these bytes.", "required": True, "schema": {"type": "string"}}}
TAGGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": _NAMED},
    304: {"headers": _NAMED, "description": "The asker has it, as its If-None-Match says."},
}
"""For OpenAPI, of every route whose answers are tagged."""

_KEEP_BUT_ASK = "no-cache"  # may be kept, but not shown again without asking: a forecast grows old


@dataclass(frozen=True)
class Answer:
    """The bytes of an answer and their name."""

    body: bytes
    etag: str
    """Strong: the same tag means the same bytes."""

    @classmethod
    def of(cls, model: BaseModel) -> "Answer":
        """As JSON."""
        body = model.model_dump_json().encode()
        return cls(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    def is_known(self, if_none_match: str | None) -> bool:
        """Whether the asker has it, by its header If-None-Match."""
        if if_none_match is None:
            return False
        tags = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
        return any(tag in ("*", self.etag) for tag in tags)

    @cached_property
    def response(self) -> Response:
        """The answer with its body; it may be sent any number of times."""
        return Response(self.body, headers=self._named, media_type="application/json")

    @cached_property
    def unchanged(self) -> Response:
        """The answer to who has it."""
        return Response(status_code=304, headers=self._named)

    def to(self, if_none_match: str | None) -> Response:
        """The answer, or 304 where the asker has it."""
        return self.unchanged if self.is_known(if_none_match) else self.response

    @property
    def _named(self) -> dict[str, str]:
        return {"etag": self.etag, "cache-control": _KEEP_BUT_ASK}


def tagged(request: Request, model: BaseModel) -> Response:
    """The answer, or 304 where the asker has it."""
    return Answer.of(model).to(request.headers.get("if-none-match"))
