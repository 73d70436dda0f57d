"""Yahoo Finance, by the yfinance client: daily bars and actions of stocks, funds, indices, futures and currencies.

What the client would hide is made to speak: each answer is judged where it arrives, at the session, so that a refusal
costs one request and comes out as the error it is. Yahoo's "unadjusted" prices are already in shares of today. The
client's authors say that Yahoo means its data for personal use.
"""

import json
import re
import warnings
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import pandas as pd
import yfinance
from curl_cffi.requests import Response, Session
from curl_cffi.requests.exceptions import ChunkedEncodingError, DNSError
from pydantic import Field
from yfinance.data import YfData
from yfinance.exceptions import YFPricesMissingError, YFRateLimitError
from yfinance.utils import is_isin

from forecaster.contract import SYMBOL, Frozen
from forecaster.errors import (
    EmptyRange,
    NotListed,
    RateLimited,
    ReplyRefused,
    SourceError,
    SourceTemporary,
    UnknownSymbol,
)
from forecaster.store.history import NO_CURRENCY
from pipelines.sources.base import ACTION_COLUMNS, BAR_COLUMNS, Listing, Reply, Surroundings
from pipelines.sources.patience import Limits, Patience, no_way

NAME = "yahoo"
LIMITS = Limits(per_minute=30, deadline=60, attempts=4, first_wait=2)
"""Yahoo publishes none; users report trouble from about 60 requests a minute on."""

_CHART = re.compile(rf"https://query[12]\.finance\.yahoo\.com/v8/finance/chart/({SYMBOL.pattern})")
_ACTIONS = MappingProxyType({"Stock Splits": "split", "Dividends": "dividend", "Capital Gains": "dividend"})
# venue: Yahoo's exchange codes. NYSE Arca, Cboe BZX, NYSE American, OTC and Cboe's indices keep the sessions of XNYS.
_EXCHANGES = {
    "24/5": "CCY",
    "24/7": "CCC",
    "ASEX": "ATH",
    "BVMF": "SAO",
    "CMES": "CMX NYM CME CBT",
    "IEPA": "NYB",
    "XAMS": "AMS",
    "XASX": "ASX",
    "XBKK": "SET",
    "XBOM": "BSE NSI",
    "XBRU": "BRU",
    "XBUD": "BUD",
    "XBUE": "BUE",
    "XCSE": "CPH",
    "XDUB": "ISE",
    "XDUS": "DUS",
    "XETR": "GER",
    "XFRA": "FRA",
    "XHAM": "HAM",
    "XHEL": "HEL",
    "XHKG": "HKG",
    "XICE": "ICE",
    "XIDX": "JKT",
    "XIST": "IST",
    "XJSE": "JNB",
    "XKLS": "KLS",
    "XKRX": "KSC KOE",
    "XLIS": "LIS",
    "XLON": "LSE IOB",
    "XMAD": "MCE",
    "XMEX": "MEX",
    "XMIL": "MIL",
    "XNAS": "NMS NGM NCM NAS NIM",
    "XNYS": "NYQ NYS PCX BTS ASE SNP DJI PNK OQB OQX OEM WCB CXI",
    "XNZE": "NZE",
    "XOSL": "OSL",
    "XPAR": "PAR",
    "XPRA": "PRA",
    "XSAU": "SAU",
    "XSES": "SES",
    "XSGO": "SGO",
    "XSHG": "SHH SHZ",
    "XSTO": "STO",
    "XSTU": "STU",
    "XSWX": "EBS",
    "XTAE": "TLV",
    "XTAI": "TAI TWO",
    "XTKS": "JPX OSA",
    "XTSE": "TOR VAN",
    "XWAR": "WSE",
    "XWBO": "VIE",
}
_VENUES: Mapping[str, str] = MappingProxyType(
    {code: venue for venue, codes in _EXCHANGES.items() for code in codes.split()}
)


class YahooSource(Frozen):
    """`source = "yahoo"`."""

    source: Literal["yahoo"] = "yahoo"
    start: date = date(2000, 1, 1)
    """First session asked for of a symbol that is not stored yet."""
    venues: dict[str, str] = Field(default_factory=dict)
    """Symbol -> venue, where Yahoo's own exchange code is not one this source can place."""

    def open(self, around: Surroundings) -> "Yahoo":
        return Yahoo(self.start, self.venues, around.cache, Patience(LIMITS))


class Yahoo:
    """Yahoo Finance. One of it in a process, and one thread at a time: the client keeps one session for all."""

    name = NAME
    remote = True

    def __init__(
        self,
        start: date,
        venues: Mapping[str, str],
        cache: Path,
        patience: Patience,
        session: Session[Response] | None = None,
    ) -> None:
        self._start, self._venues, self._patience = start, dict(venues), patience
        self._session = ChartSession(patience) if session is None else session
        yfinance.set_tz_cache_location(str(cache))
        yfinance.config.debug.hide_exceptions = False  # else an outage looks like an empty frame
        yfinance.config.network.retries = 0  # patience alone asks again

    def bars(self, symbol: str, since: date | None, now: datetime) -> Reply:
        """Bars and actions from `since` (None: from the configured start) up to the session open at `now`.

        yfinance makes volumes 64-bit integers (0 where Yahoo has none, negative where one is too large), and dates an
        action whose session has no bar to the bar before it.

        Raises:
            UnknownSymbol: It cannot be a symbol; nothing was sent.
            SourceError: Of the kind that fits.
        """
        if not SYMBOL.fullmatch(symbol):
            raise UnknownSymbol(symbol, ())
        if is_isin(symbol):  # the client would look up the ticker elsewhere and answer under that
            raise NotListed(NAME, symbol, "this is an ISIN; name the symbol")
        return self._patience.call(NAME, symbol, lambda: self._ask(symbol, since or self._start, now))

    def _ask(self, symbol: str, first: date, now: datetime) -> Reply:
        YfData.cache_get.cache_clear()  # it keeps a bad answer about the past for the life of the process
        # The client's own business, by where it comes from. Not undone: filters belong to the process, not the thread.
        warnings.filterwarnings("ignore", category=pd.errors.Pandas4Warning, module=r"yfinance\.")
        ticker = yfinance.Ticker(symbol, session=self._session)
        try:
            frame = ticker.history(
                start=first,
                end=now.date() + timedelta(days=2),  # exclusive, in a time zone that may be a day ahead
                interval="1d",
                auto_adjust=False,
                actions=True,
                keepna=True,
                repair=False,
            )
            listing = self._listing(symbol, ticker.get_history_metadata())
            frame = frame[frame.index <= pd.Timestamp(now)]
            if frame.empty:
                raise EmptyRange(NAME, symbol, f"no bars from {first} on")
            return _reply(listing, frame)
        except SourceError:
            raise
        except YFPricesMissingError as error:
            self._listing(symbol, ticker.get_history_metadata())
            raise EmptyRange(NAME, symbol, f"no bars from {first} on") from error
        except Exception as error:  # odd JSON breaks the client, or what it gives, in any way there is
            raise _meaning(symbol, error) from error

    def _listing(self, symbol: str, meta: Mapping[str, Any]) -> Listing:
        """What the reply says it is about.

        Raises:
            SourceTemporary: It does not say.
            ReplyRefused: Another symbol, or an exchange without a known venue.
        """
        if "symbol" not in meta:
            raise SourceTemporary(NAME, symbol, "its answer does not say what it is about")
        if meta["symbol"] != symbol:
            raise ReplyRefused(NAME, symbol, f"the answer is about {str(meta['symbol'])[:16]!r}")
        exchange = str(meta.get("exchangeName"))
        venue = self._venues.get(symbol) or _VENUES.get(exchange)
        if venue is None:
            problem = f"its exchange {exchange[:16]!r} has no known venue; name one under venues in the run file"
            raise ReplyRefused(NAME, symbol, problem)
        return Listing(symbol, venue, str(meta.get("currency") or NO_CURRENCY))


class ChartSession(Session[Response]):
    """The way out to Yahoo: daily charts and nothing else, each paced, timed and judged.

    Charts are given without cookie and crumb, so the client's calls for these (which a refusal would multiply, and
    whose cookies it would keep pickled on disk) end here, and so does whatever else it tries when a chart is refused.
    """

    def __init__(self, patience: Patience) -> None:
        super().__init__(impersonate="chrome")
        self._patience = patience

    def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Response:
        """The answer to a chart request, if it is one with status 200.

        Raises:
            SourceError: What any other status means.
            OSError: The transport failed, or this was no chart request.
        """
        chart = _CHART.fullmatch(url)
        if chart is None:
            raise _NotSent("not a chart")
        self._patience.pace()
        # curl's timeout is a total; 0 would be none. A redirect leads to a page, never to a chart.
        kwargs |= {"timeout": max(self._patience.left(), 0.1), "allow_redirects": False}
        response = super().request(method, url, *args, **kwargs)
        _judge(chart[1], response.status_code, response.text)
        return response


class _NotSent(DNSError, ChunkedEncodingError):
    """The two errors at which the client goes on without a cookie, in silence."""


def _judge(symbol: str, status: int, text: str) -> None:
    """Raise what a chart's status means, unless it is 200."""
    if status == 200:
        return
    if status == 429:
        raise RateLimited(NAME, symbol, "too many requests (429)")
    try:
        reason = str(json.loads(text)["chart"]["error"]["description"])
    except (ValueError, LookupError, TypeError):
        reason = ""
    if status == 404 and reason.startswith("No data found"):
        raise NotListed(
            NAME,
            symbol,
            "no such symbol, or it is delisted (404); write it as Yahoo does, with its ending, such as SAP.DE",
        )
    if status == 400 and reason.startswith("Data doesn't exist"):
        raise EmptyRange(NAME, symbol, "no bars in the range asked for (400)")
    raise SourceTemporary(NAME, symbol, f"answered with status {status}")


def _meaning(symbol: str, error: Exception) -> SourceError:
    """What an error of the client or the transport says about the source; its own text may hold a URL."""
    if isinstance(error, YFRateLimitError):
        return RateLimited(NAME, symbol, "too many requests (429)")
    if isinstance(error, OSError) and not isinstance(error, ValueError):  # a JSONDecodeError may be both
        return SourceTemporary(NAME, symbol, no_way(type(error).__name__))
    return SourceTemporary(NAME, symbol, f"its answer cannot be read ({type(error).__name__})")


def _reply(listing: Listing, frame: pd.DataFrame) -> Reply:
    """A frame of yfinance (exchange-local midnights, title-case columns) in the house's columns."""
    # The exchange's own date: as an instant, a midnight east of Greenwich is the day before.
    sessions = pd.DatetimeIndex(frame.index).tz_localize(None).normalize()
    bars = frame.rename(columns=str.lower).assign(session=sessions)[list(BAR_COLUMNS)]
    events = frame[[column for column in _ACTIONS if column in frame]].rename_axis("session").reset_index()
    actions = events.assign(session=sessions).melt("session", var_name="kind")
    actions = actions.astype({"value": float}).replace({"kind": dict(_ACTIONS)})
    # A fund's dividend and its capital gain of one day are one payment.
    paid = actions[actions["value"] != 0.0].groupby(["session", "kind"])["value"].sum().reset_index()
    return Reply(
        listing,
        bars.astype(dict.fromkeys(BAR_COLUMNS[1:], float)).reset_index(drop=True),
        paid[list(ACTION_COLUMNS)],
        split_adjusted=True,
    )
