"""The page at `/`, the list of operations at `/docs`, and their files: from memory, and nothing from elsewhere.

The charting library is the one inside the package `plotly`, whose Python is never imported.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from fastapi import APIRouter, HTTPException, Request, Response

_FOLDER = Path(__file__).parent.parent / "page"
_MEDIA = MappingProxyType(
    {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }
)
_CHARTS = "plotly.min.js"
_A_WEEK = "public, max-age=604800"
_ASK_AGAIN = "no-cache"  # kept, and asked for with its ETag each time

# Two styles that plotly puts into the page when it starts: an empty one, which it fills rule by rule, and that of the
# maps in it, which we do not draw. Another version has another second one: the browser then drops it and says so.
_PLOTLYS_STYLES = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='"
)
_SAFE = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        f"style-src 'self' {_PLOTLYS_STYLES}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
)

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Asset:
    """A file of the page; read and compressed when it is first asked for, then kept."""

    path: Path
    caching: str
    """Its Cache-Control."""

    @cached_property
    def packed(self) -> bytes:
        """Its content, compressed."""
        return gzip.compress(self.path.read_bytes(), mtime=0)

    @cached_property
    def etag(self) -> str:
        """Of the content, however it is encoded."""
        return f'W/"{hashlib.sha256(self.packed).hexdigest()[:32]}"'

    def answer(self, request: Request) -> Response:
        """The file, or that the asker has it."""
        headers = {**_SAFE, "ETag": self.etag, "Cache-Control": self.caching, "Vary": "Accept-Encoding"}
        if self.etag in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        body = self.packed
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
        else:
            body = gzip.decompress(body)
        return Response(body, headers=headers, media_type=_MEDIA[self.path.suffix])


def _assets() -> Mapping[str, Asset]:
    found = {path.name: Asset(path, _ASK_AGAIN) for path in _FOLDER.iterdir() if path.suffix in _MEDIA}
    plotly = find_spec("plotly")
    if plotly is not None and plotly.submodule_search_locations:  # without it the page shows its tables, and says so
        folder = Path(plotly.submodule_search_locations[0]) / "package_data"
        found[_CHARTS] = Asset(folder / _CHARTS, _A_WEEK)
    return MappingProxyType(found)


_ASSETS = _assets()


@router.get("/")
def page(request: Request) -> Response:
    """The page."""
    return _ASSETS["index.html"].answer(request)


@router.get("/docs")
def operations(request: Request) -> Response:
    """What can be asked, for people; `/openapi.json` is for programs."""
    return _ASSETS["docs.html"].answer(request)


@router.get("/page/{name}")
def file(name: str, request: Request) -> Response:
    """A file of the page, by a name that is compared and never becomes a path."""
    if name not in _ASSETS:
        raise HTTPException(404)
    return _ASSETS[name].answer(request)
