// Charts in the colours of the page, drawn again when those change. Every chart has a table beside it.

const COLOURS = ["paper", "ink", "soft", "line", "accent", "caution"];
const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map(); // element -> what builds its chart

let library = null;

// Its start takes about a second of the processor: words and figures are shown before.
function load() {
  library ??= new Promise((loaded, failed) => {
    const script = document.createElement("script");
    script.src = "page/plotly.min.js";
    script.onload = () => loaded(window.Plotly);
    script.onerror = () => failed(new Error("the charting library was not loaded"));
    requestAnimationFrame(() => setTimeout(() => document.head.append(script)));
  });
  return library;
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

export function faded(colour, share) {
  const part = (place) => parseInt(colour.slice(place, place + 2), 16);
  return `rgba(${part(1)}, ${part(3)}, ${part(5)}, ${share})`;
}

function layout(colour, narrow, { xaxis = {}, yaxis = {}, ...rest }) {
  const axis = {
    automargin: true,
    color: colour.soft,
    gridcolor: colour.line,
    linecolor: colour.line,
    zerolinecolor: colour.soft,
    fixedrange: true,
    zeroline: false,
    title: { standoff: 8 },
  };
  return {
    paper_bgcolor: colour.paper,
    plot_bgcolor: colour.paper,
    showlegend: false,
    dragmode: false,
    hovermode: "closest",
    margin: { l: 8, r: 8, t: 8, b: 8 },
    separators: ".,",
    font: { family: "system-ui, sans-serif", size: 12, color: colour.ink },
    hoverlabel: { bgcolor: colour.paper, bordercolor: colour.soft, font: { color: colour.ink, size: 12 } },
    ...rest,
    xaxis: { ...axis, tickangle: 0, nticks: narrow ? 5 : 9, ...xaxis },
    yaxis: { ...axis, ...yaxis },
  };
}

async function paint(element, build) {
  const colour = colours();
  const { traces, layout: wanted } = build(colour);
  const plotly = await load();
  if (element.isConnected)
    await plotly.react(element, traces, layout(colour, element.clientWidth < 500, wanted), {
      displayModeBar: false,
      responsive: true,
    });
}

// Draw into an element that is on the page. build(colour) -> { traces, layout }; words: what a screen reader says.
export async function draw(element, words, build) {
  for (const gone of [...drawn.keys()].filter((one) => !one.isConnected)) {
    window.Plotly?.purge(gone);
    drawn.delete(gone);
  }
  drawn.set(element, build);
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", words);
  const there = await load().then(
    () => true,
    () => false,
  );
  if (there) return paint(element, build);
  drawn.delete(element);
  element.removeAttribute("role");
  element.textContent = "The chart cannot be drawn: its library did not load. The figures are in the table below.";
  element.classList.add("missing");
}

dark.addEventListener("change", () => drawn.forEach((build, element) => element.isConnected && paint(element, build)));
