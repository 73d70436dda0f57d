"""FRED on a loopback port: recorded answers, made-up series, and bad behaviour on demand.

    with StandInFred() as fred:
        fred.add(daily_archive("DAILY", vintages=5000))     # or add_current(...), add_graph(...), replay(payloads)
        fred.behave("429", times=2)                         # "" ends it at once
        Fred(start, KEY, patience, api=fred.url, graph=fred.url)
        fred.requests                                       # [Asked(path, query), ...]

It is as strict as the real one: the cap of 2000 vintages, realtime dates clipped to the window that was asked for, no
window before the first vintage, keys of 32 small letters and digits. Its clipping reproduces the recorded windows of
GDP row for row (a test says so).
"""

import gzip
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

KEY = "abcdefghijklmnopqrstuvwxyz012345"
"""The one key it accepts."""

FIRST, LAST = "1776-07-04", "9999-12-31"
MOST_VINTAGES = 2000

Row = dict[str, str]


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    query: Mapping[str, str]


@dataclass(frozen=True)
class Archive:
    """A series as ALFRED keeps it."""

    series: str
    rows: Sequence[Row]
    """`realtime_start`, `realtime_end`, `date` and `value` of every value there was, not clipped."""
    vintages: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "vintages", self.vintages or sorted({row["realtime_start"] for row in self.rows}))

    def window(self, opens: str, closes: str) -> list[Row]:
        """What was shown between two days, both included, with the real-time dates clipped to them."""
        return [
            {
                "realtime_start": max(row["realtime_start"], opens),
                "realtime_end": min(row["realtime_end"], closes),
                "date": row["date"],
                "value": row["value"],
            }
            for row in self.rows
            if row["realtime_start"] <= closes and row["realtime_end"] >= opens
        ]


def archive_of(series: str, vintages: Mapping[str, Mapping[str, str]]) -> Archive:
    """An archive from whole vintages: day of publication -> period -> value."""
    days, rows = sorted(vintages), []
    open_rows: dict[str, Row] = {}
    for day in days:
        for period, value in vintages[day].items():
            held = open_rows.get(period)
            if held is None or held["value"] != value:
                if held is not None:
                    held["realtime_end"] = str(date.fromisoformat(day) - timedelta(days=1))
                open_rows[period] = {"realtime_start": day, "realtime_end": LAST, "date": period, "value": value}
                rows.append(open_rows[period])
    return Archive(series, sorted(rows, key=lambda row: (row["date"], row["realtime_start"])), days)


def daily_archive(series: str, vintages: int, first: date = date(2005, 1, 3)) -> Archive:
    """A daily series: each day brings one more period, each 700th revises one of 40 days before, each 900th is "."."""
    rows = []
    for n in range(vintages):
        period, published = first + timedelta(days=n), first + timedelta(days=n + 1)
        value = "." if n % 900 == 450 else f"{3 + n % 17 / 10:.2f}"
        row = {"realtime_start": str(published), "realtime_end": LAST, "date": str(period), "value": value}
        rows.append(row)
        if n % 700 == 0 and n + 40 < vintages:
            revised = published + timedelta(days=40)
            row["realtime_end"] = str(revised - timedelta(days=1))
            rows.append({**row, "realtime_start": str(revised), "realtime_end": LAST, "value": f"{9 + n / 1e4:.4f}"})
    return Archive(series, rows)


class StandInFred:
    """The server; give its `url` as both `api` and `graph`."""

    def __init__(self, page: int = 100_000) -> None:
        """Arguments: page: Most rows of one answer, whatever `limit` asks for."""
        self.requests: list[Asked] = []
        self.page = page
        self._archives: dict[str, Archive] = {}
        self._current: dict[str, list[Row]] = {}
        self._graphs: dict[str, str] = {}
        self._fault, self._times, self._after = "", 0.0, 0
        self._closing, self._lock = threading.Event(), threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def add(self, archive: Archive) -> None:
        """A series with vintages."""
        self._archives[archive.series] = archive

    def add_current(self, series: str, rows: Sequence[Row]) -> None:
        """A series that ALFRED does not know, as SP500."""
        self._current[series] = list(rows)

    def add_graph(self, series: str, table: str) -> None:
        """A series of fredgraph.csv: the whole table as text."""
        self._graphs[series] = table

    def replay(self, payloads: Path) -> None:
        """Serve what was recorded in `payloads/fred`: GDP with its vintages, CPILFESL and WGS10YR without."""
        bodies = payloads / "json_bodies"
        gdp = _load(bodies / f"observations_GDP_all_releases_{FIRST}_{LAST}.json.gz")["observations"]
        self.add(Archive("GDP", gdp, json.loads((bodies / "vintagedates_GDP.json").read_text())["vintage_dates"]))
        for series in ("CPILFESL", "WGS10YR"):
            self.add_current(series, _load(bodies / f"observations_{series}.json.gz")["observations"])

    def behave(self, fault: str, times: float = float("inf"), after: int = 0) -> None:
        """Answer requests with a fault: all of them, or `times` many, once `after` more were answered well.

        429 · 403 · 500 · html · empty · half_json · cut_off · wrong_shape · foreign (a table of another series) ·
        redirect · disconnect · echo (an error that repeats the request) · hang · drip
        """
        with self._lock:
            self._fault, self._times, self._after = fault, times, after

    def fault(self) -> str:
        """The fault of the next answer."""
        with self._lock:
            if self._times <= 0 or not self._fault:
                return ""
            if self._after > 0:
                self._after -= 1
                return ""
            self._times -= 1
            return self._fault

    def answer(self, path: str, query: Mapping[str, str]) -> tuple[int, str, bytes]:
        """Status, content type and body of a well-behaved answer."""
        if path == "/graph/fredgraph.csv":
            return self._graph(query)
        status, payload = self._refusal(query) or self._payload(path, query)
        return status, "application/json; charset=UTF-8", json.dumps(payload, separators=(",", ":")).encode()

    def _graph(self, query: Mapping[str, str]) -> tuple[int, str, bytes]:
        if query["id"] not in self._graphs:
            return 404, "text/html", b"<!DOCTYPE html><title>Error - St. Louis Fed</title>"
        head, *lines = self._graphs[query["id"]].splitlines()
        kept = [line for line in lines if line >= query.get("cosd", "")]
        return 200, "application/csv", "\n".join([head, *kept, ""]).encode()

    def _refusal(self, query: Mapping[str, str]) -> tuple[int, Any] | None:
        key = query.get("api_key", "")
        if not key:
            return _bad("Variable api_key is not set.")
        if len(key) != 32 or not key.isalnum() or key != key.lower():
            return _bad(
                "The value for variable api_key is not a 32 character alpha-numeric lower-case string.  "
                "Read https://fred.stlouisfed.org/docs/api/api_key.html for more information."
            )
        return None if key == KEY else _bad("The value for variable api_key is not registered.")

    def _payload(self, path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        series, archive = query["series_id"], self._archives.get(query["series_id"])
        vintages = path == "/fred/series/vintagedates"
        if archive is None and (vintages or "realtime_start" in query):
            return _bad("The series does not exist in ALFRED but may exist in FRED.")
        if archive is None and series not in self._current:
            return _bad("The series does not exist.")
        if vintages and archive is not None:
            return 200, self._page(query, 10_000, "vintage_dates", archive.vintages)
        rows = self._current.get(series, [])
        if archive is not None:
            opens = query.get("realtime_start", archive.vintages[-1])
            closes = query.get("realtime_end", archive.vintages[-1])
            if opens < archive.vintages[0] and opens != FIRST:
                return _bad("The series does not exist in ALFRED but may exist in FRED.")
            within = sum(opens <= day <= closes for day in archive.vintages)
            if within > MOST_VINTAGES:
                return _bad(
                    f"There are {within} vintage dates in the specified real-time period: {opens} to {closes}.  "
                    f"This exceeds the maximum number of vintage dates allowed for this file type ({MOST_VINTAGES})."
                )
            rows = archive.window(opens, closes)
        first = query.get("observation_start", FIRST)
        return 200, self._page(query, 100_000, "observations", [row for row in rows if row["date"] >= first])

    def _page(self, query: Mapping[str, str], most: int, member: str, entries: Sequence[Any]) -> Any:
        limit, offset = int(query.get("limit", most)), int(query.get("offset", 0))
        if not 1 <= limit <= most:
            return _bad(f"Variable limit is not between 1 and {most}.")
        page = entries[offset : offset + min(limit, self.page)]
        return {"count": len(entries), "offset": offset, "limit": limit, member: page}


def _load(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()))


def _bad(message: str) -> tuple[int, Any]:
    return 400, {"error_code": 400, "error_message": f"Bad Request.  {message}"}


_BODIES = {
    "429": (429, "application/json", b'{"error_code":429,"error_message":"Too Many Requests.  Exceeded Rate Limit"}'),
    "403": (403, "text/html", b"<html><title>Access Denied</title></html>"),
    "500": (500, "application/json", b'{"error_code":500,"error_message":"Internal Server Error"}'),
    "html": (200, "text/html", b"<!DOCTYPE html><html>Down for maintenance</html>\n"),
    "empty": (200, "application/json", b""),
    "wrong_shape": (200, "application/json", b'{"count":1,"observations":[{"date":"2020-01-01"}],"vintage_dates":[7]}'),
    "foreign": (200, "application/csv", b"observation_date,OTHER\n2020-01-01,1.0\n"),
}


def _handler(fred: StandInFred) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = Asked(parts.path, dict(parse_qsl(parts.query)))
            fred.requests.append(asked)
            fault = fred.fault()
            try:
                self._answer(asked, fault)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def _answer(self, asked: Asked, fault: str) -> None:
            if fault == "hang":
                fred._closing.wait()
            if fault in ("hang", "disconnect"):
                self.close_connection = True
                return
            status, kind, body = _BODIES.get(fault) or fred.answer(asked.path, asked.query)
            if fault == "echo":
                status, body = (
                    400,
                    json.dumps({"error_code": 400, "error_message": f"Bad Request.  {self.path}"}).encode(),
                )
            if fault == "half_json":
                body = body[: len(body) // 2]
            self.send_response(302 if fault == "redirect" else status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if fault == "redirect":
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self._send(body, fault)

        def _send(self, body: bytes, fault: str) -> None:
            if fault == "drip":
                for n in range(len(body)):
                    if fred._closing.is_set():
                        break
                    self.wfile.write(body[n : n + 1])
                    time.sleep(0.05)
            else:
                self.wfile.write(body[: len(body) // 2] if fault == "cut_off" else body)
            self.close_connection = fault in ("drip", "cut_off")

        def log_message(self, *_: object) -> None:
            """Say nothing on stderr."""

    return Handler
