//! Measuring as ratios: what is measured and its floor take turns in one run, so that whatever else the machine does hits
//! both. Results are the median of the rounds' ratios with their middle half, beside the limit that the project set itself.
#![allow(clippy::print_stdout, reason = "a benchmark's output is its table")]

use std::time::{Duration, Instant};

/// How often both sides take turns.
const ROUNDS: usize = 41;
/// How long one side's turn should take at least.
const TURN: Duration = Duration::from_millis(12);

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// Median time of one operation.
    pub ours: Duration,
    /// Median time of one operation of the floor.
    pub floor: Duration,
    /// Median, first and third quartile of the rounds' ratios.
    pub ratio: [f64; 3],
    /// What the ratio may be at most.
    pub limit: f64,
}

impl Row {
    /// Times `ours` against `floor` in turns.
    pub fn measure(what: &str, limit: f64, mut ours: impl FnMut(), mut floor: impl FnMut()) -> Self {
        let (ours_count, floor_count) = (calibrate(&mut ours), calibrate(&mut floor));
        let rounds: Vec<(f64, f64)> =
            (0..ROUNDS).map(|_| (turn(&mut ours, ours_count), turn(&mut floor, floor_count))).collect();
        Self::from_rounds(what, limit, &rounds)
    }

    /// The row of rounds that were timed elsewhere: seconds of ours and of the floor, for each round.
    pub fn from_rounds(what: &str, limit: f64, rounds: &[(f64, f64)]) -> Self {
        let ratios = rounds.iter().map(|(ours, floor)| ours / floor).collect::<Vec<_>>();
        let seconds = |side: fn(&(f64, f64)) -> f64| {
            Duration::from_secs_f64(quantile(rounds.iter().map(side).collect(), 0.5))
        };
        Self {
            what: what.to_owned(),
            ours: seconds(|round| round.0),
            floor: seconds(|round| round.1),
            ratio: [0.5, 0.25, 0.75].map(|q| quantile(ratios.clone(), q)),
            limit,
        }
    }

    /// Whether the median keeps the limit.
    pub fn keeps(&self) -> bool {
        self.ratio.first().is_some_and(|median| *median <= self.limit)
    }
}

/// How many operations fill a turn.
fn calibrate(operation: &mut impl FnMut()) -> u32 {
    let mut count = 1;
    loop {
        let start = Instant::now();
        (0..count).for_each(|_| operation());
        if start.elapsed() >= TURN || count >= 1 << 24 {
            return count;
        }
        count *= 2;
    }
}

/// Seconds of one operation, over `count` of them.
fn turn(operation: &mut impl FnMut(), count: u32) -> f64 {
    let start = Instant::now();
    (0..count).for_each(|_| operation());
    start.elapsed().as_secs_f64() / f64::from(count)
}

/// The `q`-quantile of `values`.
fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len().saturating_sub(1) as f64 * q).round() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// Prints `rows` as a Markdown table.
pub fn print(title: &str, rows: &[Row]) {
    println!("\n{title}\n");
    println!("| what | ours | floor | ratio (middle half) | limit | |");
    println!("|---|---|---|---|---|---|");
    for row in rows {
        let [median, low, high] = row.ratio;
        println!(
            "| {} | {} | {} | {median:.2} ({low:.2} - {high:.2}) | {:.2} | {} |",
            row.what,
            human(row.ours),
            human(row.floor),
            row.limit,
            if row.keeps() { "kept" } else { "OVER" }
        );
    }
}

/// A duration with three digits.
fn human(duration: Duration) -> String {
    let us = duration.as_secs_f64() * 1e6;
    if us >= 10_000.0 { format!("{:.1} ms", us / 1000.0) } else { format!("{us:.1} µs") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_taken_round_by_round() {
        let row = Row::from_rounds("x", 2.0, &[(2.0, 1.0), (20.0, 10.0), (9.0, 3.0)]);
        assert_eq!(row.ratio, [2.0, 2.0, 3.0]);
        assert!(row.keeps());
    }

    #[test]
    fn a_slower_side_shows() {
        let work = |n: u64| {
            move || {
                std::hint::black_box((0..n).map(std::hint::black_box).sum::<u64>());
            }
        };
        let row = Row::measure("x", 1.0, work(40_000), work(10_000));
        assert!(row.ratio[0] > 2.0 && !row.keeps(), "{row:?}");
    }
}
