"""The least that an HTTP service can be: a bare Starlette route that returns the bytes of BARE_BODY."""

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def create_app() -> Starlette:
    """The app, on the bytes of a file."""
    body = Path(os.environ["BARE_BODY"]).read_bytes()

    async def answer(_request: Request) -> Response:
        return Response(body, media_type="application/json")

    return Starlette(routes=[Route("/v1/forecasts/{symbol}", answer)])
