// Who is in charge, the comparison that led there, and what the gate decided and why.

import { Problem } from "./api.js";
import { draw } from "./charts.js";
import { badge, el, facts, legend, table } from "./dom.js";
import { Z } from "./record.js";
import { chance, count, day, instant, NOTHING, percent, sentence, signed, whole } from "./words.js";

export async function load(get, { symbol, target }) {
  if (!target)
    throw new Problem(404, {
      title: "No model is in charge of this symbol",
      detail: `nothing forecasts ${symbol} yet`,
    });
  const board = await get("v1/leaderboard", { target });
  return { board, model: await get(`v1/models/${board.in_charge.version}`, { target }) };
}

export function show({ board, model }) {
  const { comparison, decisions } = board;
  return [
    headline(model),
    ...(comparison ? leaderboard(comparison) : [el("p", {}, "No comparison is on record for this target.")]),
    el("h3", {}, "The gate’s last decisions"),
    decisions.length
      ? el("ul", { class: "decisions" }, ...decisions.map(decision))
      : el("p", {}, "Nothing has been put to the gate yet."),
    el("h3", {}, "The model in charge"),
    portrait(model),
    ...(model.history?.length ? [moves(model.history)] : []),
  ];
}

function headline(model) {
  const who = el("strong", {}, `In charge: ${model.name}, version ${model.version}`);
  const why = model.passed ? "It passed the gate" : "No model passed the gate, so it is the random walk";
  return el("p", { class: "lede" }, who, `, since ${instant(model.promoted_at)}. ${why}: ${sentence(model.reason)}`);
}

function leaderboard(comparison) {
  const { rows, origins, first, last } = comparison;
  const chart = el("div", { class: "chart" });
  chart.style.height = `${rows.length * 1.6 + 4}rem`;
  const words = `Skill of ${rows.length} models against the random walk, with 95% intervals. The figures are in the table below.`;
  queueMicrotask(() => draw(chart, words, (colour) => skills(colour, rows)));
  const marks = legend([
    ["dot live", "in charge"],
    ["dot hollow", "others"],
    ["zero", "the random walk"],
  ]);
  return [
    el("h3", {}, "Leaderboard"),
    el(
      "p",
      {},
      `All models on the same ${count(origins, "session")}, ${day(first)} to ${day(last)}, which had no part in making them.`,
    ),
    el(
      "figure",
      {},
      el("figcaption", {}, el("strong", {}, "Skill against the random walk, with its 95% interval"), marks),
      chart,
    ),
    figures(rows),
  ];
}

function skills(colour, rows) {
  const mine = rows.filter((row) => row.skill !== null);
  const trace = {
    mode: "markers",
    x: mine.map((row) => row.skill),
    y: mine.map((row) => row.model),
    marker: {
      size: 10,
      color: mine.map((row) => (row.in_charge ? colour.accent : colour.paper)),
      line: { color: mine.map((row) => (row.in_charge ? colour.accent : colour.ink)), width: 1.5 },
    },
    error_x: {
      type: "data",
      array: mine.map((row) => Z * (row.skill_se ?? 0)),
      color: colour.ink,
      thickness: 1.2,
      width: 4,
    },
    text: mine.map((row) => `${row.model}<br>skill ${signed(row.skill, 2)}, s.e. ${percent(row.skill_se, 2)}`),
    hovertemplate: "%{text}<extra></extra>",
  };
  return {
    traces: [trace],
    layout: {
      xaxis: { tickformat: "+.1%", zeroline: true, title: { text: "skill: share of the error saved" } },
      yaxis: { type: "category", autorange: "reversed", showgrid: false },
    },
  };
}

// Measured by itself: nothing to be tested.
const isWalk = (row) => row.skill === 0 && !row.skill_se;

function figures(rows) {
  const labels = [
    "Model",
    "Family",
    "Skill",
    "Standard error",
    "p",
    "p, corrected",
    "Error (CRPS)",
    "In 80%",
    "Role",
  ];
  const cells = rows.map((row) => [
    row.model,
    row.family,
    signed(row.skill, 2),
    ...(isWalk(row) ? [NOTHING, NOTHING, NOTHING] : [percent(row.skill_se, 2), chance(row.p), chance(row.p_holm)]),
    row.crps?.toFixed(4) ?? "–",
    percent(row.coverage_80),
    [row.in_charge && "in charge", row.candidate && "put to the gate"].filter(Boolean).join(", "),
  ]);
  const caption =
    "The best first. p: chance of such a skill by luck, and corrected for how many were compared. CRPS: in percent, or the series’ unit. In 80%: outcomes that fell into the 80% interval";
  return table(
    caption,
    labels.map((label, place) => ({ label, kind: place > 1 && place < 8 ? "number" : null })),
    cells,
  );
}

function decision({ number, candidate, passed, reason, checks, at }) {
  const said = passed ? badge("✓ passed", "good") : badge("✕ refused", "caution");
  const asked = checks.map((check) => [check.question, check.passed ? "✓ yes" : "✕ no", check.figures]);
  const shown = table(
    `What the gate asked of ${candidate}`,
    [{ label: "Question" }, { label: "Answer" }, { label: "Figures", kind: "words" }],
    asked,
  );
  return el(
    "li",
    {},
    el("p", {}, said, " ", el("strong", {}, `${number}. ${candidate}`), `, ${instant(at)}`),
    el("p", {}, passed ? sentence(reason) : failed(checks)),
    el("details", {}, el("summary", {}, `${count(checks.length, "question")} of the gate`), shown),
  );
}

function failed(checks) {
  const said = checks.filter((check) => !check.passed).map((check) => `“${check.question}” (${check.figures})`);
  return said.length ? `It did not pass ${said.join(", nor ")}.` : "Its answers to the gate are not on record.";
}

function portrait(model) {
  return facts([
    ["Kind", model.family],
    [
      "Forecasts",
      `${model.symbols.slice(0, 6).join(", ")}${model.symbols.length > 6 ? ` and ${model.symbols.length - 6} more` : ""}`,
    ],
    ["Ahead", count(model.horizon, "session")],
    ["Sees", `${count(model.context, "session")} of ${model.channels.join(", ")}`],
    ["Trained on", `${day(model.trained_from)} to ${day(model.trained_until)}`],
    ["Nothing read after", day(model.data_until)],
    ["Size", model.parameters ? count(model.parameters, "weight") : "no trained weights"],
    ["Its artifact (SHA-256)", el("code", { title: model.digest }, `${model.digest.slice(0, 12)}…`)],
  ]);
}

function moves(history) {
  const labels = ["Version", "When", "How", "Artifact", "Why"].map((label) => ({
    label,
    kind: label === "Why" ? "words" : null,
  }));
  const rows = history.map((move) => [
    whole(move.version),
    instant(move.at),
    move.kind ?? "–",
    `${move.digest.slice(0, 12)}…`,
    sentence(move.reason),
  ]);
  return table("Who was in charge, the newest first", labels, rows);
}
