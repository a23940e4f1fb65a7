#!/usr/bin/env bash
# Builds the programs of the packages for release and prints the folder they are in. Their bytes don't depend on where this folder,
# cargo's or the target's is: no path of them is left in the programs.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/deb
cargo_home=$(realpath -m "${CARGO_HOME:-$HOME/.cargo}")
separator=$'\x1f' # of flags that may have blanks in them
# Of prefixes that fit, the last one counts: the target may be in this folder.
export CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=$cargo_home=/usr/src/cargo${separator}--remap-path-prefix=$here=/usr/src/fwpd${separator}--remap-path-prefix=$target=/usr/src/target"
export CFLAGS="-g0 -ffile-prefix-map=$cargo_home=/usr/src/cargo -ffile-prefix-map=$here=/usr/src/fwpd -ffile-prefix-map=$target=/usr/src/target"
export CXXFLAGS=$CFLAGS
CARGO_TARGET_DIR=$target "${CARGO:-cargo}" build --quiet --release --locked --bins \
  --package fwpd --package fwpctl --package fwp-native-host --package fwp-sandbox --package virtual-keys >&2
echo "$target/release"
