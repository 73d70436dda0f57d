// The picture of a forecast: candles of past prices, then the fan, with the random walk's outline over it.

import { faded } from "./charts.js";
import { interval, median } from "./quantiles.js";
import { about, day, price, whole } from "./words.js";

export const BANDS = [
  [0.95, 0.18],
  [0.8, 0.22],
  [0.5, 0.3],
]; // share of outcomes inside, opacity; the widest first
export const WALK = 0.8;

const range = ([low, high]) => `${about(low)} to ${about(high)}`;

export function fan(colour, forecast, rows, unit) {
  const { steps, origin } = forecast;
  const sessions = [origin, ...steps.map((step) => step.session)];
  const mark = {
    xref: "x",
    yref: "paper",
    x0: origin,
    x1: origin,
    y0: 0,
    y1: 1,
    line: { color: colour.soft, width: 1, dash: "dot" },
  };
  const said = {
    xref: "x",
    yref: "paper",
    x: origin,
    y: 1,
    text: "forecast from here",
    xanchor: "right",
    yanchor: "top",
    xshift: -4,
  };
  const above = {
    xref: "paper",
    yref: "paper",
    x: 1,
    y: 1,
    text: unit.trim(),
    xanchor: "left",
    yanchor: "bottom",
    xshift: 4,
  };
  return {
    traces: [
      prices(colour, rows, unit),
      ...bands(colour, forecast, sessions),
      ...walk(colour, forecast, sessions),
      middle(colour, forecast, sessions, unit),
    ],
    layout: {
      margin: { l: 8, r: 8, t: 24, b: 8 },
      xaxis: {
        type: "date",
        rangeslider: { visible: false },
        rangebreaks: [{ values: closed([...rows.map((bar) => bar.session), ...sessions]) }],
        range: around([...rows.map((bar) => bar.session), ...sessions]),
        showgrid: false,
        tickformat: "%-d %b\n%Y",
      },
      yaxis: { side: "right", tickformat: "," },
      shapes: [{ type: "line", ...mark }],
      annotations: [said, above].map((one) => ({ ...one, showarrow: false, font: { color: colour.soft, size: 11 } })),
    },
  };
}

// Upper and lower edge of an interval, from the close on; empty where a step lacks it.
function edges(forecast, share, of = "price_quantiles") {
  const pairs = forecast.steps.map((step) => interval(forecast.levels, step[of], share));
  return pairs.includes(null) ? [] : [1, 0].map((side) => [forecast.origin_close, ...pairs.map((pair) => pair[side])]);
}

function bands(colour, forecast, sessions) {
  return BANDS.flatMap(([share, opacity]) => {
    const [upper, lower] = edges(forecast, share);
    if (!upper) return [];
    const around = { x: [...sessions, ...[...sessions].reverse()], y: [...upper, ...lower.reverse()] };
    return [
      {
        mode: "lines",
        hoverinfo: "skip",
        line: { width: 0 },
        fill: "toself",
        fillcolor: faded(colour.accent, opacity),
        ...around,
      },
    ];
  });
}

function walk(colour, forecast, sessions) {
  const line = { color: colour.ink, width: 1.2, dash: "dot" };
  return edges(forecast, WALK, "walk_price_quantiles").map((y) => ({
    mode: "lines",
    hoverinfo: "skip",
    x: sessions,
    y,
    line,
  }));
}

function middle(colour, { levels, steps, origin, origin_close: close }, sessions, unit) {
  const told = steps.map(({ session, price_quantiles: said }) => {
    const ranges = [0.5, 0.8, 0.95].map((share) => [share, interval(levels, said, share)]).filter(([, pair]) => pair);
    return [
      day(session),
      `middle ${about(median(levels, said))}${unit}`,
      ...ranges.map(([share, pair]) => `${whole(100 * share)}%: ${range(pair)}`),
    ].join("<br>");
  });
  return {
    mode: "lines+markers",
    x: sessions,
    y: [close, ...steps.map((step) => median(levels, step.price_quantiles))],
    line: { color: colour.accent, width: 2 },
    marker: { size: [0, ...steps.map(() => 5)], line: { width: 0 } },
    text: [`${day(origin)}<br>close ${price(close)}${unit}`, ...told],
    hovertemplate: "%{text}<extra></extra>",
  };
}

// Hollow where the close is above the open, filled where it is below: told apart without colour. A series is a line.
function prices(colour, rows, unit) {
  const column = (name) => rows.map((bar) => bar[name]);
  const line = { color: colour.ink, width: 1 };
  if (rows.every((bar) => bar.close === null)) {
    const text = rows.map((bar) => `${day(bar.session)}<br>${price(bar.value)}`);
    return {
      mode: "lines",
      x: column("session"),
      y: column("value"),
      line,
      text,
      hovertemplate: "%{text}<extra></extra>",
    };
  }
  const said = (bar) => [
    day(bar.session),
    `open ${price(bar.open)}, close ${price(bar.close)}${unit}`,
    `low ${price(bar.low)}, high ${price(bar.high)}`,
  ];
  return {
    type: "candlestick",
    x: column("session"),
    open: column("open"),
    high: column("high"),
    low: column("low"),
    close: column("close"),
    increasing: { line, fillcolor: colour.paper },
    decreasing: { line, fillcolor: colour.ink },
    hoverinfo: "text",
    text: rows.map((bar) => said(bar).join("<br>")),
  };
}

const DAY = 86_400_000; // milliseconds
const span = (sessions) => [Math.min, Math.max].map((end) => end(...sessions.map((iso) => Date.parse(iso))));

function around(sessions) {
  const [first, last] = span(sessions);
  return [first - 0.7 * DAY, last + 0.7 * DAY].map((moment) => new Date(moment).toISOString().slice(0, 19));
}

// Days from the first to the last that have no session: left out of the axis.
function closed(sessions) {
  const open = new Set(sessions);
  const [first, last] = span(sessions);
  const days = Array.from({ length: (last - first) / DAY + 1 }, (_, place) =>
    new Date(first + place * DAY).toISOString().slice(0, 10),
  );
  return days.filter((iso) => !open.has(iso));
}
