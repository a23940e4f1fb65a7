#!/usr/bin/env bash
# The main job in a real browser: demo-browser.sh chromium|firefox [FOLDER]. A card is enrolled at the bank's page, the Space Shop's
# order is paid at the shop's, and screenshots are left in FOLDER (demo-screenshots/). Everything else it starts goes again.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/browser-parts.sh
exec node tests/browser/demo.mjs "$@"
