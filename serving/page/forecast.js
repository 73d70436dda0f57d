// The latest forecast: what it says in words, the fan beside the prices it was made from, and its figures.

import { draw } from "./charts.js";
import { badge, el, facts, legend, table } from "./dom.js";
import { BANDS, fan, WALK } from "./fan.js";
import { interval, median } from "./quantiles.js";
import {
  about,
  capital,
  count,
  day,
  instant,
  isSeries,
  NOTHING,
  percent,
  price,
  sentence,
  signed,
  whole,
  withError,
} from "./words.js";

const SHARES = [0.5, 0.8, 0.95];
const DAY = 86_400_000; // milliseconds
const SPLIT = 0.2; // no restated close differs by so much from what was known
const WALK_SAYS = "“as today, give or take its usual swings”";
const NEW_SHARES =
  "The stock was split since: the picture is in today’s shares, the figures below in those of the origin.";
const SPANS = [20, 60, 120]; // sessions of prices that can be shown

export async function load(get, { symbol }) {
  const named = encodeURIComponent(symbol);
  const without = (problem) => (problem.status === 404 ? { bars: [] } : Promise.reject(problem));
  const bars = get(`v1/bars/${named}`, { limit: SPANS.at(-1) }).catch(without);
  const [forecast, prices] = await Promise.all([get(`v1/forecasts/${named}`), bars]);
  return { forecast, prices };
}

export function show({ forecast, prices }) {
  const unit = prices.currency ? ` ${prices.currency}` : "";
  return [
    headline(forecast, unit),
    standing(forecast),
    picture(inNewShares(forecast, prices.bars), prices.bars, unit),
    figures(forecast, unit),
    origins(forecast, unit),
    past(prices.bars, unit),
  ].filter(Boolean);
}

function headline({ target, levels, steps, origin, origin_close: close, age_days: age }, unit) {
  const last = steps.at(-1);
  const middle = median(levels, last.price_quantiles);
  const [low, high] = interval(levels, last.price_quantiles, 0.8);
  const [began, what] = isSeries(target) ? ["Stood", "value"] : ["Closed", "close"];
  const over = Date.parse(last.session) < Date.parse(origin) + age * DAY;
  const said = `8 times in 10 the ${what} ${over ? "was to lie" : "should lie"} between ${about(low)} and ${about(high)}${unit}`;
  const change = isSeries(target) ? "" : `, ${moved(middle / close - 1)}`;
  return el(
    "p",
    { class: "lede" },
    `${began} at ${price(close)}${unit} on ${day(origin)}. By ${day(last.session)}, ${count(last.horizon, "session")} ahead, `,
    el("strong", {}, said),
    `; the middle ${over ? "was" : "is"} ${about(middle)}${change}.`,
  );
}

const moved = (share) => (Math.abs(share) < 0.0005 ? "about unchanged" : signed(share));

// What is to be thought of it: fresh or stale, better than the random walk or not, and what its record is.
function standing(forecast) {
  const age = count(forecast.age_days, "day");
  const fresh = forecast.stale
    ? [badge(`STALE: ${age} old`, "caution"), " Newer prices exist that this forecast does not know."]
    : [badge(`Fresh: ${age} old`, "plain"), ` Made from prices up to ${day(forecast.origin)}.`];
  const skill = forecast.no_skill
    ? [
        badge("No skill over the random walk", "caution"),
        ` No model here has passed the gate, which asks for a lead over ${WALK_SAYS} that chance does not explain, year after year of trying. So that is the forecast shown.`,
      ]
    : [
        badge("Passed the gate", "good"),
        ` On past years that had no part in making it, it beat ${WALK_SAYS} by more than chance.`,
      ];
  const record = [badge("Live record", "plain"), ` ${trailing(forecast)}`];
  const warning =
    forecast.remark && !forecast.no_skill
      ? [badge("No live skill", "caution"), ` ${capital(sentence(forecast.remark))}`]
      : null;
  return el(
    "div",
    { class: "standing" },
    ...[fresh, skill, record, warning].filter(Boolean).map((said) => el("p", {}, ...said)),
  );
}

function trailing(forecast) {
  const first = forecast.trailing.find((line) => line.n);
  if (!first) return "n = 0: nothing has matured yet. No backtest is shown in its place.";
  const skill = first.skill === null ? "" : `skill ${withError(first.skill, first.skill_se)} against the random walk, `;
  const held = `80% intervals held ${percent(first.coverage["80%"], 0)} of outcomes`;
  const why =
    forecast.no_skill && first.skill !== null
      ? " That is the random walk, as calibrated by its record, against itself without."
      : "";
  return `${count(first.horizon, "session")} ahead, n = ${whole(first.n)}: ${skill}${held}.${why}`;
}

function picture(forecast, rows, unit) {
  const chart = el("div", { class: "chart tall" });
  const last = forecast.steps.at(-1);
  const [low, high] = interval(forecast.levels, last.price_quantiles, 0.8);
  const ends = `by ${day(last.session)} 80% of outcomes between ${about(low)} and ${about(high)}${unit}`;
  const words = `Past prices and the fan of the forecast: ${ends}. The figures are in the tables below.`;
  let shown = span(last.horizon);
  const paint = () => draw(chart, words, (colour) => fan(colour, forecast, rows.slice(-shown), unit));
  const choose = (wanted) => {
    shown = wanted;
    paint();
  };
  queueMicrotask(paint); // once it is on the page
  const remark = forecast.split ? el("p", {}, NEW_SHARES) : null;
  return el("figure", {}, rows.length ? spans(shown, choose) : null, chart, key(forecast, rows), remark);
}

// As many sessions as leave the fan a good part of the width.
function span(horizon) {
  const part = matchMedia("(max-width: 40rem)").matches ? 5 : 12;
  return SPANS.findLast((sessions) => sessions <= part * horizon) ?? SPANS[0];
}

function spans(shown, choose) {
  const choice = (sessions) =>
    el(
      "label",
      {},
      el("input", { type: "radio", name: "span", checked: sessions === shown, onchange: () => choose(sessions) }),
      el("span", {}, whole(sessions)),
    );
  return el("fieldset", { class: "spans" }, el("legend", {}, "Sessions shown"), ...SPANS.map(choice));
}

function key({ steps }, rows) {
  const items = [...BANDS].reverse().map(([share]) => [`band-${100 * share}`, `${percent(share, 0)} of outcomes`]);
  items.unshift(["middle", "middle"]);
  if (steps.every((step) => step.walk_price_quantiles)) items.push(["walk", `random walk, ${percent(WALK, 0)}`]);
  if (rows.length) items.push(["rise", "closed up"], ["fall", "closed down"]);
  return el("figcaption", {}, legend(items));
}

function figures({ levels, steps }, unit) {
  const range = (quantiles, share) => interval(levels, quantiles, share)?.map(about).join(" to ") ?? NOTHING;
  const labels = [
    "Session",
    "Ahead",
    "Middle",
    ...SHARES.map((share) => percent(share, 0)),
    `Random walk, ${percent(WALK, 0)}`,
  ];
  const rows = steps.map((step) => [
    day(step.session),
    whole(step.horizon),
    about(median(levels, step.price_quantiles)),
    ...SHARES.map((share) => range(step.price_quantiles, share)),
    range(step.walk_price_quantiles, WALK),
  ]);
  return table(
    `Close of each session${unit && `, in${unit}`}: the middle, and the range that should hold so many outcomes`,
    columns(labels),
    rows,
  );
}

function origins(forecast, unit) {
  const { model, issued_at: issued } = forecast;
  return facts([
    ["Origin (last session known)", day(forecast.origin)],
    ["Close then", `${price(forecast.origin_close)}${unit}`],
    ["Issued", issued ? instant(issued) : "not issued"],
    ["Model", `${model.family}, version ${model.version}`],
    ["Its artifact (SHA-256)", el("code", { title: model.digest }, `${model.digest.slice(0, 12)}…`)],
    ["Trained on data until", day(forecast.data_until)],
    ["Calibrated", forecast.calibrated ? "yes, by what was scored before" : "no"],
    ["Why this model", sentence(forecast.reason)],
  ]);
}

function past(rows, unit) {
  if (!rows.length) return null;
  const traded = rows.some((bar) => bar.close !== null);
  const fields = traded ? ["open", "high", "low", "close"] : ["value"];
  const labels = ["Session", ...fields.map(capital), ...(traded ? ["Volume"] : [])];
  const cells = [...rows]
    .reverse()
    .map((bar) => [
      day(bar.session),
      ...fields.map((field) => price(bar[field])),
      ...(traded ? [whole(bar.volume)] : []),
    ]);
  const shown = table(`Prices${unit && ` in${unit}`}, the newest first`, columns(labels), cells);
  return el("details", {}, el("summary", {}, "Past prices as a table"), shown);
}

const columns = (labels) => labels.map((label, place) => ({ label, kind: place ? "number" : null }));

// Prices are in today's shares, a forecast in those of its origin: drawn together they must be the same.
function inNewShares(forecast, rows) {
  const ratio = rows.find((bar) => bar.session === forecast.origin)?.close / forecast.origin_close;
  if (!(Math.abs(Math.log(ratio)) > SPLIT)) return forecast;
  const scaled = (prices) => prices && prices.map((value) => value * ratio);
  const steps = forecast.steps.map((step) => ({
    ...step,
    price_quantiles: scaled(step.price_quantiles),
    walk_price_quantiles: scaled(step.walk_price_quantiles),
  }));
  return { ...forecast, origin_close: forecast.origin_close * ratio, steps, split: true };
}
