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
  "busctl:systemd"
)

missing=()
for entry in "${wanted[@]}"; do
  command -v "${entry%%:*}" >/dev/null 2>&1 || missing+=("${entry##*:}")
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

command -v cargo >/dev/null || { echo "setup: Rust is missing; see https://rustup.rs" >&2; exit 1; }
