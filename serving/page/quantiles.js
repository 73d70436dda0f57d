// Quantiles by level: the middle, and central intervals.

const place = (levels, level) => levels.findIndex((one) => Math.abs(one - level) < 1e-9);

export const median = (levels, quantiles) => quantiles[place(levels, 0.5)];

// [low, high] of the central interval that should hold a share of the outcomes; null where there is none.
export function interval(levels, quantiles, share) {
  const [low, high] = [place(levels, (1 - share) / 2), place(levels, (1 + share) / 2)];
  return quantiles && low >= 0 && high >= 0 ? [quantiles[low], quantiles[high]] : null;
}
