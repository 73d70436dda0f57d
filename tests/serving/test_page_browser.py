"""The page in a real browser: every view and error, phone and dark, by keyboard, for a screen reader."""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from page_server import SCREENS, VIEWS, chromium, served, settle
from page_store import BARE, HORIZON, NOW, OTHER, PAST, SYMBOL, Market, issue, page_store
from small_store import SmallStore, small_artifact

from forecaster.store.history import Row, actions_of, add_rows, bars_of
from pipelines.keys import create

SCREENSHOTS = os.environ.get("SCREENSHOTS")


@pytest.fixture(scope="module")
def browser():
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = page_store(tmp_path_factory.mktemp("page") / "home")
    yield made
    made.engine.dispose()


@pytest.fixture(scope="module")
def address(store):
    with served(store.home, NOW) as where:
        yield where


@pytest.fixture(scope="module")
def windows(browser):
    """A window a screen; files of the page are kept in it from one test to the next."""
    made = {screen: browser.new_context(**what) for screen, what in SCREENS.items()}
    for window in made.values():
        window.set_default_timeout(90_000)  # the charting library alone costs a second of a processor that is free
    return made


@pytest.fixture
def opened(windows, address):
    """Opens a view; at the end nothing was complained of, and nobody else was asked for anything."""
    said, hosts, pages = [], set(), []

    def open_view(query="", screen="light", at=address):
        page = windows[screen].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
        page.goto(f"{at}/{query}")
        pages.append(page)
        return page

    yield open_view
    for page in pages:
        page.evaluate("localStorage.clear()")
        page.close()
    assert hosts <= {"127.0.0.1"}
    # The browser itself remarks on answers with an error status; ours must not add to it.
    assert [text for text in said if not text.startswith("Failed to load resource")] == []


def see(page, view):
    settle(page, view)
    return page.locator(f"#{view}")


def keep(page, name):
    if SCREENSHOTS:
        Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


def view_of(view, symbol=SYMBOL):
    return f"?symbol={symbol}&view={view}"


def asked(address, path):
    answer = httpx.get(f"{address}/{path}", timeout=60)
    answer.raise_for_status()
    return answer.json()


def rows_of(panel, name):
    table = panel.get_by_role("table", name=name)
    return [
        [cell.strip() for cell in row.locator("th, td").all_inner_texts()] for row in table.locator("tbody tr").all()
    ]


def test_the_forecast_is_told_in_words_and_figures(opened, address):
    page = opened(view_of("forecast"))
    panel = see(page, "forecast")
    forecast = asked(address, f"v1/forecasts/{SYMBOL}")
    last = forecast["steps"][-1]["price_quantiles"]
    low, high = (last[forecast["levels"].index(level)] for level in (0.1, 0.9))
    words = panel.inner_text()
    assert "Closed at 2,506.85 USD on Mon 31 Dec 2018. By Tue 8 Jan 2019, 5 sessions ahead" in words
    assert f"between {low:,.0f} and {high:,.0f} USD" in words
    assert "Fresh: 1 day old" in words
    assert "Passed the gate" in words
    assert f"n = {PAST - 1}" in words
    assert f"lstm, version {forecast['model']['version']}" in words
    assert forecast["model"]["digest"][:12] in words
    assert [row[1] for row in rows_of(panel, "Close of each session")] == [str(step + 1) for step in range(HORIZON)]
    page.get_by_text("Past prices as a table").click()
    assert len(rows_of(panel, "Prices in USD")) == 120


def test_no_column_of_the_past_is_cut_off_in_a_narrow_window(opened):
    page = opened(view_of("past"))
    page.set_viewport_size({"width": 1000, "height": 900})
    frame = see(page, "past").get_by_role("region", name="One session ahead")
    assert frame.evaluate("frame => frame.scrollWidth - frame.clientWidth") == 0


def test_the_random_walk_is_not_tested_against_itself(opened):
    panel = see(opened(view_of("models")), "models")
    walk = next(row for row in rows_of(panel, "The best first") if row[0] == "naive")
    assert walk[3:6] == ["\N{EN DASH}"] * 3


def test_fewer_or_more_prices_can_be_shown(opened):
    page = opened(view_of("forecast"))
    panel = see(page, "forecast")
    candles = panel.locator(".boxlayer path.box")
    seen = []
    for span in (20, 120):
        panel.get_by_role("radio", name=str(span), exact=True).check(force=True)
        candles.nth(span - 1).wait_for(state="attached")
        seen.append(candles.count())
    assert seen == [20, 120]


def test_past_forecasts_stand_beside_what_came(opened, address):
    page = opened(view_of("past"))
    panel = see(page, "past")
    outcomes = [row[5] for row in rows_of(panel, "One session ahead")]
    steps = [
        one["steps"][0] | {"levels": one["levels"]}
        for one in asked(address, f"v1/forecasts/{SYMBOL}/history?limit=60")["forecasts"]
    ]
    edges = [[step["price_quantiles"][step["levels"].index(level)] for level in (0.1, 0.9)] for step in steps]
    expected = [
        "waiting" if step["price"] is None else "● inside" if low <= step["price"] <= high else "◆ outside"
        for step, (low, high) in zip(steps, edges, strict=True)
    ]
    assert outcomes == expected
    inside, outside = expected.count("● inside"), expected.count("◆ outside")
    assert f"{inside} of {inside + outside}" in panel.locator(".lede").inner_text()
    assert outside > 0
    page.get_by_role("button", name="Show older forecasts").click()
    page.get_by_text("80% interval, backfilled").wait_for()
    kinds = [row[-1] for row in rows_of(panel, "One session ahead")]
    assert (kinds.count("live"), kinds.count("backfill")) == (PAST, 40)
    assert page.get_by_role("button", name="Show older forecasts").count() == 0


def test_the_track_record_keeps_live_and_backfilled_apart(opened, address):
    page = opened(view_of("record"))
    panel = see(page, "record")
    record = asked(address, f"v1/track-record?symbol={SYMBOL}")
    for name, kind in (("Live", "live"), ("Backfilled", "backfilled")):
        rows = rows_of(panel, name)
        assert [int(row[1]) for row in rows] == [line["n"] for line in record[kind]]
        assert [row[6] for row in rows] == [f"{line['coverage']['80%']:.1%}" for line in record[kind]]
    assert f"Over {PAST - 1} sessions, 1 session ahead" in panel.locator(".lede").inner_text()
    assert panel.locator(".chart .main-svg").count() >= 4


def test_the_leaderboard_and_the_gate_give_their_reasons(opened, address):
    page = opened(view_of("models"))
    panel = see(page, "models")
    board = asked(address, f"v1/leaderboard?target={SYMBOL}-return-5")
    assert [row[0] for row in rows_of(panel, "The best first")] == [row["model"] for row in board["comparison"]["rows"]]
    assert rows_of(panel, "The best first")[0][-1] == "in charge, put to the gate"
    decisions = panel.locator(".decisions > li").all_inner_texts()
    assert ["✓ passed" in said for said in decisions] == [True, False]
    assert "It did not pass “better than the random walk” (skill +0.10% (s.e. 0.12%), p = 0.2" in decisions[1]
    panel.get_by_text("4 questions of the gate").last.click()
    answers = [row[1] for row in rows_of(panel, "What the gate asked of har")]
    assert answers == ["✓ yes", "✓ yes", "✕ no", "✓ yes"]


@pytest.mark.parametrize("screen", SCREENS)
def test_every_view_fits_its_screen_and_axe_finds_nothing(opened, screen):
    page = opened(view_of("forecast"), screen)
    for view in VIEWS:
        page.locator(f"#tab-{view}").click()
        panel = see(page, view)
        keep(page, f"{view}-{screen}")
        panel.get_by_text("How to read this").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS[screen]["viewport"]["width"]
        found = None if screen == "phone" else Axe().run(page)
        assert found is None or found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize(("path", "part"), [("docs", ".operation:nth-of-type(-n + 2)"), (f"?symbol={BARE}", "main")])
def test_axe_finds_nothing_on_other_pages(opened, path, part):
    page = opened(path)
    page.locator(".trouble, .operation").first.wait_for()
    found = Axe().run(page, context=part)
    assert found.violations_count == 0, found.generate_report()


def test_charts_follow_the_scheme(opened):
    page = opened(view_of("forecast"), "light")
    panel = see(page, "forecast")
    paper = "() => getComputedStyle(document.querySelector('#forecast .main-svg')).backgroundColor"
    seen = [page.evaluate(paper)]
    page.emulate_media(color_scheme="dark")
    panel.locator(".main-svg[style*='rgb(17, 21, 27)']").first.wait_for()
    seen += [page.evaluate(paper), page.evaluate("getComputedStyle(document.documentElement).backgroundColor")]
    assert seen == ["rgb(255, 255, 255)", "rgb(17, 21, 27)", "rgb(17, 21, 27)"]


def test_nothing_moves_for_those_who_asked_for_it(opened):
    page = opened(view_of("forecast"))
    moving = "() => getComputedStyle(document.getElementById('tab-past')).transitionDuration"
    assert page.evaluate(moving) != "0s"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(moving) == "0s"


def test_symbol_and_view_are_in_the_url_and_back_goes_back(opened):
    page = opened()
    see(page, "forecast")
    assert page.get_by_role("heading", level=1).inner_text() == SYMBOL
    page.get_by_role("tab", name="Track record").click()
    see(page, "record")
    page.get_by_label("Symbol").fill(OTHER.lower())
    page.get_by_role("button", name="Show").click()
    page.locator("#record", has_text="n = 0: nothing has matured yet").wait_for()
    assert urlsplit(page.url).query == "symbol=%5EIXIC&view=record"
    assert page.title() == f"{OTHER} · Track record · Forecaster"
    page.go_back()
    page.locator("#record", has_text=f"Over {PAST - 1} sessions").wait_for()
    page.go_back()
    see(page, "forecast")
    assert page.get_by_label("Symbol").input_value() == SYMBOL
    assert [one.get_attribute("value") for one in page.locator("#symbols option").all()] == [SYMBOL, OTHER]


def test_the_last_symbol_is_remembered(opened):
    page = opened(view_of("forecast", OTHER))
    see(page, "forecast")
    page.goto(page.url.split("?")[0])
    page.locator("h1", has_text=OTHER).wait_for()


def test_a_random_walk_says_that_it_is_one_and_words_stay_words(opened):
    page = opened(view_of("forecast", OTHER))
    words = see(page, "forecast").inner_text()
    assert "No skill over the random walk" in words
    assert "n = 0: nothing has matured yet" in words
    assert "<i>ar</i> was refused" in words
    assert page.locator("i").count() == 0


def test_an_old_forecast_is_called_stale(opened, store):
    with served(store.home, NOW.replace(month=2)) as later:
        page = opened(view_of("forecast"), at=later)
        words = see(page, "forecast").inner_text()
    assert "STALE: 32 days old" in words
    assert "the close was to lie between" in words


def test_after_a_split_prices_and_fan_are_in_the_same_shares(opened, tmp_path):
    store, market = SmallStore(tmp_path / "home"), Market.of(OTHER, 60)
    *before, last = market.rows
    issue(store, store.promote(small_artifact(OTHER, HORIZON)), market, range(-2, -1))
    with store.engine.begin() as connection:
        halves = Row(last.date, last.known_at, (*(price / 2 for price in last.values[:4]), last.values[4]))
        add_rows(connection, bars_of(OTHER), [*before, halves], NOW)
        add_rows(connection, actions_of(OTHER, "split"), [Row(last.date, last.known_at, (2.0,))], NOW)
    store.engine.dispose()
    with served(store.home, NOW) as where:
        page = opened(view_of("forecast", OTHER), at=where)
        assert "The stock was split since" in see(page, "forecast").inner_text()
        candles, middle = page.evaluate(
            "((data) => [data[0].close, data.at(-1).y])(document.querySelector('.chart').data)"
        )
    assert candles[-1] == pytest.approx(last.values[3] / 2)
    assert candles[-2] == pytest.approx(before[-1].values[3] / 2)
    assert middle == pytest.approx([candles[-2]] * (HORIZON + 1))


@pytest.mark.parametrize(
    ("query", "title", "advice"),
    [
        ("?symbol=AAPL", "Unknown symbol", "known here: MSFT, ^GSPC, ^IXIC"),
        (f"?symbol={BARE}", "No forecast issued yet", "run forecaster forecast MSFT"),
        ("?symbol=../x", "That is no symbol", "such as ^GSPC"),
        ("?symbol=AAPL&view=models", "No model is in charge", "Forecast here: ^GSPC ^IXIC"),
        ("?symbol=AAPL&view=record", "No champion yet", "Forecast here: ^GSPC ^IXIC"),
    ],
)
def test_what_cannot_be_shown_is_said_with_what_to_do(opened, query, title, advice):
    page = opened(query)
    alert = page.get_by_role("alert")
    assert title in alert.inner_text()
    assert advice in alert.inner_text()
    assert alert.get_by_role("link", name=SYMBOL).get_attribute("href") == "?symbol=%5EGSPC"


def test_a_service_that_goes_away_is_said_and_the_page_goes_on_when_it_is_back(opened, store):
    with served(store.home, NOW) as where:
        page = opened(view_of("forecast"), at=where)
        see(page, "forecast")
    page.get_by_role("tab", name="Past").click()
    assert "The service does not answer" in page.get_by_role("alert").inner_text()
    with served(store.home, NOW, port=urlsplit(where).port):
        page.get_by_role("button", name="Try again").click()
        see(page, "past").locator(".lede").wait_for()


def test_too_many_requests_is_said_with_how_long_to_wait(opened, store):
    with served(store.home, NOW, rate_per_second=0.01, burst=40) as where:
        page = opened(view_of("forecast"), at=where)
        see(page, "forecast")
        while httpx.get(f"{where}/v1/models", timeout=60).status_code == 200:
            pass
        page.get_by_role("tab", name="Past").click()
        said = page.get_by_role("alert").inner_text()
    assert "Too many requests" in said
    assert re.search(r"Try again in \d+ seconds", said)


def test_a_key_is_asked_for_kept_in_the_tab_and_forgotten(opened, store):
    good, _ = create(store.engine, "a reader", ("read",), NOW)
    with served(store.home, NOW, require_key=True) as where:
        page = opened(view_of("forecast"), at=where)
        assert "asks for a key" in page.get_by_role("alert").inner_text()
        keep(page, "key")
        page.get_by_label("Key").fill("fk_000000000000_wrong")
        page.get_by_role("button", name="Use this key").click()
        page.get_by_role("alert").get_by_text("This key is not valid").wait_for()
        page.get_by_label("Key").fill(good)
        page.get_by_role("button", name="Use this key").click()
        see(page, "forecast").locator(".lede").wait_for()
        assert page.evaluate("[sessionStorage.length, Object.values(localStorage)]") == [1, [SYMBOL]]
        assert good not in page.content()
        page.get_by_role("button", name="Forget the key").click()
        page.get_by_role("alert").get_by_text("asks for a key").wait_for()


def test_without_its_library_the_page_shows_its_tables_and_says_so(browser, address):
    page = browser.new_page()
    page.route("**/plotly.min.js", lambda route: route.abort())
    page.goto(f"{address}/{view_of('forecast')}")
    page.get_by_text("The chart cannot be drawn").wait_for()
    assert len(rows_of(page.locator("#forecast"), "Close of each session")) == HORIZON
    page.close()


def test_by_keyboard_alone(opened):
    page = opened(view_of("forecast"))
    see(page, "forecast")

    def focused(what="id"):
        return page.evaluate(f"document.activeElement.{what}")

    page.keyboard.press("Tab")
    assert focused("className") == "skip"
    page.keyboard.press("Tab")
    assert focused() == "symbol"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert focused() == "tab-forecast"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"
    for key, view in [
        ("ArrowRight", "past"),
        ("End", "models"),
        ("ArrowRight", "forecast"),
        ("ArrowLeft", "models"),
        ("Home", "forecast"),
    ]:
        page.keyboard.press(key)
        see(page, view)
        assert focused() == f"tab-{view}"
        assert page.locator("[role=tabpanel]:visible").get_attribute("id") == view
        assert page.locator("[aria-selected=true]").get_attribute("id") == f"tab-{view}"
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert page.locator(":checked + span").inner_text() == "120"
    page.keyboard.press("Tab")
    assert focused("getAttribute('aria-label')").startswith("Close of each session")


def test_the_skip_link_skips(opened):
    page = opened(view_of("forecast"))
    see(page, "forecast")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "tab-forecast"


def test_operations_are_listed_without_help_from_elsewhere(opened, address):
    page = opened("docs")
    page.locator(".operation").first.wait_for()
    schema = asked(address, "openapi.json")
    heads = page.locator(".operation h2").all_inner_texts()
    assert heads == [f"{method.upper()} {path}" for path, item in schema["paths"].items() for method in item]
    assert page.locator("#object-Forecast td code").count() > 0
    keep(page, "docs")
