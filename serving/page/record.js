// The track record: skill and coverage by horizon of what was issued; what was backfilled stands apart.

import { draw } from "./charts.js";
import { el, legend, table } from "./dom.js";
import { count, day, percent, signed, whole } from "./words.js";

export const Z = 1.96; // standard errors on either side of a 95% interval
const SHAPES = ["circle", "square", "diamond", "triangle-up"];

export function load(get, { symbol, target }) {
  return get("v1/track-record", { symbol, target });
}

export function show({ live, backfilled, until }) {
  const told = live.some((line) => line.n);
  const caption = `Live: written down before the price was known, scored until ${day(until)}`;
  return [
    el("p", { class: "lede" }, told ? verdict(live) : nothing(live)),
    ...(told ? [charts(live, "live")] : []),
    ...(live.length ? [figures(live, caption)] : []),
    ...apart(backfilled),
  ];
}

function nothing(lines) {
  const waiting = Math.max(0, ...lines.map((line) => line.waiting));
  const more = waiting ? `, and ${count(waiting, "forecast")} ${waiting === 1 ? "waits" : "wait"} for a price` : "";
  return `n = 0: nothing has matured yet${more}. The record begins with the first price that comes after a forecast was written down. No backtest is shown in its place.`;
}

function verdict(lines) {
  const line = lines.find((one) => one.n);
  const held = `80% intervals held ${percent(line.coverage["80%"], 0)} of outcomes.`;
  const over = `Over ${count(line.n, "session")}, ${count(line.horizon, "session")} ahead, `;
  if (line.skill === null) return `${over}${held}`;
  const size = `the error was ${percent(Math.abs(line.skill))} ${line.skill < 0 ? "larger" : "smaller"} than the random walk’s`;
  const sure =
    line.skill_se === null
      ? "too few sessions to tell it from chance"
      : Math.abs(line.skill) > Z * line.skill_se
        ? "more than chance explains"
        : "no more than chance explains";
  return `${over}${size} (${sure}). ${held}`;
}

function apart(lines) {
  if (!lines.length) return [];
  return [
    el("h3", {}, "Backfilled"),
    el(
      "p",
      {},
      "Made when prices that it is about could be known already. It shows how the model behaves; it does not prove that it would have been right.",
    ),
    ...(lines.some((line) => line.n) ? [charts(lines, "backfilled")] : []),
    figures(lines, "Backfilled: made when prices could be known"),
  ];
}

function charts(lines, kind) {
  const scored = lines.filter((line) => line.n);
  const [skill, coverage] = [el("div", { class: "chart" }), el("div", { class: "chart" })];
  const below = "The figures are in the table below.";
  queueMicrotask(() => {
    draw(skill, `Skill against the random walk by horizon, ${kind}, with 95% intervals. ${below}`, (colour) =>
      skills(colour, scored, kind),
    );
    draw(
      coverage,
      `Share of outcomes inside each interval by horizon, ${kind}, beside what it promises. ${below}`,
      (colour) => coverages(colour, scored, kind),
    );
  });
  const figure = (title, marks, chart) =>
    el("figure", {}, el("figcaption", {}, el("strong", {}, title), legend(marks)), chart);
  return el(
    "div",
    { class: "pair" },
    figure(
      "Skill against the random walk",
      [
        [`dot ${kind}`, "skill, with its 95% interval"],
        ["zero", "the random walk"],
      ],
      skill,
    ),
    figure(
      "How often intervals held",
      [
        ...Object.keys(scored[0].coverage).map((name, index) => [
          `dot ${kind} ${SHAPES[index % SHAPES.length]}`,
          `inside ${name} intervals`,
        ]),
        ["promise", "promised"],
      ],
      coverage,
    ),
  );
}

const tint = (colour, kind) => (kind === "live" ? colour.accent : colour.soft);
const ahead = ({ horizon, n }) => `${count(horizon, "session")} ahead, n = ${whole(n)}`;

function horizons(scored) {
  const [first, last] = [scored[0].horizon, scored.at(-1).horizon];
  return {
    title: { text: "sessions ahead" },
    showgrid: false,
    range: [first - 0.6, last + 0.6],
    tickformat: "d",
    dtick: last - first < 12 ? 1 : null,
  };
}

function skills(colour, scored, kind) {
  const mine = scored.filter((line) => line.skill !== null);
  const reach = mine.map((line) => Z * (line.skill_se ?? 0));
  const trace = {
    mode: "markers",
    x: mine.map((line) => line.horizon),
    y: mine.map((line) => line.skill),
    marker: { size: 9, color: tint(colour, kind), symbol: kind === "live" ? "circle" : "square" },
    error_y: { type: "data", array: reach, color: tint(colour, kind), thickness: 1.5, width: 5 },
    text: mine.map((line) => `${ahead(line)}<br>skill ${signed(line.skill)}, s.e. ${percent(line.skill_se)}`),
    hovertemplate: "%{text}<extra></extra>",
  };
  const yaxis = {
    tickformat: "+.1%",
    zeroline: true,
    rangemode: "tozero",
    title: { text: "share of the error saved" },
  };
  return { traces: [trace], layout: { xaxis: horizons(scored), yaxis } };
}

function coverages(colour, scored, kind) {
  const names = Object.keys(scored[0].coverage);
  const traces = names.map((name, index) => ({
    mode: "markers+lines",
    x: scored.map((line) => line.horizon),
    y: scored.map((line) => line.coverage[name]),
    line: { width: 1, color: tint(colour, kind) },
    marker: { size: 8, symbol: SHAPES[index % SHAPES.length], color: tint(colour, kind) },
    text: scored.map((line) => `${ahead(line)}<br>${name} intervals held ${percent(line.coverage[name])}`),
    hovertemplate: "%{text}<extra></extra>",
  }));
  const promised = names.map((name) => [name, parseFloat(name) / 100]);
  const lowest = Math.min(...promised.map(([, share]) => share), ...traces.flatMap((one) => one.y));
  return {
    traces,
    layout: {
      xaxis: horizons(scored),
      yaxis: { tickformat: ".0%", range: [lowest - 0.05, 1.02], showgrid: false, title: { text: "outcomes inside" } },
      margin: { l: 8, r: 40, t: 8, b: 8 },
      shapes: promised.map(([, share]) => ({
        type: "line",
        xref: "paper",
        x0: 0,
        x1: 1,
        y0: share,
        y1: share,
        line: { color: colour.soft, width: 1, dash: "dot" },
      })),
      annotations: promised.map(([name, share]) => ({
        showarrow: false,
        yanchor: "middle",
        xref: "paper",
        x: 1,
        y: share,
        text: name,
        xanchor: "left",
        font: { size: 11, color: colour.soft },
      })),
    },
  };
}

function figures(lines, caption) {
  const names = [...new Set(lines.flatMap((line) => Object.keys(line.coverage)))];
  const labels = [
    "Ahead, sessions",
    "n scored",
    "Waiting",
    "Skill",
    "Standard error",
    ...names.map((name) => `In ${name}`),
  ];
  const rows = lines.map((line) => [
    whole(line.horizon),
    whole(line.n),
    whole(line.waiting),
    signed(line.skill),
    percent(line.skill_se),
    ...names.map((name) => percent(line.coverage[name])),
  ]);
  return table(
    caption,
    labels.map((label, place) => ({ label, kind: place ? "number" : null })),
    rows,
  );
}
