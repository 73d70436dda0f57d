// The operations and objects of /openapi.json, for people.

import { get, Problem } from "./api.js";
import { el, prose, table } from "./dom.js";
import { trouble } from "./trouble.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const place = document.getElementById("operations");

async function start() {
  try {
    const { paths, components } = await get("openapi.json");
    const asked = Object.entries(paths).flatMap(([path, item]) =>
      METHODS.filter((method) => item[method]).map((method) => operation(path, method, item[method])),
    );
    const objects = Object.entries(components?.schemas ?? {}).map(([name, schema]) => object(name, schema));
    place.replaceChildren(...asked, el("h2", {}, "Objects"), ...objects);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    place.replaceChildren(trouble(problem, start));
  }
}

function operation(path, method, { summary, description, parameters = [], requestBody, responses }) {
  const statuses = Object.entries(responses);
  const answer = statuses.find(([status]) => status.startsWith("2"))?.[1];
  const problems = statuses
    .filter(([status]) => !status.startsWith("2"))
    .map(([status, said]) => `${status} ${said.description}`);
  const fields = parameters.map((one) => [
    el("code", {}, one.name),
    one.in,
    type(one.schema),
    one.required ? "yes" : "no",
    prose(one.description ?? "", "span"),
  ]);
  const line = (words, content) => content && el("p", {}, `${words}: `, type(Object.values(content)[0].schema));
  return el(
    "section",
    { class: "operation" },
    el("h2", {}, el("code", {}, `${method.toUpperCase()} ${path}`)),
    el("p", {}, el("strong", {}, summary ?? ""), " ", prose(description ?? "", "span")),
    fields.length ? table(`Parameters of ${path}`, heads("Name", "In", "Type", "Required", "Meaning"), fields) : null,
    line("Body", requestBody?.content),
    line("Answer", answer?.content),
    problems.length ? el("p", { class: "quiet" }, `Problems: ${problems.join(" · ")}`) : null,
  );
}

function object(name, { properties = {}, required = [], description }) {
  const rows = Object.entries(properties).map(([field, schema]) => [
    el("code", {}, field),
    type(schema),
    required.includes(field) ? "yes" : "no",
    prose(schema.description ?? "", "span"),
    example(schema),
  ]);
  return el(
    "section",
    { id: `object-${name}`, class: "operation" },
    el("h3", {}, name),
    description ? prose(description) : null,
    rows.length ? table(`Fields of ${name}`, heads("Field", "Type", "Required", "Meaning", "Example"), rows) : null,
  );
}

const heads = (...labels) => labels.map((label) => ({ label }));
const example = ({ examples }) => (examples?.length ? el("code", {}, JSON.stringify(examples[0]).slice(0, 60)) : "");

// A type in words; an object by its name, as a link to it.
function type(schema = {}) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    return el("a", { href: `#object-${name}` }, name);
  }
  const parts = schema.anyOf ?? schema.oneOf;
  if (parts) return joined(parts.map(type), " or ");
  if (schema.type === "array") return joined(["list of ", type(schema.items)], "");
  if (schema.enum ?? schema.const)
    return (schema.enum ?? [schema.const]).map((value) => JSON.stringify(value)).join(" or ");
  return [schema.type ?? "any", schema.format && `(${schema.format})`].filter(Boolean).join(" ");
}

function joined(parts, between) {
  return el("span", {}, ...parts.flatMap((part, index) => (index ? [between, part] : [part])));
}

start();
