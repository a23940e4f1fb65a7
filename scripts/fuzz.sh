#!/usr/bin/env bash
# Runs every fuzz target for some seconds each (default 60), and ends with what it found. New inputs that reach new code
# go into fuzz/corpus, merged to the smallest set.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
only=${2:-}
tools=${CARGO_TARGET_DIR:-$PWD/target}/tools
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/fuzz

fuzz=$(command -v cargo-fuzz || echo "$tools/bin/cargo-fuzz")
if ! [ -x "$fuzz" ]; then
  echo "fuzz: installing cargo-fuzz (about a minute, once)"
  cargo install --quiet --locked --root "$tools" cargo-fuzz
fi

cd fuzz/harness
for target in fuzz_targets/*.rs; do
  name=$(basename "$target" .rs)
  [ -z "$only" ] || [ "$only" = "$name" ] || continue
  echo "fuzz: $name for $seconds s"
  # No sanitizer: there is no unsafe code of ours to watch, and so the stable compiler does.
  "$fuzz" fuzz run --fuzz-dir . --sanitizer none "$name" "../corpus/$name" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 2>&1 |
    grep -E 'stat::number_of_executed_units|DONE|SUMMARY|panicked|Test unit|ERROR' || true
  if compgen -G "artifacts/$name/*" >/dev/null; then
    echo "fuzz: FOUND in $name:"; ls artifacts/"$name"; exit 1
  fi
done
echo "fuzz: no findings"
