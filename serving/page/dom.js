// Elements made of text: nothing here or elsewhere is ever parsed as HTML.

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (![null, undefined, false].includes(value)) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Text in which `words` are code.
export function prose(text, tag = "p") {
  return el(tag, {}, ...text.split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part)));
}

// A table that scrolls by itself, also by keyboard, where the screen is narrow.
// columns: [{ label, kind }], kind "number", "words" or none; rows: cells of text or elements, the first its heading.
export function table(caption, columns, rows) {
  const cell = (content, column) => {
    const kind = { class: columns[column].kind };
    return column ? el("td", kind, content) : el("th", { ...kind, scope: "row" }, content);
  };
  const heads = columns.map((one) => el("th", { scope: "col", class: one.kind }, one.label));
  const lines = rows.map((row) => el("tr", {}, ...row.map((content, column) => cell(content, column))));
  const made = el(
    "table",
    { "aria-label": caption },
    el("thead", {}, el("tr", {}, ...heads)),
    el("tbody", {}, ...lines),
  );
  const frame = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, made);
  return el("div", {}, el("p", { class: "caption" }, caption), frame);
}

// Pairs of a term and what it is here.
export function facts(pairs) {
  const long = (said) => typeof said === "string" && said.length > 60;
  const group = ([term, said]) =>
    el("div", { class: long(said) ? "wide" : null }, el("dt", {}, term), el("dd", {}, said));
  return el("dl", { class: "facts" }, ...pairs.map(group));
}

export function badge(text, kind) {
  return el("span", { class: `badge ${kind}` }, text);
}

// The marks of a chart, named; `items`: [class of the swatch, words].
export function legend(items) {
  const swatch = (kind) => el("span", { class: `swatch ${kind}`, "aria-hidden": "true" });
  return el("ul", { class: "legend" }, ...items.map(([kind, words]) => el("li", {}, swatch(kind), words)));
}
