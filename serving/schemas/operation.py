"""How the service is, as it is answered."""

from typing import Literal

from pydantic import Field

from forecaster.contract import Frozen
from serving.database import State


class Health(Frozen):
    """The process runs."""

    status: Literal["ok"] = Field(description='Always "ok".', examples=["ok"])


class Ready(Frozen):
    """The service answers, and with what."""

    class Champion(Frozen):
        """A champion that answers."""

        target: str = Field(description="What it is in charge of.", examples=["^IXIC-return-5"])
        version: int = Field(description="Of the target's champions, counted from 1.", examples=[3])
        digest: str = Field(description="SHA-256 of its artifact.")

    class Refused(Frozen):
        """A promoted artifact that was not trusted; the champion before it, if any, goes on answering."""

        target: str = Field(description="What it was to be in charge of.", examples=["^IXIC-return-5"])
        digest: str = Field(description="What it should have been.")
        reason: str = Field(description="What was wrong with it.")

    status: Literal["ready"] = Field(description='Always "ready".', examples=["ready"])
    champions: list[Champion]
    database: State = Field(description='"up", "away" or "outdated" (needs a migration).', examples=["up"])
    refused: list[Refused]
