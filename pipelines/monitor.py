"""Monitor: hold a session against what came before it, and raise an alarm where the inputs, the scores, the coverage or
the age of the data are not what they were. An alarm asks for a retraining; it promotes nothing."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from sqlalchemy import Engine

from forecaster import drift
from forecaster.artifact import Manifest
from forecaster.contract import Dates, Floats
from forecaster.drift import Reference
from forecaster.errors import ConfigError, NoHistory
from forecaster.features import parse, subjects
from forecaster.store import history
from forecaster.store.alarms import Alarm, AlarmKind, add_alarms, alarms
from forecaster.store.artifacts import load_artifact
from forecaster.store.champions import promotions
from forecaster.store.database import reading
from forecaster.store.history import read_facts
from forecaster.store.scores import Outcome, outcomes_ahead
from forecaster.store.visits import last_heard, last_visit
from pipelines.config import RunConfig
from pipelines.coverage import Coverage, calendar_around, naive
from pipelines.snapshot import windows_of
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)

_TESTS: tuple[AlarmKind, ...] = ("inputs", "scores", "coverage")
_VISITS = timedelta(hours=17)  # from a cut-off on in which its session's visits are made; the next one's is later


@dataclass(frozen=True)
class Watch:
    """One thing that is watched, as it stands at a session."""

    kind: AlarmKind
    subject: str
    """A symbol or a series; empty for the whole target."""
    statistic: float
    """The highest since the test began."""
    threshold: float
    """An alarm from here on."""
    sessions: int
    """That the test has seen; of an age, how many are lacking (of a series: days)."""
    says: str
    """What is behind the statistic."""

    @property
    def alarming(self) -> bool:
        """Whether it is an alarm."""
        return self.statistic >= self.threshold

    def row(self) -> dict[str, str]:
        """For a table."""
        held = f"{self.statistic:.3g}", f"{self.threshold:g}", str(self.sessions)
        names = ("watched", "statistic", "alarm at", "sessions")
        return dict(zip(names, (f"{self.kind} {self.subject}", *held), strict=True))


def monitor(workspace: Workspace, session: date) -> list[Alarm]:
    """The alarms of a session; new ones are written down.

    It knows what the store knew of sessions up to `session`. A second call writes nothing new.

    Raises:
        ConfigError: The venue has no such session.
    """
    return raise_alarms(workspace, session, watch(workspace, session))


def raise_alarms(workspace: Workspace, session: date, watched: Sequence[Watch]) -> list[Alarm]:
    """Write down what is alarming among what is watched; all alarms of the session."""
    engine, key = workspace.engine, workspace.config.target.key
    raised = [
        Alarm(key, one.kind, one.subject, session, one.statistic, one.threshold, one.says, workspace.now)
        for one in watched
        if one.alarming
    ]
    if raised and add_alarms(engine, raised):
        for one in raised:
            facts = {"kind": one.kind, "subject": one.subject, "session": str(session)}
            log.warning(one.says, extra={"target": key, **facts, "statistic": one.statistic})
    return [one for one in alarms(engine, key) if one.session == session]


def watch(workspace: Workspace, session: date) -> list[Watch]:
    """Everything that is watched at a session, each since the last alarm of its kind before it.

    Raises:
        ConfigError: The venue has no such session.
    """
    engine, config = workspace.engine, workspace.config
    at = _cutoff(config.target.venue, session)
    before = [one for one in alarms(engine, config.target.key) if one.session < session]
    last = {kind: max((one.session for one in before if one.kind == kind), default=None) for kind in _TESTS}
    found = _inputs(engine, config, session, at, last["inputs"])
    scored = outcomes_ahead(engine, config.target.key, last["scores"], session)
    found += _scores([one for one in scored if one.walk is not None])
    found += _coverage(outcomes_ahead(engine, config.target.key, last["coverage"], session))
    found += [_age(engine, symbol, session, at, before) for symbol in config.data.symbols]
    return found + [_silence(engine, series, session, at, before) for series in config.data.series]


def last_settled(workspace: Workspace) -> date:
    """The newest session of the target's venue whose cut-off has passed."""
    now, venue = workspace.now, workspace.config.target.venue
    calendar = calendar_around(venue, now.date() - timedelta(days=30), now.date())
    settled: date = calendar.sessions[calendar.cutoffs <= np.datetime64(naive(now))][-1].item()
    return settled


def _cutoff(venue: str, session: date) -> datetime:
    calendar = calendar_around(venue, session, session)
    cutoffs = calendar.cutoffs[calendar.sessions == np.datetime64(session)].tolist()
    if not cutoffs:
        raise ConfigError("session", f"{venue} does not trade on {session}; name one of its sessions")
    at: datetime = cutoffs[0].replace(tzinfo=UTC)
    return at


def _inputs(engine: Engine, config: RunConfig, session: date, at: datetime, last: date | None) -> list[Watch]:
    """Rows after those that the champion was trained on, held against them; nothing without a year of them."""
    manifest = _in_charge(engine, config.target.key, at)
    if manifest is None:
        return []
    reads = config.model_copy(update={"target": manifest.target, "window": manifest.window})
    names, sessions, rows = _rows(engine, reads, session, at)
    ended = manifest.trained_until
    trained = sessions <= np.datetime64(ended)
    if trained.sum() < drift.YEAR:
        return []
    later = rows[sessions > np.datetime64(max(ended, last or ended))]
    path = Reference(rows[trained], names).path(later)
    highest = float(path.highest.max(initial=0.0))
    about = "" if not len(later) else f"{path.told(int(np.argmax(path.highest)))}: "
    says = f"inputs: {about}{highest:.2f} of what a quiet year stays below, against data to {ended}"
    return [Watch("inputs", "", highest, 1.0, len(later), says)]


def _in_charge(engine: Engine, target: str, at: datetime) -> Manifest | None:
    """The champion's manifest at a moment; of the first champion where there was none yet."""
    moves = promotions(engine, target)
    if not moves:
        return None
    then = next((move for move in moves if move.created_at <= at), moves[-1])
    return load_artifact(engine, then.digest).manifest


def _rows(engine: Engine, reads: RunConfig, session: date, at: datetime) -> tuple[tuple[str, ...], Dates, Floats]:
    """Channels of all of the target's symbols side by side: names [C], sessions [T] and rows [T, C] without holes."""
    target, features = reads.target, reads.window.features
    table = reads.features.table
    facts = read_facts(engine, at, {*target.symbols, *subjects(features, table, target.symbols)})
    each = [windows_of(facts, reads, symbol, last_heard(engine, symbol, at + _VISITS)) for symbol in target.symbols]
    sessions = each[0].sessions
    for windows in each[1:]:
        sessions = np.intersect1d(sessions, windows.sessions)
    sessions = sessions[sessions <= np.datetime64(session)]
    columns: dict[str, Floats] = {}
    for symbol, windows in zip(target.symbols, each, strict=True):
        here = np.isin(windows.sessions, sessions)
        for number, name in enumerate(features):
            own = parse(name, table)[1] in (None, "others") and len(each) > 1
            columns.setdefault(f"{symbol} {name}" if own else name, windows.values[here, number])
    rows = np.column_stack(list(columns.values()))
    whole = np.isfinite(rows).all(axis=1)
    return tuple(columns), sessions[whole], rows[whole]


def _scores(scored: Sequence[Outcome]) -> list[Watch]:
    """Whether forecasts one session ahead have become worse than the random walk's beside them."""
    if not scored:
        return []
    stated, walk = (np.array([getattr(one, name) for one in scored]) for name in ("stated", "walk"))
    gain = np.array([one.crps_walk - one.crps for one in scored if one.crps_walk is not None])
    path = drift.evidence(drift.by_session(drift.worse(stated, walk, gain), [one.session for one in scored]))
    mean = 1 - sum(one.crps for one in scored) / sum(one.crps_walk or 0.0 for one in scored)
    says = f"scores: skill {mean:+.1%} against the random walk over {len(path)} sessions since {scored[0].session}"
    return [Watch("scores", "", float(path.max()), drift.PATIENCE, len(path), says)]


def _coverage(scored: Sequence[Outcome]) -> list[Watch]:
    """Whether central intervals one session ahead hold what they promise; all intervals are one bet."""
    if not scored:
        return []
    below, sessions = np.array([one.below for one in scored]), [one.session for one in scored]
    paths = [
        drift.evidence(drift.by_session(drift.missed(below, number), sessions))
        for number in range(len(drift.INTERVALS))
    ]
    path = np.mean(paths, axis=0)
    shares = (
        f"{drift.held(below, number).mean():.0%} in {rate:.0%}" for number, (rate, _) in enumerate(drift.INTERVALS)
    )
    says = f"coverage: {' and '.join(shares)} over {len(path)} sessions since {scored[0].session}"
    return [Watch("coverage", "", float(path.max()), drift.PATIENCE, len(path), says)]


def _age(engine: Engine, symbol: str, session: date, at: datetime, before: Sequence[Alarm]) -> Watch:
    """Whether a symbol's bars have kept up; one alarm for one gap."""
    known = history.all_instruments(engine)
    if symbol not in known:
        raise NoHistory(symbol)
    venue = known[symbol].venue
    with reading(engine).connect() as connection:
        dates = [day for day in history.dates(connection, history.bars_of(symbol)) if day <= session]
    if not dates:
        return _behind(symbol, None, 0, before)
    settled = Coverage(dates, calendar_around(venue, dates[0], session), at).settled
    lacking = [day for day in settled if dates[-1] < day <= session]
    return _behind(symbol, lacking[0] if lacking else None, len(lacking), before)


def _silence(engine: Engine, series: str, session: date, at: datetime, before: Sequence[Alarm]) -> Watch:
    """Whether a series' source has answered since it should have; it alone knows when there is something to say."""
    told = last_visit(engine, series, until=at + _VISITS)
    since = None if told is None or told.stale_since is None or told.stale_since > session else told.stale_since
    return _behind(series, since, 0 if since is None else max((session - since).days, 1), before)


def _behind(subject: str, since: date | None, count: int, before: Sequence[Alarm]) -> Watch:
    """Sessions (of a series: days) behind that no alarm has told of yet."""
    if since is None:
        return Watch("age", subject, 0.0, 1.0, 0, f"age: {subject} is up to date")
    said = any(one.kind == "age" and one.subject == subject and one.session >= since for one in before)
    says = f"age: {subject} lacks what was due on {since}; see what `forecaster fetch` says of its source"
    return Watch("age", subject, 0.0 if said else float(count), 1.0, count, says)
