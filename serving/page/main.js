// The page: which symbol and which view stand in the URL, and what is shown of them.

import { get, key, Problem } from "./api.js";
import { el } from "./dom.js";
import * as forecast from "./forecast.js";
import * as models from "./models.js";
import * as past from "./past.js";
import * as record from "./record.js";
import { trouble } from "./trouble.js";

const VIEWS = { forecast, past, record, models };
const LAST = "forecaster.symbol";
const tabs = [...document.querySelectorAll("[role=tab]")];
const field = document.getElementById("symbol");

let turn = new AbortController(); // of what is being loaded: a newer wish ends an older one

function wished() {
  const query = new URLSearchParams(location.search);
  const view = query.get("view");
  return { symbol: query.get("symbol")?.toUpperCase(), view: Object.hasOwn(VIEWS, view) ? view : "forecast" };
}

const address = (wish) => `?${new URLSearchParams(Object.entries(wish).filter(([, value]) => value))}`;

function go(change) {
  history.pushState(null, "", address({ ...wished(), ...change }));
  return refresh();
}

async function refresh() {
  turn.abort();
  turn = new AbortController();
  const { signal } = turn;
  const wish = wished();
  const panel = document.getElementById(wish.view);
  select(wish);
  panel.setAttribute("aria-busy", "true");
  let content;
  try {
    content = await view(wish, signal);
  } catch (problem) {
    if (signal.aborted) return;
    if (!(problem instanceof Problem)) throw problem;
    content = [
      trouble(
        problem,
        refresh,
        [...document.getElementById("symbols").options].map((one) => one.value),
      ),
    ];
  } finally {
    if (!signal.aborted) panel.removeAttribute("aria-busy");
  }
  if (signal.aborted) return;
  panel.querySelector(".body").replaceChildren(...content);
  document.getElementById("said").textContent = `${document.title}: loaded`;
}

async function view(wish, signal) {
  const ask = (path, query) => get(path, query, signal);
  const known = await list(ask, wish.symbol);
  if (!wish.symbol) {
    wish.symbol = choose(known);
    history.replaceState(null, "", address(wish));
    select(wish);
  }
  if (!new RegExp(`^(?:${field.pattern})$`).test(wish.symbol)) throw new Problem(422);
  const about = known.find((one) => one.symbols.includes(wish.symbol));
  describe(about);
  const data = await VIEWS[wish.view].load(ask, { symbol: wish.symbol, target: about?.target });
  localStorage.setItem(LAST, wish.symbol);
  return VIEWS[wish.view].show(data);
}

// What the service forecasts. Without it a symbol that is named in the URL can still be asked for.
async function list(ask, symbol) {
  try {
    const { models: known } = await ask("v1/models");
    const symbols = known.flatMap((one) => one.symbols);
    document.getElementById("symbols").replaceChildren(...symbols.map((value) => el("option", { value })));
    return known;
  } catch (problem) {
    const elsewhere = problem instanceof Problem && symbol && ![0, 401, 403, 429].includes(problem.status);
    if (elsewhere) return [];
    throw problem;
  }
}

function choose(known) {
  const symbols = known.flatMap((one) => one.symbols);
  const last = localStorage.getItem(LAST);
  if (symbols.includes(last)) return last;
  if (symbols.length) return symbols[0];
  throw new Problem(404, {
    type: "no-champion",
    title: "No champion yet",
    detail: "no model has been put in charge; run `forecaster demo`",
  });
}

function describe(about) {
  document.getElementById("about").textContent = about ? `forecast by ${about.name}, version ${about.version}` : "";
}

function select({ symbol, view }) {
  document.title = [symbol, tabs.find((tab) => tab.id === `tab-${view}`).textContent, "Forecaster"]
    .filter(Boolean)
    .join(" · ");
  document.getElementById("name").textContent = symbol ?? "Forecaster";
  if (document.activeElement !== field) field.value = symbol ?? "";
  document.getElementById("forget").hidden = !key.get();
  for (const tab of tabs) {
    const chosen = tab.id === `tab-${view}`;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    tab.href = address({ symbol, view: tab.getAttribute("aria-controls") });
    document.getElementById(tab.getAttribute("aria-controls")).hidden = !chosen;
  }
}

// Tabs by keyboard as in the ARIA authoring practices: arrows, Home and End move and open.
function move(event) {
  const places = {
    ArrowRight: 1,
    ArrowLeft: -1,
    Home: -tabs.indexOf(event.target),
    End: tabs.length - 1 - tabs.indexOf(event.target),
  };
  if (event.key === " ") event.target.click();
  else if (!(event.key in places)) return;
  else {
    const next = tabs.at((tabs.indexOf(event.target) + places[event.key]) % tabs.length);
    next.focus();
    next.click();
  }
  event.preventDefault();
}

for (const tab of tabs) {
  tab.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a view in a window of its own
    event.preventDefault();
    go({ view: tab.getAttribute("aria-controls") });
  });
  tab.addEventListener("keydown", move);
}
document.getElementById("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  field.value = field.value.trim().toUpperCase();
  go({ symbol: field.value });
});
document.getElementById("forget").addEventListener("click", () => {
  key.forget();
  refresh();
});
addEventListener("popstate", refresh);
refresh();
