"""The source that a run file names."""

from forecaster.errors import ConfigError
from pipelines.config import RunConfig
from pipelines.sources.base import Source
from pipelines.sources.files import Files
from pipelines.sources.sample import Sample


def open_source(config: RunConfig) -> Source:
    """The run's source.

    Raises:
        ConfigError: It needs a folder, and the run names none that exists.
    """
    data = config.data
    if data.source == "sample":
        return Sample()
    if data.folder is None or not data.folder.is_dir():
        raise ConfigError("[data] folder", f"source 'files' needs a folder that exists, not {str(data.folder)!r}")
    return Files(data.folder, config.target.venue)
