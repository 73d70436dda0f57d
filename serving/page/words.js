// Figures and dates as they are read: dates in the venue's calendar, instants in UTC, a true minus, no false precision.

const DAY = new Intl.DateTimeFormat("en-GB", {
  weekday: "short",
  day: "numeric",
  month: "short",
  year: "numeric",
  timeZone: "UTC",
});
const INSTANT = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  timeZone: "UTC",
});

export const NOTHING = "–";

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

function fixed(value, digits, options = {}) {
  if (!isNumber(value)) return NOTHING;
  return new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits, ...options })
    .format(value)
    .replace("-", "−");
}

export const day = (iso) => DAY.format(new Date(`${iso}T00:00:00Z`)).replace(",", "");
export const instant = (iso) => `${INSTANT.format(new Date(iso))} UTC`;

// A price that was: as it is quoted.
export const price = (value) => fixed(value, Math.abs(value) < 10 ? 4 : 2);

// A price that may be: four digits or so are all that a forecast has to say.
export const about = (value) =>
  fixed(value, value === 0 ? 0 : Math.min(4, Math.max(0, 3 - Math.floor(Math.log10(Math.abs(value))))));

export const whole = (value) => fixed(value, 0);
export const percent = (share, digits = 1) => (isNumber(share) ? `${fixed(100 * share, digits)}%` : NOTHING);
export const signed = (share, digits = 1) =>
  isNumber(share) ? `${fixed(100 * share, digits, { signDisplay: "exceptZero" })}%` : NOTHING;

// A share and its standard error.
export function withError(share, error, digits = 1) {
  return isNumber(error) ? `${signed(share, digits)} (s.e. ${percent(error, digits)})` : signed(share, digits);
}

export const chance = (p) => (isNumber(p) ? (p < 0.001 ? "< 0.001" : fixed(p, 3)) : NOTHING);

// Whether a target is a series, such as a yield, whose changes count, and not its returns.
export const isSeries = (target) => /-level-\d+$/.test(target);

export const count = (n, one, many = `${one}s`) => `${whole(n)} ${n === 1 ? one : many}`;
export const sentence = (text) => text + (/[.!?]$/.test(text) ? "" : ".");
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
