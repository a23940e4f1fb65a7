#!/usr/bin/env bash
# Installs what building and testing need on Debian 12, if it is not there yet. Says what it does; needs root or sudo only
# when something is missing.
set -euo pipefail

# command: package that brings it
wanted=(
  "cc:gcc"
  "c++:g++"
  "make:make"
  "pkg-config:pkg-config"
  "dbus-daemon:dbus"
  "dbus-monitor:dbus-bin"
  "dbus-send:dbus-bin"
  "gnome-keyring-daemon:gnome-keyring"
  "setpriv:util-linux"
  "setsid:util-linux"
  "kill:procps"
  "busctl:systemd"
)

missing=()
for entry in "${wanted[@]}"; do
  # The program, not the shell's builtin of that name: the tests call programs.
  type -P "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
done

if ((${#missing[@]})); then
  echo "setup: installing ${missing[*]}"
  as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || { echo "setup: please install as root: apt-get install ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if ! command -v cargo >/dev/null; then
  echo "setup: Rust is missing; see https://rustup.rs (just installed? then: . ~/.cargo/env)" >&2
  exit 1
fi
# Debian's own is too old to read our Cargo.toml, and doesn't say so in these words.
wanted_rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
found_rust=$(cargo --version | cut -d ' ' -f 2)
if [ "$(printf '%s\n' "$wanted_rust" "${found_rust%%-*}" | sort -V | head -n 1)" != "$wanted_rust" ]; then
  echo "setup: cargo is $found_rust and must be $wanted_rust or newer: rustup update stable (https://rustup.rs)" >&2
  exit 1
fi
