"""Secrets: where they come from, and how they are kept out of what is told."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus, urlsplit

from forecaster.errors import ConfigError

NAMES = (
    "FRED_API_KEY",
    "FORECASTER_WEBHOOK_URL",
    "FORECASTER_WEBHOOK_SECRET",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PGPASSWORD",
    "OTEL_EXPORTER_OTLP_HEADERS",
)
"""Settings that are secrets, or may hold one."""
ADDRESSES = ("FORECASTER_DATABASE_URL", "MLFLOW_TRACKING_URI", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Settings that are no secrets but for a password in them."""

_SHORTEST = 4
"""Characters; what is shorter would be blotted out of half the words."""
_BLOT = "***"
_IN_AN_ADDRESS = re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/@:'\"]*:)[^\s/@'\"]+(@)")


def secret(environment: Mapping[str, str], name: str) -> str | None:
    """A secret: NAME, or what is in the file that NAME_FILE names; None where neither is set.

    Raises:
        ConfigError: The file cannot be read.
    """
    path = environment.get(f"{name}_FILE")
    if environment.get(name) or not path:
        return environment.get(name, "").strip() or None
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read ({type(error).__name__}); name a file that holds the key"
        raise ConfigError(f"{name}_FILE", problem) from None


class Blotter:
    """Blots secrets out of text: those given, and passwords in addresses."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # As they are, as Python and JSON write them, and as addresses do.
        ways = (str, lambda one: repr(one)[1:-1], lambda one: quote(one, safe=""), quote_plus)
        plain = {way(one) for one in secrets for way in ways}
        written = plain | {json.dumps(one)[1:-1] for one in plain}
        told = sorted(
            (form for form in written if len(form) >= _SHORTEST), key=len, reverse=True
        )  # one may hold another
        self._secrets = re.compile("|".join(map(re.escape, told))) if told else None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Blotter":
        """For the secrets of an environment; a file that cannot be read is for whoever needs it to complain of."""
        found: set[str] = set()
        for name in NAMES:
            try:
                value = secret(environment, name)
            except ConfigError:
                continue
            found |= {value} if value else set()
        found |= {part for value in found if "://" in value for part in _after_the_host(value)}
        passwords = (_password(environment.get(name, "")) for name in ADDRESSES)
        return cls(found | {one for one in passwords if one})

    def blot(self, text: str) -> str:
        """The text without them."""
        hidden = _IN_AN_ADDRESS.sub(rf"\1{_BLOT}\2", text)
        return hidden if self._secrets is None else self._secrets.sub(_BLOT, hidden)


def _after_the_host(address: str) -> list[str]:
    """What HTTP clients log without the host: path and query."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return []
    return [one for one in (f"{parts.path}?{parts.query}", parts.path.strip("/"), parts.query) if one]


def _password(address: str) -> str | None:
    try:
        return urlsplit(address).password
    except ValueError:
        return None
