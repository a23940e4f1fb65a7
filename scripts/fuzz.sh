#!/usr/bin/env bash
# Runs every fuzz target for some seconds each (default 60; a second argument names one target), starting from fuzz/corpus.
# Stops at the first finding and says where the input is. What it learns stays in the target folder.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
only=${2:-}
target=${CARGO_TARGET_DIR:-$PWD/target}
export CARGO_TARGET_DIR=$target/fuzz

fuzz=$(command -v cargo-fuzz || echo "$target/tools/bin/cargo-fuzz")
if ! [ -x "$fuzz" ]; then
  echo "fuzz: installing cargo-fuzz (about a minute, once)"
  cargo install --quiet --locked --root "$target/tools" cargo-fuzz
fi

cd fuzz/harness
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for program in fuzz_targets/*.rs; do
  name=$(basename "$program" .rs)
  [ -z "$only" ] || [ "$only" = "$name" ] || continue
  learned=$target/fuzz/learned/$name
  mkdir -p "$learned"
  # No sanitizer: there is no unsafe code of ours to watch, and so the stable compiler does.
  if ! "$fuzz" fuzz run --fuzz-dir . --sanitizer none "$name" "$learned" "../corpus/$name" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 >"$log" 2>&1; then
    tail -n 40 "$log"
    echo "fuzz: $name: FOUND something, or did not build (above)"
    exit 1
  fi
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  echo "fuzz: $name: ${seconds} s, $runs inputs, no finding"
done
