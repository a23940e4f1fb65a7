#!/usr/bin/env bash
# What the browsers' tests are made of besides Rust: the tools of npm, and the extension, built. Where the lock files are as they
# were at the last installation, nothing is downloaded.
set -euo pipefail
cd "$(dirname "$0")/.."
for folder in browser/extension tests/browser; do
  installed=$folder/node_modules/.package-lock.json
  if [ ! -e "$installed" ] || [ "$folder/package-lock.json" -nt "$installed" ]; then
    echo "npm ci in $folder"
    npm ci --prefix "$folder" --no-audit --no-fund --loglevel=error
    touch "$installed"
  fi
done
npm run --silent --prefix browser/extension build
