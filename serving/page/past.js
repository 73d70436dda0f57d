// Issued forecasts against what happened: one session ahead, as changes from the close they were made at.

import { Problem } from "./api.js";
import { draw, faded } from "./charts.js";
import { el, legend, table } from "./dom.js";
import { interval } from "./quantiles.js";
import { trouble } from "./trouble.js";
import { about, count, day, instant, isSeries, NOTHING, percent, price, signed, whole } from "./words.js";

const PAGE = 60;
const SHARE = 0.8;
const DAY = 86_400_000; // milliseconds
const SIGNS = { inside: "● inside", outside: "◆ outside", waiting: "waiting" };

const page = (get, symbol, cursor) =>
  get(`v1/forecasts/${encodeURIComponent(symbol)}/history`, { limit: PAGE, cursor });

export async function load(get, { symbol }) {
  return { get, history: await page(get, symbol) };
}

export function show({ get, history }) {
  const body = el("div");
  paint(body, get, history);
  return [body];
}

function paint(body, get, history) {
  const lines = history.forecasts.map(line).filter(Boolean);
  const chart = el("div", { class: "chart" });
  const further = history.next ? older(body, get, history) : null;
  body.replaceChildren(
    el("p", { class: "lede" }, ...summary(lines)),
    el("figure", {}, key(lines), chart),
    figures(lines),
    further ?? "",
  );
  const done = lines.filter((one) => one.state !== "waiting");
  const inside = done.filter((one) => one.state === "inside").length;
  const words = `80% intervals one session ahead and what came: ${inside} of ${done.length} inside. The figures are in the table below.`;
  queueMicrotask(() => draw(chart, words, (colour) => picture(colour, [...lines].reverse())));
}

// What is told of a forecast: its first step. Changes are shares of the close before; of a series, in its unit.
function line(past) {
  const step = past.steps.find((one) => one.horizon === 1);
  const range = step && interval(past.levels, step.price_quantiles, SHARE);
  if (!range) return null;
  const level = isSeries(past.target);
  const moved = (value) => (level ? value - past.origin_close : value / past.origin_close - 1);
  const came = step.price;
  const state = came === null ? "waiting" : came >= range[0] && came <= range[1] ? "inside" : "outside";
  const told = (value) => (level ? about(moved(value)) : signed(moved(value), 2));
  const error = (crps) => (crps === null ? NOTHING : level ? about(crps) : percent(crps, 2));
  return { ...past, step, range, came, state, level, moved, told, error };
}

function summary(lines) {
  const told = (kind) => {
    const done = lines.filter((one) => one.kind === kind && one.state !== "waiting");
    const inside = done.filter((one) => one.state === "inside").length;
    return done.length ? `${whole(inside)} of ${whole(done.length)} (${percent(inside / done.length, 0)})` : null;
  };
  const [live, filled] = [told("live"), told("backfill")];
  const waiting = lines.filter((one) => one.state === "waiting").length;
  return [
    ...(live
      ? ["Of the live forecasts shown, the 80% interval held the next close in ", el("strong", {}, live), ". "]
      : ["n = 0: no live forecast has matured yet. "]),
    filled ? `Of the backfilled ones, made when prices were known: ${filled}. ` : "",
    waiting ? `${count(waiting, "forecast")} ${waiting === 1 ? "waits" : "wait"} for a price.` : "",
  ];
}

function figures(lines) {
  const labels = [
    "For session",
    "Close before",
    "80% interval",
    "Came",
    "Change",
    "Outcome",
    "Error (CRPS)",
    "Random walk’s",
    "Issued",
    "Kind",
  ];
  const rows = lines.map((one) => [
    day(one.step.session),
    price(one.origin_close),
    one.range.map(about).join(" to "),
    price(one.came),
    one.came === null ? NOTHING : one.told(one.came),
    el("span", { class: one.state }, SIGNS[one.state]),
    one.error(one.step.crps),
    one.error(one.step.crps_walk),
    instant(one.issued_at),
    one.kind,
  ]);
  const caption = "One session ahead, the newest first; the error is that of the whole forecast, and less is better";
  return table(
    caption,
    labels.map((label, place) => ({ label, kind: [1, 2, 3, 4, 6, 7].includes(place) ? "number" : null })),
    rows,
  );
}

function older(body, get, history) {
  const button = el("button", { type: "button", class: "quiet" }, "Show older forecasts");
  const further = async () => {
    button.disabled = true;
    try {
      const more = await page(get, history.symbol, history.next);
      paint(body, get, { ...more, forecasts: [...history.forecasts, ...more.forecasts] });
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      body.lastChild.replaceWith(trouble(problem, further));
    }
  };
  button.addEventListener("click", further);
  return el("p", {}, button);
}

function key(lines) {
  const items = [
    ["interval", "80% interval"],
    ["dot live", "came inside"],
    ["dot outside", "came outside"],
  ];
  if (lines.some((one) => one.kind === "backfill")) items.splice(1, 0, ["backfilled", "80% interval, backfilled"]);
  const sessions = lines.map((one) => day(one.step.session));
  const title = `Change from the close before, ${[...new Set([sessions.at(-1), sessions[0]])].join(" to ")}`;
  return el("figcaption", {}, el("strong", {}, title), legend(items));
}

function picture(colour, lines) {
  const tells = { hovertemplate: "%{text}<extra></extra>" };
  const said = (one) =>
    [
      `${day(one.step.session)}: ${one.state}${one.kind === "backfill" ? ", backfilled" : ""}`,
      ...(one.came === null ? [] : [`came ${one.told(one.came)}`]),
      `80%: ${one.range.map(one.told).join(" to ")}`,
    ].join("<br>");
  const bars = (kind, tint) => {
    const mine = lines.filter((one) => one.kind === kind);
    return {
      type: "bar",
      width: 0.65 * DAY,
      ...tells,
      marker: { color: tint, line: { width: 0 } },
      text: mine.map(said),
      textposition: "none",
      x: mine.map((one) => one.step.session),
      base: mine.map((one) => one.moved(one.range[0])),
      y: mine.map((one) => one.moved(one.range[1]) - one.moved(one.range[0])),
    };
  };
  const marks = (state, marker) => {
    const mine = lines.filter((one) => one.state === state);
    return {
      mode: "markers",
      ...tells,
      marker,
      text: mine.map(said),
      x: mine.map((one) => one.step.session),
      y: mine.map((one) => one.moved(one.came)),
    };
  };
  const [first, last] = [lines[0], lines.at(-1)].map((one) => Date.parse(one.step.session));
  return {
    traces: [
      bars("live", faded(colour.accent, 0.3)),
      bars("backfill", faded(colour.soft, 0.25)),
      marks("inside", { symbol: "circle", size: 6, color: colour.accent }),
      marks("outside", { symbol: "diamond", size: 9, color: colour.caution, line: { color: colour.paper, width: 1 } }),
    ],
    layout: {
      barmode: "overlay",
      xaxis: {
        type: "date",
        range: [Math.min(first, last - 20 * DAY) - DAY, last + DAY],
        tickformat: "%-d %b\n%Y",
        showgrid: false,
      },
      yaxis: { side: "right", tickformat: lines.some((one) => one.level) ? "+" : "+.1%", zeroline: true },
    },
  };
}
