import json
import subprocess
import sys

from serving.settings import Settings

HEAVY = ["torch", "pytorch_lightning", "lightning", "mlflow", "yfinance", "pandas", "pyarrow", "exchange_calendars"]
CREATE = """
import json, sys
from serving.app import create_app
create_app()
print(json.dumps(sorted(name.partition(".")[0] for name in sys.modules)))
"""


def test_the_service_loads_nothing_heavy_and_opens_nothing(tmp_path):
    environment = {"FORECASTER_HOME": str(tmp_path / "home"), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", CREATE], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(json.loads(done.stdout))
    assert "fastapi" in loaded
    assert loaded.isdisjoint({*HEAVY, "pipelines"})
    assert list(tmp_path.iterdir()) == []


def test_settings_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("FORECASTER_HOME", str(tmp_path))
    monkeypatch.setenv("FORECASTER_REFRESH_SECONDS", "0.5")
    settings = Settings()
    assert (settings.home, settings.refresh_seconds) == (tmp_path, 0.5)
    assert settings.store_url == f"sqlite:///{tmp_path}/forecaster.db"
    monkeypatch.setenv("FORECASTER_DATABASE_URL", "postgresql+psycopg://host/name")
    assert Settings().store_url == "postgresql+psycopg://host/name"
