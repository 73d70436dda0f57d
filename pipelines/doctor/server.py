"""An MLflow server, asked by plain HTTP: its own client tries seven times for minutes."""

from dataclasses import dataclass
from typing import Self

import requests

from pipelines.doctor.finding import Patient

_SECONDS = 3.0


@dataclass(frozen=True)
class Server:
    """Where it is."""

    url: str
    auth: tuple[str, str] | None
    token: str | None

    @classmethod
    def of(cls, patient: Patient) -> Self | None:
        """That of a run; None where MLflow is a database without a server."""
        uri = patient.home.tracking_uri
        if not uri.startswith(("http://", "https://")):
            return None
        env = patient.environment
        user, password = env.get("MLFLOW_TRACKING_USERNAME"), env.get("MLFLOW_TRACKING_PASSWORD")
        return cls(uri.rstrip("/"), (user, password) if user and password else None, env.get("MLFLOW_TRACKING_TOKEN"))

    def get(self, path: str, **query: str) -> requests.Response:
        """One question.

        Raises:
            requests.RequestException: No answer.
        """
        headers = {"Authorization": f"Bearer {self.token}"} if self.token and self.auth is None else {}
        return requests.get(
            self.url + path, params=query, auth=self.auth, headers=headers, timeout=_SECONDS, allow_redirects=False
        )
