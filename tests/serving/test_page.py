"""The page's files, without a browser: safe headers, nothing from elsewhere, packed once and kept by the asker."""

import re
from pathlib import Path

import httpx
import pytest
from page_server import served
from small_store import NOW, SmallStore

import serving

FILES = sorted((Path(serving.__file__).parent / "page").iterdir())
ALLOWED = {"'none'", "'self'", "data:"}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    home = tmp_path_factory.mktemp("page") / "home"
    SmallStore(home).engine.dispose()
    with served(home, NOW) as address, httpx.Client(base_url=address) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/docs", "/page/main.js", "/page/style.css", "/page/icon.svg"])
def test_every_file_comes_with_the_headers_that_keep_it_safe(service, path):
    answer = service.get(path)
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    parts = (part.split() for part in answer.headers["content-security-policy"].split(";"))
    policy = {name: set(values) for name, *values in parts}
    styles = policy.pop("style-src")
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == {"'none'"}
    assert policy["script-src"] == policy["connect-src"] == {"'self'"}
    assert set().union(*policy.values()) <= ALLOWED
    assert all(one == "'self'" or one.startswith("'sha256-") for one in styles)


def test_the_asker_keeps_a_file_until_it_changes(service):
    first = service.get("/page/style.css")
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["cache-control"] == "no-cache"
    again = service.get("/page/style.css", headers={"If-None-Match": first.headers["etag"]})
    other = service.get("/page/style.css", headers={"If-None-Match": 'W/"other"'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert (other.status_code, other.content) == (200, first.content)


def test_the_charting_library_travels_packed(service):
    packed = service.get("/page/plotly.min.js")
    plain = service.get("/page/plotly.min.js", headers={"Accept-Encoding": "identity"})
    assert b"plotly.js v" in packed.content[:100]
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(packed.content) / 3
    assert "max-age=604800" in packed.headers["cache-control"]
    assert "content-encoding" not in plain.headers
    assert plain.content == packed.content
    assert service.get("/page/plotly.min.js", headers={"If-None-Match": packed.headers["etag"]}).status_code == 304


@pytest.mark.parametrize("name", ["nothing.js", "..%2fapp.py", "%2e%2e%2fapp.py", "index.html%00", "x" * 5000])
def test_only_files_of_the_page_are_given_out(service, name):
    answer = service.get(f"/page/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 250


def test_the_page_is_no_operation_of_the_api(service):
    paths = service.get("/openapi.json").json()["paths"]
    assert [path for path in paths if path in ("/", "/docs") or path.startswith("/page")] == []
    assert service.head("/").status_code == 200


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_loads_from_elsewhere_or_makes_markup_of_text(path):
    text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"//[a-z0-9-]+\.[a-z]", text, re.IGNORECASE)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    assert not re.search(r"<script(?! type=\"module\" src=\"page/)|<[^>]*\son[a-z]+=|\sstyle=|javascript:", text)
