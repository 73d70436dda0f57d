"""Bodies of requests, read to the letter: declared as JSON, in UTF-8, every key once, nothing unknown, nothing coerced.

FastAPI by itself keeps the last of equal keys and reads NaN, and its strict models take no date from JSON.
"""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, get_type_hints

import jiter
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ConfigDict, ValidationError

from forecaster.contract import Frozen


class Body(Frozen):
    """What is asked in a body."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)


Asked = TypeVar("Asked", bound=Body)


class BodyRoute(APIRoute):
    """A route whose endpoint takes the request and `asked`, a body; FastAPI documents that and does not read it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint, with its body read."""
        model: type[Body] = get_type_hints(self.endpoint)["asked"]

        async def handle(request: Request) -> Response:
            body = await request.body()
            answer: Response = await self.endpoint(request, read(model, request.headers.get("content-type"), body))
            return answer

        return handle


def read(model: type[Asked], declared: str | None, body: bytes) -> Asked:
    """What a body asks.

    Arguments:
        declared: Its content type.

    Raises:
        RequestValidationError: It is something else.
    """
    if (declared or "").partition(";")[0].strip().lower() != "application/json":
        raise RequestValidationError([], body=body)
    try:
        return model.model_validate(jiter.from_json(body, catch_duplicate_keys=True))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from None
    except ValueError as error:
        twice = str(error).startswith("Detected duplicate key")
        raise refused("a key is given twice" if twice else "it is no JSON, not in UTF-8, or too deep") from None


def refused(words: str, *place: str) -> RequestValidationError:
    """What is wrong with a body, at a place in it."""
    return RequestValidationError([{"loc": ("body", *place), "msg": words, "type": "refused"}])
