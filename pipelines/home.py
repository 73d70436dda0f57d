"""The home directory: everything a user's runs leave behind, in one place."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from forecaster.errors import HomeUnwritable, StoreOutdated
from forecaster.store.database import connect, require_current, sqlite_url


@dataclass(frozen=True)
class Home:
    """Paths under FORECASTER_HOME; a shared database or MLflow server may replace the embedded ones."""

    root: Path
    database: str | None = None
    """SQLAlchemy URL; None for SQLite in the home."""
    tracking: str | None = None
    """MLflow tracking URI; None for SQLite in the home."""

    @property
    def database_url(self) -> str:
        return self.database or sqlite_url(self.root)

    @property
    def jobs_url(self) -> str:
        """Where it is kept what ran: beside the store where that is shared, in a file of its own where it is not."""
        return self.database or f"sqlite:///{self.root / 'jobs.db'}"

    @property
    def tracking_uri(self) -> str:
        return self.tracking or f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def models(self) -> Path:
        """Where MLflow keeps files, when it keeps them here."""
        return self.root / "mlflow"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def sources(self) -> Path:
        """What clients of sources keep: cookies, time zones."""
        return self.root / "sources"

    @property
    def checkpoints(self) -> Path:
        """Where a training that was interrupted goes on from."""
        return self.root / "checkpoints"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    def prepare(self) -> None:
        """Make the directory and prove that it can be written.

        Raises:
            HomeUnwritable: It cannot.
        """
        probe = self.root / f".probe.{os.getpid()}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"\0" * 65536)
        except (FileExistsError, NotADirectoryError) as error:
            raise HomeUnwritable(self.root, "a file is in its place") from error
        except OSError as error:
            raise HomeUnwritable(self.root, error.strerror or str(error)) from error
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)

    def open_store(self) -> Engine:
        """The store, brought up to date where it is not; the library that does it is loaded only then.

        Raises:
            HomeUnwritable: The home cannot be written.
            StoreOutdated: A version newer than this one has migrated it.
        """
        self.prepare()
        engine = connect(self.database_url)
        try:
            require_current(engine)
        except StoreOutdated:
            from forecaster.store.migrate import migrate

            migrate(engine)
        return engine
