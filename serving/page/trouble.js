// What went wrong, and what to do about it, in the page.

import { key } from "./api.js";
import { el, prose } from "./dom.js";
import { capital, count, sentence } from "./words.js";

const KEY =
  "Whoever runs it makes one with `forecaster key create`. It stays in this browser tab until that is closed.";

const words = {
  0: () => [
    "The service does not answer",
    "It may be starting, or the network is down. Nothing is lost: try again in a moment.",
  ],
  401: () => [key.get() ? "This key is not valid" : "This service asks for a key", KEY],
  403: () => ["This key may not read", "It lacks the scope `read`. Use another one."],
  422: () => ["That is no symbol", "A symbol is at most 15 letters, digits and ^ . - = such as ^GSPC or MSFT."],
  429: ({ wait }) => [
    "Too many requests",
    `The service answers so many a second and no more. Try again ${wait ? `in ${count(wait, "second")}` : "a little later"}.`,
  ],
};

// again: what to do when the reader tries once more; symbols: those that could be asked for instead.
export function trouble(problem, again, symbols = []) {
  const said = [problem.message, problem.detail && capital(sentence(problem.detail))];
  const [title, advice] = words[problem.status]?.(problem) ?? said;
  return el(
    "div",
    { class: "trouble", role: "alert" },
    el("h3", {}, title),
    advice && prose(advice),
    remedy(problem, again, symbols),
  );
}

function remedy({ status }, again, symbols) {
  if ([401, 403].includes(status)) return ask(again);
  if (![404, 422].includes(status)) return el("p", {}, el("button", { type: "button", onclick: again }, "Try again"));
  if (!symbols.length) return null;
  const links = symbols
    .slice(0, 12)
    .flatMap((symbol) => [" ", el("a", { href: `?${new URLSearchParams({ symbol })}` }, symbol)]);
  return el("p", {}, "Forecast here:", ...links);
}

function ask(again) {
  const field = el("input", { id: "key", type: "password", required: true, autocomplete: "off", spellcheck: "false" });
  const keep = (event) => {
    event.preventDefault();
    key.keep(field.value.trim());
    again();
  };
  return el("form", { onsubmit: keep }, el("label", { for: "key" }, "Key"), field, el("button", {}, "Use this key"));
}
