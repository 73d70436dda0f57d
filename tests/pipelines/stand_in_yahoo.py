"""A stand-in of Yahoo on loopback, asked by the real client through our own session.

with StandInYahoo() as yahoo:
    yahoo.serve(chart("AAPL", rows))            # what /v8/finance/chart/AAPL answers, cut to what is asked for
    yahoo.replay(path)                          # or a recorded answer, with its status and headers
    source = Yahoo(start, {}, cache, patience, yahoo.session(patience))
    yahoo.behave("429", times=3)                # the next answers; BEHAVIOURS has the list
    yahoo.requests                              # what has come in
"""

import gzip
import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, unquote, urlsplit
from zoneinfo import ZoneInfo

import requests
import yfinance.cache
from curl_cffi.requests import Session
from yfinance.data import SingletonMeta

from pipelines.sources.patience import Patience
from pipelines.sources.yahoo import ChartSession

CHART = "/v8/finance/chart/"
NOT_FOUND = (
    '{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found, symbol may be delisted"}}}'
)

Row = tuple[date | datetime, float | None, float | None, float | None, float | None, float | None]
"""Session (or the instant of a live row), open, high, low, close, volume."""


class Asked(NamedTuple):
    """One request that came in."""

    path: str
    query: Mapping[str, str]


class Answer(NamedTuple):
    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


def chart(
    symbol: str,
    rows: Sequence[Row],
    *,
    splits: Mapping[date, tuple[float, float]] | None = None,
    dividends: Mapping[date, float] | None = None,
    gains: Mapping[date, float] | None = None,
    currency: str = "USD",
    exchange: str = "NMS",
    tz: str = "America/New_York",
) -> dict[str, Any]:
    """The JSON of a daily chart; sessions are stamped 09:30 local time, as Yahoo stamps them with the open."""

    def stamp(moment: date | datetime) -> int:
        opened = moment if isinstance(moment, datetime) else datetime.combine(moment, time(9, 30), ZoneInfo(tz))
        return int(opened.timestamp())

    def events(kind: str, of: Mapping[date, dict[str, float]]) -> dict[str, Any]:
        return {kind: {str(stamp(day)): {**facts, "date": stamp(day)} for day, facts in of.items()}} if of else {}

    columns = list(zip(*[row[1:] for row in rows], strict=True)) or [()] * 5
    quote = dict(zip(("open", "high", "low", "close", "volume"), map(list, columns), strict=True))
    meta = {
        "currency": currency,
        "symbol": symbol,
        "exchangeName": exchange,
        "instrumentType": "ETF" if gains else "EQUITY",
        "exchangeTimezoneName": tz,
        "dataGranularity": "1d",
        "validRanges": ["1d", "5d", "1mo", "max"],
    }
    result = {
        "meta": meta,
        "timestamp": [stamp(row[0]) for row in rows],
        "events": events("splits", {d: {"numerator": n, "denominator": m} for d, (n, m) in (splits or {}).items()})
        | events("dividends", {d: {"amount": amount} for d, amount in (dividends or {}).items()})
        | events("capitalGains", {d: {"amount": amount} for d, amount in (gains or {}).items()}),
        "indicators": {"quote": [quote], "adjclose": [{"adjclose": quote["close"]}]},
    }
    return {"chart": {"result": [result], "error": None}}


class StandInYahoo:
    """The server. Entering it also makes the client forget what it keeps for the life of a process."""

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self._charts: dict[str, dict[str, Any]] = {}
        self._recorded: dict[str, Answer] = {}
        self._behaviour, self._times = "well", 0
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._deaf: list[socket.socket] = []

    def __enter__(self) -> Self:
        _forget()
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        for deaf in self._deaf:
            deaf.close()
        _forget()

    @property
    def url(self) -> str:
        """Where the next request is to go."""
        port = self._deaf[0].getsockname()[1] if self._deaf else self._server.server_port
        return f"http://127.0.0.1:{port}"

    def serve(self, answer: dict[str, Any], symbol: str | None = None) -> None:
        """Answer charts of `symbol` (None: of the chart's own) with `answer`, cut to the range that is asked for."""
        self._charts[symbol or answer["chart"]["result"][0]["meta"]["symbol"]] = answer

    def forget(self, symbol: str) -> None:
        """Know a symbol no more."""
        del self._charts[symbol]

    def say(self, text: str, symbol: str = "AAPL") -> None:
        """Answer charts of `symbol` with this text, whatever range is asked for."""
        self._recorded[CHART + symbol] = Answer(200, [("Content-Type", "application/json")], text.encode())

    def replay(self, path: Path) -> Asked:
        """Answer as recorded whenever its path is asked for; returns what was asked at the recording."""
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
        recorded = json.loads(text)
        response, url = recorded["response"], urlsplit(recorded["request"]["url"])
        body = (
            json.dumps(response["bodyJson"])
            if "bodyJson" in response
            else response.get("bodyText", response.get("body"))
        )
        headers = [
            (name, value)
            for name, values in response["headers"].items()
            for value in (values if isinstance(values, list) else [values])
            if name not in ("content-length", "content-encoding", "transfer-encoding", "connection", "date", "server")
        ]
        self._recorded[unquote(url.path)] = Answer(response["status"], headers, body.encode())
        return Asked(unquote(url.path), dict(parse_qsl(url.query)))

    def behave(self, behaviour: str = "well", times: int | None = None) -> None:
        """Answer the next `times` requests (None: all from now on) in the way of that name."""
        for deaf in self._deaf:
            deaf.close()
        self._deaf = _deaf_sockets() if behaviour == "hang at connect" else []
        if behaviour != "hang at connect":
            assert behaviour in BEHAVIOURS, f"known: {sorted(BEHAVIOURS)}"
        self._behaviour, self._times = behaviour, -1 if times is None else times

    def session(self, patience: Patience) -> ChartSession:
        """Our own session, whose requests arrive here."""
        session = _LoopChartSession(patience)
        session.yahoo, session.trust_env = self, False
        return session

    def plain_session(self) -> requests.Session:
        """A session without our judgement, to see what the client does when left alone."""
        session = _LoopPlainSession()
        session.yahoo, session.trust_env = self, False
        return session

    def _answer(self, asked: Asked) -> Answer:
        symbol = asked.path.removeprefix(CHART)
        if asked.path in self._recorded:
            return self._recorded[asked.path]
        if asked.path == "/":  # fc.yahoo.com gives its cookie with a 404
            return Answer(404, [("Set-Cookie", "A3=made-up; Max-Age=31536000; Path=/")], b"")
        if asked.path == "/v1/test/getcrumb":
            return Answer(200, [("Content-Type", "text/plain")], b"made-up")
        if symbol in self._charts:
            return _json(200, _cut(self._charts[symbol], asked.query))
        return Answer(404, [("Content-Type", "application/json")], NOT_FOUND.encode())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        yahoo = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                asked = Asked(unquote(url.path), dict(parse_qsl(url.query)))
                yahoo.requests.append(asked)
                behave = BEHAVIOURS[yahoo._behaviour if yahoo._times else "well"]
                yahoo._times -= yahoo._times > 0
                with suppress(BrokenPipeError, ConnectionResetError):  # the client gave up, as it should
                    behave(self.wfile.write, yahoo._answer(asked), yahoo._ended)
                self.close_connection = True

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None: ...

        return Handler


def _raw(answer: Answer) -> bytes:
    head = [f"HTTP/1.1 {answer.status} Whatever", *(f"{name}: {value}" for name, value in answer.headers)]
    return (
        "\r\n".join([*head, f"Content-Length: {len(answer.body)}", "Connection: close", "", ""]).encode() + answer.body
    )


def _json(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status, [("Content-Type", "application/json;charset=utf-8")], json.dumps(body).encode())


Send = Callable[[bytes], object]


def _instead(status: int, kind: str, body: str) -> Callable[[Send, Answer, threading.Event], None]:
    return lambda send, _, __: send(_raw(Answer(status, [("Content-Type", kind)], body.encode())))


def _part(share: float, pause: float, stride: int) -> Callable[[Send, Answer, threading.Event], None]:
    """Send up to `share` of the reply at once, the rest `stride` bytes every `pause` s; stride 0: nothing more."""

    def send_slowly(send: Send, answer: Answer, ended: threading.Event) -> None:
        raw = _raw(answer)
        at = int(len(raw) * share)
        send(raw[:at])
        while not ended.wait(pause) and at < len(raw):
            send(raw[at : at + stride])
            at += stride

    return send_slowly


BEHAVIOURS: dict[str, Callable[[Send, Answer, threading.Event], None]] = {
    "well": lambda send, answer, _: send(_raw(answer)),
    "429": _instead(429, "text/plain", "Edge: Too Many Requests"),
    "401": _instead(
        401,
        "application/json",
        '{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}',
    ),
    "500": _instead(500, "text/html", "<html>Internal Server Error</html>"),
    "503": _instead(503, "application/json", "{}"),
    "404": _instead(404, "application/json", NOT_FOUND),
    "400": _instead(
        400,
        "application/json",
        '{"chart":{"result":null,"error":{"code":"Bad Request","description":"Data doesn\'t exist for startDate"}}}',
    ),
    "404 without a reason": _instead(404, "text/html", "<html>not here</html>"),
    "redirect": lambda send, _, __: send(_raw(Answer(307, [("Location", "/consent")], b""))),
    "captcha": _instead(200, "text/html", "<html><body>Are you a robot?</body></html>"),
    "maintenance": _instead(200, "text/html", "Will be right back"),
    "empty": _instead(200, "application/json", ""),
    "null": _instead(200, "application/json", "null"),
    "other json": _instead(200, "application/json", '{"finance": {"result": []}}'),
    "list": _instead(200, "application/json", "[1, 2]"),
    "error with 200": _instead(
        200, "application/json", '{"chart": {"result": null, "error": {"code": "?", "description": "Try later"}}}'
    ),
    "no result": _instead(200, "application/json", '{"chart": {"result": null, "error": null}}'),
    "truncated json": lambda send, answer, _: send(_raw(answer._replace(body=answer.body[: len(answer.body) // 2]))),
    "cut off": lambda send, answer, _: send(_raw(answer)[:-40]),
    "hang at header": lambda _, __, ended: ended.wait(),
    "hang at body": _part(share=0.9, pause=0.05, stride=0),
    "drip header": _part(share=0.0, pause=0.05, stride=1),
    "drip body": _part(share=0.9, pause=0.05, stride=1),
}
"""Ways to answer; beside them "hang at connect", where the connection is never made."""


def _cut(answer: dict[str, Any], query: Mapping[str, str]) -> dict[str, Any]:
    """The chart between period1 and period2 (or its last row, for range=1d), as Yahoo gives it."""
    (result,) = answer["chart"]["result"]
    stamps = result["timestamp"]
    first, last = int(query.get("period1", stamps[-1] if stamps else 0)), int(query.get("period2", 2**40))
    keep = [at for at, stamp in enumerate(stamps) if first <= stamp < last]
    indicators = {
        name: [{column: [values[at] for at in keep] for column, values in table.items()} if keep else {}]
        for name, (table,) in result["indicators"].items()
    }
    events = {
        kind: {key: event for key, event in of.items() if first <= event["date"] < last}
        for kind, of in result["events"].items()
    }
    cut = {"meta": result["meta"], "events": events, "indicators": indicators}
    cut |= {"timestamp": [stamps[at] for at in keep]} if keep else {}
    return {"chart": {"result": [cut], "error": None}}


def _deaf_sockets() -> list[socket.socket]:
    """A listener that accepts nobody, first, and the connections that fill its queue."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    return [listener, *fillers]


def _forget() -> None:
    """What the client keeps for the life of a process: its session, its replies, where its caches are."""
    SingletonMeta._instances.clear()
    yfinance.cache._TzCacheManager._tz_cache = None
    yfinance.cache._CookieCacheManager._Cookie_cache = None


class _Loop:
    """Sends what is meant for Yahoo to the stand-in, and refuses to send anything else."""

    yahoo: StandInYahoo

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        host, path = urlsplit(url).hostname or "", urlsplit(url).path
        assert host.endswith(".yahoo.com"), f"a request to {host}"
        return super().request(method, self.yahoo.url + (path or "/"), *args, **kwargs)  # type: ignore[misc]


class _LoopSession(_Loop, Session[Any]): ...


class _LoopChartSession(ChartSession, _LoopSession):
    """Judgement first, then the way to the stand-in: ChartSession's `super()` is the loop."""


class _LoopPlainSession(_Loop, requests.Session): ...
