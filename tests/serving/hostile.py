"""What nobody should send, made from a seed: for every route, in every place that a request has.

MARK is in all of it. It is in lower case, so it is part of no symbol, target, digest, number or date: wherever it turns
up again, something got through that should not have.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote

MARK = "zqxmark"

GOOD = {
    "symbol": "^IXIC",
    "name": "^IXIC-return-5",
    "version": "champion",
    "target": "^IXIC-return-5",
    "as_of": "2018-12-28",
    "horizon": "5",
    "levels": "0.5",
    "limit": "10",
    "cursor": "40",
}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/forecasts": {"symbols": ["^IXIC"], "as_of": "2018-12-28", "horizon": 5, "levels": [0.05, 0.5]},
    "/v1/predict": {"context": [[0.01, 0.02]] * 8, "close": 100.0, "paths": {"count": 2, "seed": 0}},
}
ODD_SYMBOLS = ("CON", "NUL", "COM1", "AUX", "A..", "^", "0", "A=..=B", "^^^", "A-.-", "A" * 15, "A.PY", "1=1")
"""They may be symbols as far as their letters go, and the store has none of them."""

_METHODS = ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "get", "ZQX", "*")
_OWN_NAMES = (MARK, f"{MARK}[]", "__class__", "", "symbol", "limit")
"""Of parameters that a route may not have."""

_WORDS = (
    # paths
    "../../../../../../../../etc/{}", "..%2f..%2f{}", "%2e%2e/{}", "%252e%252e%252f{}", "....//{}", "..\\..\\{}",
    "/etc/{}", "file:///{}", "C:\\{}", "\\\\{}\\share", "~/{}", "./{}", "{}/../A", "AAPL/../{}", "{}/", "//{}", ".{}.",
    # names that mean something to Windows, and those that are nearly symbols
    "CON.{}", "{}:NUL", "aux {}", "COM1{}", "^ixic{}", "aapl.{}", "^IXIC{}", "{}^IXIC", " ^IXIC {}", "^IXIC,{}",
    "^IXIC%00{}", "^IXIC-return-5{}", "{}-return-5", "^IXIC+2-{}-return-5", "^IXIC?{}", "^IXIC#{}", "^IXIC;{}",
    # what ends a line, a string or a terminal's patience
    "{}\0", "\0{}", "{}\n", "{}\r\n\r\n", "\t{}\v\f", "\x1b[31m{}\x07", "{}\x7f\x80\x9f", "\u2028{}\u0085", "^IXIC\n{}",
    # other programs' languages
    "'; DROP TABLE bar; --{}", "' OR '1'='1' /*{}*/", '" UNION SELECT hash, {} FROM api_key --', "{}%' ESCAPE '",
    "1; ATTACH DATABASE '/tmp/{}' AS x", "x'||load_extension('{}')||'", "$${}$$", "%s%s%n{}", "{{0.__class__}}{}",
    "${{jndi:ldap://{}.invalid/a}}", "{{{{7*7}}}}{}", "$(touch {})", "`{}`", "; cat {}", "%(asctime)s{}", "<{}>",
    "<script>{}</script>", '"><img src=x onerror={}>', "<!ENTITY x SYSTEM 'file:///{}'>", "__import__('{}')",
    # other requests
    "\r\nX-Injected: {}", "\nSet-Cookie: a={}", "{}\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "http://{}.invalid/",
    "http://169.254.169.254/{}", "@{}.invalid", "{}@127.0.0.1:1", "//{}.invalid/%2f..", "gopher://{}:70/",
    # other alphabets: wide, Cyrillic, combining, right to left, invisible, what folds to s and k, beyond 16 bits
    "\uff21\uff21\uff30\uff2c{}", "\u0410\u0410PL{}", "A\u0301{}", "\u202e{}\u202d", "A\u200b{}\ufeff",
    "\u017f\u212a{}", "\U0001f4a5{}", "\U0001d400{}", "\u0130{}\u0131", "{}\u0000\uffff", "\u0661{}",
)  # fmt: skip

_NUMBERS = (
    "0", "-1", "1000000000", "1e9", "1e400", "-1e400", "NaN", "nan", "Infinity", "-inf", "-0", "00", "\u0661", "\uff11",
    "0x10", "1_000", "1.0", " 1", "+1", "1 ", "", "true", "null", "[]", "0.5000000001", "0.3", "-0.5", "1,2", "721",
    "999999999999999999", "9223372036854775808", "9" * 18, "9" * 5000, "1" + "0" * 400, "5\n", "5\0",
)  # fmt: skip

_DAYS = (
    "9999-12-31", "0001-01-01", "0000-00-00", "2018-02-30", "2018-12-29", "2018-12-30", "1970-01-01", "2018-12-25",
    "2018-12-28T00:00:00Z", "20181228", "1546000000", "1e9", "now", "2018-W52-5", "-2018-12-28", "\uff12018-12-28",
    "2018-12-28\n", "2018-12-28 ", "2018-1-1", "10000-01-01", "99999-01-01",
)  # fmt: skip

_BARE = (
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    "-Infinity",
    "9" * 5000,
    "1e-400",
    "0.1e",
    "01",
    "'a'",
    "undefined",
    "nul",
)
"""What may stand in JSON where a value does: Python writes little of it."""

_DECLARED = (b"application/json; charset=utf-16", b"text/plain", b"application/xml", b"*/*", b"", MARK.encode())

Routes = Mapping[str, Sequence[str]]
"""Template of a path that answers GET, and the parameters of its query."""


@dataclass(frozen=True)
class Asked:
    """A request, as its bytes on the wire."""

    method: str
    target: bytes
    """Path and query, in ASCII."""
    headers: tuple[tuple[bytes, bytes], ...]
    chunks: tuple[bytes, ...] = ()
    """Of the body."""

    def wire(self) -> bytes:
        """With what else HTTP/1.1 wants, for one answer and no more."""
        named = {name for name, _ in self.headers}
        lines = [b"%s: %s" % header for header in self.headers]
        lines += [] if b"host" in named else [b"host: a"]
        body = b"".join(self.chunks)
        if len(self.chunks) > 1:
            lines.append(b"transfer-encoding: chunked")
            body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in self.chunks) + b"0\r\n\r\n"
        elif body:
            lines.append(b"content-length: %d" % len(body))
        start = b"%s %s HTTP/1.1" % (self.method.encode(), self.target)
        return b"\r\n".join([start, *lines, b"connection: close", b"", body])


def hostile(seed: int, count: int, routes: Routes, keys: Sequence[str]) -> Iterator[Asked]:
    """So many requests.

    Arguments:
        keys: Good ones, for places where they should not be, and to be spoilt.
    """
    rng = Random(seed)  # noqa: S311
    kinds: tuple[Callable[[Random, Routes, Sequence[str]], Asked], ...] = (_path, _query, _body, _header, _odd)
    for kind in rng.choices(kinds, weights=(2, 3, 3, 2, 1), k=count):
        yield kind(rng, routes, keys)


def words(rng: Random) -> bytes:
    """Text that holds the mark; some is no UTF-8, some is long."""
    said = "".join(one.format(MARK) for one in rng.choices(_WORDS, k=rng.choice((1, 1, 1, 2))))
    made = (said + "A" * rng.choice((0,) * 30 + (10_000,))).encode("utf-8", "surrogatepass")
    return rng.choice((b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80")) + made if rng.random() < 0.1 else made


def _encoded(rng: Random, value: bytes) -> bytes:
    """In a path or a query: once, twice, or as little as can be."""
    once = quote(value, safe=rng.choice(("", "", "/", "/:@!$'()*,;=.~")))
    return (quote(once, safe="") if rng.random() < 0.1 else once).encode()


def _filled(rng: Random, route: str, spoil: bool = False) -> bytes:
    """A path of a route, with something hostile in one place of it."""
    parts = route.split("/")
    places = [place for place, part in enumerate(parts) if part.startswith("{")]
    filled = [quote(GOOD.get(part.strip("{}"), part), safe="^").encode() for part in parts]
    if spoil and places:
        filled[rng.choice(places)] = _encoded(rng, words(rng))
    elif rng.random() < 0.1 and "{symbol}" in parts:
        filled[parts.index("{symbol}")] = rng.choice(ODD_SYMBOLS).encode()
    return b"/".join(filled)


def _agent(rng: Random) -> tuple[bytes, bytes]:
    """A header that holds the mark, so that every request does."""
    return rng.choice((b"user-agent", b"referer", b"x-request-id", b"cookie", b"traceparent")), MARK.encode()


def _path(rng: Random, routes: Routes, _keys: Sequence[str]) -> Asked:
    named = [route for route in routes if "{" in route]
    known = rng.random() < 0.7
    target = _filled(rng, rng.choice(named), spoil=True) if known else b"/" + _encoded(rng, words(rng))
    return Asked("GET", target, (_agent(rng),))


def _value(rng: Random) -> bytes:
    source = rng.choice((_NUMBERS, _DAYS, ODD_SYMBOLS, list(GOOD.values()), None))
    return words(rng) if source is None else rng.choice(source).encode()


def _query(rng: Random, routes: Routes, _keys: Sequence[str]) -> Asked:
    route = rng.choice([one for one, declared in routes.items() if declared])
    names = rng.choices(routes[route], k=rng.choice((1, 1, 2, 3, 40)))
    if rng.random() < 0.2:
        names.append(rng.choice(_OWN_NAMES))
    pairs = [_encoded(rng, name.encode()) + b"=" + _encoded(rng, _value(rng)) for name in names]
    raw = rng.choice((b"&&&=", b"%", b"%zz", b"&" * 500, b";a=b", b"?a=b")) if rng.random() < 0.1 else b""
    return Asked("GET", _filled(rng, route) + b"?" + b"&".join(pairs) + raw, (_agent(rng),))


def _header(rng: Random, routes: Routes, keys: Sequence[str]) -> Asked:
    said = words(rng).translate(None, b"\r\n\0").strip()
    key = rng.choice(keys)
    spoilt = rng.choice((key[:-1], key + "a", key.upper(), key.replace("_", ""), key.split("_", 2)[2], MARK)).encode()
    header = rng.choice((
        (b"authorization", rng.choice((b"Bearer " + spoilt, b"Bearer " + said, said, b"Basic " + spoilt, b""))),
        (b"if-none-match", rng.choice((said, b'"' + said + b'"', b"*", b"W/", b"," * 2000, b'"' * 999))),
        (b"content-length", rng.choice((b"1", b"0", b"99999999999999999999", b"65537"))),
        (b"range", rng.choice((b"bytes=0-1", said))),
        (b"traceparent", rng.choice((said, b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"))),
        (b"cookie", key.encode()),
        (rng.choice((b"accept", b"accept-encoding", b"host", b"x-forwarded-for", b"x-forwarded-host")), said),
        (rng.choice((b"origin", b"expect", b"cookie", b"tracestate", b"baggage", b"x-http-method-override")), said),
        (said[:60].translate(None, b" :\t\x0b\x0c"), said),
    ))  # fmt: skip
    return Asked("GET", _filled(rng, rng.choice(list(routes))), (header, _agent(rng)))


def _odd(rng: Random, routes: Routes, keys: Sequence[str]) -> Asked:
    """Another method, or a key where it should not be."""
    path = _filled(rng, rng.choice(list(routes)))
    if rng.random() < 0.7:
        return Asked(rng.choice(_METHODS), path, (_agent(rng),), (words(rng),))
    named = rng.choice((b"key=", b"authorization=", b"target=", b""))
    return Asked("GET", path + b"?" + named + rng.choice(keys).encode(), (_agent(rng),))


def _json(rng: Random) -> Any:
    """A value that some field does not expect."""
    said = words(rng).decode("utf-8", "replace")
    return rng.choice((
        said, [said], {said: said}, [[said]], None, True, False, 0, -1, 10**9, 10**400, 1.5, 1e308, "3", "true", "", [],
        {}, [None], [True], ["1"], 0.3, [0.3], [0.5, 0.5], ["A", "A"], ["A", said], [f"A{n}" for n in range(999)],
        ["A"] * 10_000, [[0.0] * 300], [[1e308, -1e308]] * 8, [[0.0]] * 5000, [[0.01, said]] * 8, "@bare@", ["@bare@"],
        [["@bare@", 0.0]], {"count": 10**9, "seed": 0}, {"count": 2, "seed": 0, said: 1}, list(ODD_SYMBOLS),
        ["^IXIC", *ODD_SYMBOLS], rng.choice(_DAYS), rng.choice(_NUMBERS), rng.choice(list(GOOD.values())),
    ))  # fmt: skip


def _body(rng: Random, _routes: Routes, keys: Sequence[str]) -> Asked:
    path = rng.choice(list(BODIES))
    body = dict(BODIES[path])
    for _ in range(rng.choice((1, 1, 2))):
        own = (MARK, "__proto__", "\0", "symbols\n") if rng.random() < 0.2 else ()
        body[rng.choice(own or (*body, "target", "horizon", "levels"))] = _json(rng)
    written = json.dumps(body, ensure_ascii=rng.random() < 0.5).replace('"@bare@"', rng.choice(_BARE))
    sent = written.encode("utf-8", "replace")
    if rng.random() < 0.3:
        sent = _spoilt(rng, sent, keys)
    declared = rng.choice(_DECLARED) if rng.random() < 0.15 else b"application/json"
    cut = rng.choice((7, 1000) if len(sent) < 5000 else (1000, 9000)) if rng.random() < 0.2 else len(sent) or 1
    chunks = tuple(sent[begin : begin + cut] for begin in range(0, len(sent), cut))
    return Asked("POST", path.encode(), ((b"content-type", declared), _agent(rng)), chunks)


def _spoilt(rng: Random, sent: bytes, keys: Sequence[str]) -> bytes:
    mark = MARK.encode()
    return rng.choice((
        sent[: rng.randrange(len(sent))],
        sent + mark,
        mark + sent,
        b"\xef\xbb\xbf" + sent,
        sent.replace(b"{", b'{"%s": 1, "%s": 2, ' % (mark, mark), 1),
        sent.replace(b"{", b'{"close": 1.0, "symbols": [], ', 1),
        sent.replace(b'"', b"\xff", 2),
        sent.replace(b'"', b'"\\ud800', 1),
        sent.replace(b'"', b'"\\u0000%s' % mark, 1),
        sent.decode("utf-8", "replace").encode("utf-16"),
        b'{"%s":' % mark * 5000,
        b"[" * rng.choice((500, 60_000)),
        b'{"symbols": [' + b'"%s",' % mark * 20_000,
        b'"%s"' % mark,
        b"\x80\x04\x95" + mark,
        b"a=1&%s=2" % mark,
        b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b '%s'>]><a>&b;</a>" % mark,
        b'{"symbols": ["%s"]}' % rng.choice(keys).encode(),
        b"",
        b"\0" * 100,
        mark * 20_000,
    ))  # fmt: skip


def rude(key: str) -> list[bytes]:
    """Bytes that are no request, or two at once, for a server to read."""
    mark, host = MARK.encode(), b"Host: a\r\nConnection: close\r\n"
    post = b"POST /v1/predict HTTP/1.1\r\nContent-Type: application/json\r\n" + host
    return [
        mark + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00" + mark,  # a greeting of TLS
        b"GET /" + mark + b"\r\n\r\n",
        b"GET /" + mark + b" HTTP/9.9\r\n" + host + b"\r\n",
        b"GET /" + mark + b"\xff\xfe HTTP/1.1\r\n" + host + b"\r\n",
        b"GET /" + mark + b"\0 HTTP/1.1\r\n" + host + b"\r\n",
        b"GET /v1/forecasts/" + mark + b" " + mark + b" HTTP/1.1\r\n" + host + b"\r\n",
        b"GET http://" + mark + b".invalid/v1/models HTTP/1.1\r\n" + host + b"\r\n",
        b"GET //" + mark + b".invalid/v1/models HTTP/1.1\r\n" + host + b"\r\n",
        b"CONNECT " + mark + b".invalid:443 HTTP/1.1\r\n" + host + b"\r\n",
        b"OPTIONS * HTTP/1.1\r\nX: " + mark + b"\r\n" + host + b"\r\n",
        b"GET /v1/models HTTP/1.1\r\n" + mark + b"\r\n" + host + b"\r\n",
        b"GET /v1/models HTTP/1.1\r\nX : " + mark + b"\r\n" + host + b"\r\n",
        b"GET /v1/models HTTP/1.1\r\nX: " + mark + b"\0\r\n" + host + b"\r\n",
        b"GET /v1/models HTTP/1.1\r\nX: a\r\n " + mark + b"\r\n" + host + b"\r\n",
        b"GET /v1/models HTTP/1.1\r\nX: " + mark * 5000 + b"\r\n" + host + b"\r\n",
        b"GET /v1/models?" + mark * 5000 + b" HTTP/1.1\r\n" + host + b"\r\n",
        b"GET /v1/models HTTP/1.1\r\n" + b"".join(b"%s-%d: a\r\n" % (mark, n) for n in range(2000)) + host + b"\r\n",
        b"GET /v1/models HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\nX: " + mark + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + mark,
        post + b"Content-Length: -1\r\n\r\n" + mark,
        post + b"Content-Length: " + mark + b"\r\n\r\n",
        post + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + mark,
        post + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /" + mark + b" HTTP/1.1\r\n\r\n",
        post + b"Transfer-Encoding: chunked\r\n\r\nzz" + mark + b"\r\n",
        post + b"Transfer-Encoding: chunked\r\n\r\n5;" + mark + b"\r\nabcde\r\n0\r\n" + mark + b": a\r\n\r\n",
        post + b"Transfer-Encoding: " + mark + b"\r\n\r\n",
        post + b"Expect: " + mark + b"\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /" + key.encode() + b"\xff HTTP/1.1\r\n" + host + b"\r\n",
        b"GET /v1/models HTTP/1.1\r\nAuthorization: Bearer " + key.encode() + b"\0\r\n" + host + b"\r\n",
        b"Bearer " + key.encode() + b"\r\n\r\n",
    ]
