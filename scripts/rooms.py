"""Draw docs/images/rooms.svg, the map of the rooms, out of the code: `make reference`.

Which rooms stand together is said here; which rooms there are, what heavy packages they import and whether one wing
leans on the other is read from the code.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "images" / "rooms.svg"
HEAVY = {
    "alembic": "Alembic", "arch": "arch", "curl_cffi": "curl_cffi", "dbos": "DBOS", "fastapi": "FastAPI",
    "exchange_calendars": "exchange_calendars", "jinja2": "Jinja", "matplotlib": "matplotlib", "mlflow": "MLflow",
    "numba": "numba", "onnx": "ONNX", "onnxruntime": "onnxruntime", "opentelemetry": "OpenTelemetry",
    "optuna": "Optuna", "pandas": "pandas", "prometheus_client": "prometheus-client", "pyarrow": "pyarrow",
    "pydantic_settings": "pydantic-settings", "pytorch_lightning": "Lightning", "ray": "Ray", "requests": "requests",
    "rich": "rich", "scipy": "SciPy", "sqlalchemy": "SQLAlchemy", "torch": "torch", "typer": "Typer",
    "uvicorn": "uvicorn", "yfinance": "yfinance",
}  # fmt: skip
PLAN = {
    "pipelines": {
        "bring data in": "sources fetch quality coverage venue snapshot",
        "train": "train jobs workers engines recipe workspace carry",
        "search and study": "tune search spaces trial study bench",
        "compare": "compare scoring leaderboard explain look",
        "put in charge": "promote refresh rollback",
        "issue and score": "issue score monitor backfill",
        "work each session": "work timetable mirror webhook metrics",
        "prove": "leaks statement reproduce replay doctor",
        "keep": "home backup restore keys",
        "tell": "tracking record figures report templates terminal",
        "run files": "config complaint reading configs plugins",
        "command line": "cli front admitting keeping proving working options failure quiet demo",
    },
    "serving": {
        "door": "door protocol keys limits complaints problems",
        "answers": "routes schemas bodies forecasts issued demand prediction record bars models",
        "what is loaded": "engine shelf kept book tagged database",
        "page": "page",
        "run it": "app server settings metrics tracing spans",
    },
    "forecaster": {
        "time and words": "contract errors spelling sessions calendars rules logs hidden",
        "data": "facts panel features windows snapshot outlook worlds leaks",
        "models": "families training diagnostics",
        "a forecast": "artifact graph runtime stream components densities curve paths",
        "scores": "scores calibration hac significance multiple slices trading track",
        "who may be in charge": "gate drift",
        "at rest": "store",
    },
}
SAYS = {
    "pipelines": "what is done, and when: one verb a file",
    "serving": "answers over HTTP",
    "forecaster": "what things are: no clock, no sources, no HTTP",
}
STORE = {"pipelines": "writes and reads the store", "serving": "reads it"}
INK = {"pipelines": ("#e0f2f1", "#00796b"), "serving": ("#e8eaf6", "#3949ab"), "forecaster": ("#fff8e1", "#e65100")}
COLUMNS = {"pipelines": 4, "serving": 2, "forecaster": 4}
WIDTH, EDGE, GAP, LINE = 1080, 20, 10, 16


@dataclass(frozen=True)
class Box:
    """Rooms that stand together: their names and the heavy packages they import, in lines that fit."""

    title: str
    rooms: tuple[str, ...]
    heavy: tuple[str, ...]

    @property
    def height(self) -> int:
        """With room around the lines."""
        return 30 + LINE * (len(self.rooms) + len(self.heavy))


def main() -> None:
    """Draw it."""
    PICTURE.write_text(picture(), "utf-8")


def picture() -> str:
    """The whole map."""
    left = (WIDTH - 2 * EDGE - 40) * 2 // 3
    wings = {"pipelines": (EDGE, left), "serving": (EDGE + left + 40, WIDTH - 2 * EDGE - 40 - left)}
    drawn = []
    tall = max(house(wing, x, 60, width)[1] for wing, (x, width) in wings.items())
    for wing, (x, width) in wings.items():
        drawn.append(house(wing, x, 60, width, tall)[0])
        at = x + width // 2
        drawn.append(arrow(at, 60 + tall, at, 60 + tall + 46, STORE[wing]))
    ground, height = house("forecaster", EDGE, 60 + tall + 50, WIDTH - 2 * EDGE)
    bottom = 60 + tall + 50 + height + EDGE
    drawn += [ground, border(EDGE + left + 20, 60 + tall // 2), *outside(wings)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom}" '
        'font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="12">\n'
        "<title>The rooms: pipelines and serving stand on forecaster and never on each other</title>\n"
        '<defs><marker id="a" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 10 5 0 10z" fill="#455a64"/></marker></defs>\n'
        f'<rect width="{WIDTH}" height="{bottom}" fill="#fff"/>\n'
    )
    return head + "\n".join(drawn) + "\n</svg>\n"


def house(name: str, x: int, y: int, width: int, height: int | None = None) -> tuple[str, int]:
    """A folder with its boxes in rows, and how high it is."""
    paper, ink = INK[name]
    columns = COLUMNS[name]
    wide = (width - GAP * (columns + 1)) // columns
    boxes, parts, top = list(grouped(name, wide)), list[str](), y + 40
    for first in range(0, len(boxes), columns):
        row = boxes[first : first + columns]
        tall = max(box.height for box in row)
        parts += [cell(box, x + GAP + place * (wide + GAP), top, wide, tall, ink) for place, box in enumerate(row)]
        top += tall + GAP
    own = height or top - y
    frame = f'<rect x="{x}" y="{y}" width="{width}" height="{own}" rx="6" fill="{paper}" stroke="{ink}"/>'
    title = (
        f'<text x="{x + GAP}" y="{y + 26}" fill="{ink}"><tspan font-weight="bold" font-size="16">{name}/</tspan>'
        f'<tspan dx="10">{SAYS[name]}</tspan></text>'
    )
    return "\n".join((frame, title, *parts)), own


def grouped(wing: str, width: int) -> Iterator[Box]:
    """Its boxes: those of the plan, and one of what the plan does not name."""
    there = {
        path.stem for path in (ROOT / wing).iterdir() if path.suffix == ".py" or (path.is_dir() and any(path.iterdir()))
    }
    there = {name for name in there if not name.startswith("_")}
    planned = {title: rooms.split() for title, rooms in PLAN[wing].items()}
    named = {room for rooms in planned.values() for room in rooms}
    if named - there:
        sys.exit(f"{wing} has no room {', '.join(sorted(named - there))}: scripts/rooms.py names it")
    if there - named:
        planned["besides"] = sorted(there - named)
    for title, rooms in planned.items():
        heavy = {
            HEAVY[name.partition(".")[0]]
            for room, name in imports(wing)
            if room in rooms and name.partition(".")[0] in HEAVY
        }
        yield Box(title, lines(rooms, width), lines(sorted(heavy, key=str.lower), width))


def lines(words: list[str], width: int) -> tuple[str, ...]:
    """Words with commas, broken to a width."""
    made = [""]
    for word in words:
        longer = f"{made[-1]}, {word}" if made[-1] else word
        if len(longer) * 6.7 > width - 20 and made[-1]:
            made[-1] += ","
            made.append(word)
        else:
            made[-1] = longer
    return tuple(line for line in made if line)


def cell(box: Box, x: int, y: int, width: int, height: int, ink: str) -> str:
    """One box."""
    told = [(box.title, 'font-weight="bold" fill="#263238"')]
    told += [(line, 'fill="#263238" font-size="11"') for line in box.rooms]
    told += [(line, f'fill="{ink}" font-size="11" font-style="italic"') for line in box.heavy]
    texts = "".join(
        f'<text x="{x + 10}" y="{y + 20 + LINE * place}" {style}>{escape(line)}</text>'
        for place, (line, style) in enumerate(told)
    )
    frame = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4" fill="#fff" stroke="{ink}"'
    return f'{frame} stroke-opacity=".4"/>{texts}'


@cache
def imports(wing: str) -> list[tuple[str, str]]:
    """Room and module of every import in a folder."""
    found = []
    for path in sorted((ROOT / wing).rglob("*.py")):
        room = path.relative_to(ROOT / wing).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Import(names=names):
                    found += [(room, one.name) for one in names]
                case ast.ImportFrom(module=str(module), level=0):
                    found.append((room, module))
    return found


def border(x: int, y: int) -> str:
    """What crosses from wing to wing: nothing, but that the command line starts the service."""
    crossing = {(a, room, name) for a, b in (("pipelines", "serving"), ("serving", "pipelines"))
                for room, name in imports(a) if name.partition(".")[0] == b}  # fmt: skip
    if {(wing, room) for wing, room, _ in crossing} != {("pipelines", "cli")}:
        sys.exit(f"the wings import each other: {sorted(crossing)}")
    return (
        f'<text x="{x}" y="{y}" text-anchor="middle" fill="#c62828" font-size="22" font-weight="bold">&#215;</text>'
        f'<text x="{x}" y="{y + 18}" text-anchor="middle" fill="#455a64" font-size="10">but</text>'
        f'<text x="{x}" y="{y + 30}" text-anchor="middle" fill="#455a64" font-size="10">serve</text>'
    )


def outside(wings: dict[str, tuple[int, int]]) -> Iterator[str]:
    """Who comes to the wings."""
    for wing, words in (("pipelines", "sources, cron, a person"), ("serving", "browsers, programs, Prometheus")):
        x, width = wings[wing]
        yield f'<text x="{x + width // 2}" y="24" text-anchor="middle" fill="#455a64">{words}</text>'
        yield arrow(x + width // 2, 30, x + width // 2, 57)


def arrow(x: int, y: int, to_x: int, to_y: int, words: str = "") -> str:
    """An arrow, perhaps with words beside it."""
    said = f'<text x="{x + 10}" y="{(y + to_y) // 2 + 4}" fill="#455a64" font-size="11">{words}</text>' if words else ""
    return f'<path d="M{x} {y}L{to_x} {to_y}" stroke="#455a64" stroke-width="1.5" marker-end="url(#a)"/>{said}'


if __name__ == "__main__":
    main()
