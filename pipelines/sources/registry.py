"""Every source that a run file can name."""

from typing import Annotated

from pydantic import Field

from pipelines.sources.files import FilesSource
from pipelines.sources.fred import FredSource
from pipelines.sources.sample import SampleSource
from pipelines.sources.yahoo import YahooSource

AnyBars = Annotated[SampleSource | FilesSource | YahooSource, Field(discriminator="source")]
AnyMacro = Annotated[SampleSource | FilesSource | FredSource, Field(discriminator="source")]
