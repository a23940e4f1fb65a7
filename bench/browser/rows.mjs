// Rows as `fwp-bench` prints them: ratios round by round, their median with its middle half, beside a limit.

/** The q-quantile of values. */
export function quantile(values, q) {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.round((sorted.length - 1) * q)];
}

const human = (ms) => (ms >= 10 ? `${ms.toFixed(1)} ms` : `${(ms * 1000).toFixed(1)} µs`);

/** Prints one row: `rounds` are [ours, floor] in ms. */
export function print(what, limit, rounds) {
  const ratios = rounds.map(([ours, floor]) => ours / floor);
  const [low, median, high] = [0.25, 0.5, 0.75].map((q) => quantile(ratios, q));
  const [ours, floor] = [0, 1].map((side) => quantile(rounds.map((round) => round[side]), 0.5));
  const kept = median <= limit ? "kept" : "OVER";
  console.log(`| ${what} | ${human(ours)} | ${human(floor)} | ${median.toFixed(2)} (${low.toFixed(2)} - ${high.toFixed(2)}) | ${limit.toFixed(2)} | ${kept} |`);
}

/** The head of a table of rows. */
export function head(title) {
  console.log(`\n${title}\n\n| what | ours | floor | ratio (middle half) | limit | |\n|---|---|---|---|---|---|`);
}
