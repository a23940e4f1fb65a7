#!/usr/bin/env bash
# Checks the dependencies: licences, sources and bans always; advisories where the advisory database can be fetched, and
# where it can't, that is said.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
tools=${CARGO_TARGET_DIR:-target}/tools

if command -v cargo-deny >/dev/null && cargo-deny --version | grep -qF "$version"; then
  deny=cargo-deny
else
  deny=$tools/bin/cargo-deny
  if ! "$deny" --version 2>/dev/null | grep -qF "$version"; then
    echo "deny: installing cargo-deny $version (about two minutes, once)"
    cargo install --quiet --locked --debug --root "$tools" --version "$version" cargo-deny
  fi
fi

for manifest in Cargo.toml tests/oracle/Cargo.toml; do
  "$deny" --locked --log-level error --manifest-path "$manifest" check bans licenses sources
done

database=$(mktemp)
trap 'rm -f "$database"' EXIT
if "$deny" --log-level error fetch db 2>"$database"; then
  "$deny" --locked --log-level error check advisories
else
  echo "deny: NOT RUN: advisories (the advisory database could not be fetched from here)"
fi
