"""The sessions that a venue keeps: the only room that imports exchange_calendars."""

from contextlib import suppress
from datetime import date

import exchange_calendars
from exchange_calendars.errors import InvalidCalendarName

from forecaster.errors import ConfigError
from forecaster.sessions import Calendar
from forecaster.spelling import guess


def trading_calendar(venue: str, start: date, end: date) -> Calendar:
    """Sessions of `venue` (ISO 10383 code) from `start` to `end`, both included.

    Where the holidays of the last years are not announced yet, the sessions end with the year before them.

    Raises:
        ConfigError: exchange_calendars has no such venue, or does not reach back that far.
    """
    try:
        calendar = _build(venue, start, end)
    except InvalidCalendarName as error:
        near = guess(venue, exchange_calendars.get_calendar_names(include_aliases=False)) or ";"
        problem = f"{venue!r} is not a venue that exchange_calendars knows{near} write its ISO 10383 code, such as XNYS"
        raise ConfigError("venue", problem) from error
    except (ValueError, NotImplementedError) as error:  # the library's own words can run to thousands of characters
        problem = f"exchange_calendars cannot give the sessions of {venue} from {start} to {end}; start later"
        raise ConfigError("venue", problem) from error
    sessions = calendar.closes.index.to_numpy().astype("datetime64[D]")
    opens, closes = (
        instants.dt.tz_convert(None).to_numpy().astype("datetime64[us]")
        for instants in (calendar.opens, calendar.closes)
    )
    return Calendar(venue, sessions, opens, closes)


def time_zone(venue: str) -> str:
    """IANA name of the time zone that a venue keeps."""
    return str(exchange_calendars.get_calendar(venue, start="2020-01-01", end="2020-12-31").tz)


def _build(venue: str, start: date, end: date) -> exchange_calendars.ExchangeCalendar:
    # Explicit bounds: the library's default is a rolling window that ends next year and begins 20 years ago.
    try:
        return exchange_calendars.get_calendar(venue, start=start.isoformat(), end=end.isoformat())
    except ValueError:
        # Some venues announce holidays for a year or two; a caller asks for at most two more.
        for year in (end.year - 1, end.year - 2):
            if date(year, 12, 31) > start:
                with suppress(ValueError):
                    return exchange_calendars.get_calendar(venue, start=start.isoformat(), end=f"{year}-12-31")
        raise
