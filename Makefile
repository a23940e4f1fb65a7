# The commands of this project. Each sets up what it needs (packages by apt; no services by hand).
#
#   make demo                the main job, end to end: enroll, list, pay, booked; the replay is refused
#   make demo INTERACTIVE=1  the same, asking you at the terminal
#   make demo KEY=usb        the same with another maker's security key, over the kernel's USB; KEY=nfc: on an NFC reader
#   make demo KEY=tpm        the same with the key in a TPM, and the bank verifies that it is
#   make demo BROWSER=chromium  the same from the bank's and the shop's pages, in a real browser; or BROWSER=firefox. Leaves screenshots
#   make demo SYSTEM=1       the same through the installed Debian package, in a container with a systemd of its own
#   make deb                 the Debian packages, in target/debian
#   make test                everything that shows the project right
#   make bench               speed and size, as ratios to a floor taken in the same run
#   make fuzz SECONDS=60     every parser under a fuzzer
#   make lint                rustfmt, clippy, licences and sources of dependencies

SECONDS ?= 60
INTERACTIVE ?=
KEY ?=
BROWSER ?=
SYSTEM ?=
CARGO ?= cargo

.PHONY: help demo deb test bench fuzz lint format deny setup setup-test clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed '/^$$/q'
	@sed -n 's/^#   //p' Makefile

setup:
	@scripts/setup.sh

setup-test:
	@scripts/setup.sh test

# What the browsers' tests need of Rust.
browser_programs = --package fwpd --package fwpctl --package fwp-sandbox --package fwp-native-host --package fwp-tests --bins

# What the packages have in them.
packed_programs = --package fwpd --package fwpctl --package fwp-native-host --package fwp-sandbox --package virtual-keys --bins

demo:
ifneq ($(SYSTEM),)
	@scripts/setup.sh container
	@$(CARGO) build --quiet $(packed_programs) --package fwp-tests
	@scripts/demo-system.sh
else ifneq ($(BROWSER),)
	@scripts/setup.sh browser
	@$(CARGO) build --quiet $(browser_programs)
	@scripts/demo-browser.sh $(BROWSER)
else
	@scripts/setup.sh $(KEY)
	@$(CARGO) build --quiet --package fwpd --package fwpctl --package fwp-sandbox \
	  $(if $(filter usb nfc,$(KEY)),--package virtual-keys --package fwp-tests --bins)
	@INTERACTIVE=$(INTERACTIVE) KEY=$(KEY) scripts/demo.sh
endif

deb:
	@scripts/setup.sh deb
	@scripts/deb.sh

# The extension is in the packages, which the tests install: it is built first.
test: setup-test lint
	$(CARGO) build --workspace --all-targets --locked
	scripts/browser-parts.sh
	npm run --silent --prefix browser/extension package
	scripts/check-packages.sh
	rm -rf $${CARGO_TARGET_DIR:-target}/ceremonies
	$(CARGO) test --workspace --locked
	$(CARGO) run --quiet --locked --package virtual-keys --bin ceremony-table
	scripts/demo.sh
	KEY=nfc scripts/demo.sh
	KEY=tpm scripts/demo.sh
	scripts/demo-system.sh
	npm run --silent --prefix browser/extension lint
	npm test --silent --prefix browser/extension
	node tests/browser/run.mjs
	scripts/demo-browser.sh chromium
	scripts/demo-browser.sh firefox

lint: format deny
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

format:
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path tests/oracle/Cargo.toml --check

deny:
	@scripts/deny.sh

bench:
	@scripts/setup.sh bench
	$(CARGO) build --quiet --release --locked --package fwpd
	$(CARGO) bench --locked --package fwp-bench
	$(CARGO) build --quiet --release --locked $(browser_programs) --package fwp-bench
	scripts/browser-parts.sh
	FWPD_PROFILE=release node bench/browser/bench.mjs

fuzz: setup
	@scripts/fuzz.sh $(SECONDS)

clean:
	$(CARGO) clean
