"""A problem, as it is answered."""

from pydantic import Field

from forecaster.contract import Frozen


class Problem(Frozen):
    """Why there is no answer (RFC 9457)."""

    type: str = Field(description="What kind of problem.", examples=["urn:forecaster:unknown-symbol"])
    title: str = Field(description="The kind, in words.", examples=["Unknown symbol"])
    status: int = Field(description="HTTP status.", examples=[404])
    detail: str | None = Field(default=None, description="This problem, and what to do about it.")
    errors: list[str] | None = Field(default=None, description="What is wrong with the request, one a parameter.")
