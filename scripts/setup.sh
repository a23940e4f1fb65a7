#!/usr/bin/env bash
# Installs what building needs on Debian 12, if it is not there yet. Says what it does; needs root or sudo only when something
# is missing. What else is wanted is named:
#   setup.sh usb    and what security keys over USB need in a virtual machine
#   setup.sh nfc    and what they need on a virtual NFC reader
#   setup.sh tpm    and what makes a TPM in software
#   setup.sh browser  and what the extension and its tests in browsers need
#   setup.sh deb    and what makes the Debian packages
#   setup.sh container  and what installs them in a container
#   setup.sh test   and what all tests need, which run as root; setup.sh bench: benchmarks
set -euo pipefail

# Package by what it brings: a program, a file (by a pattern), a library that pkg-config knows or a module of Python.
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
  "libudev.pc:libudev-dev"
  "libpcsclite.pc:libpcsclite-dev"
  "tss2-esys.pc:libtss2-dev"
)
usb=(
  "busybox:busybox-static"
  "strip:binutils"
  "fido2-token:fido2-tools"
)
nfc=(
  "/usr/sbin/pcscd:pcscd"
  "/usr/lib/pcsc/drivers/serial/libifdvpcd.so:vsmartcard-vpcd"
  "ip:iproute2"
  "unshare:util-linux"
)
mocked=(
  "umockdev-wrapper:umockdev"
  "umockdev-1.0.pc:libumockdev-dev"
)
tpm=(
  "swtpm:swtpm"
  "swtpm_setup:swtpm-tools"
  "/usr/lib/*/libtss2-tcti-swtpm.so*:libtss2-tcti-swtpm0"
)
# The extension alone.
extension=()
deb=(
  "dpkg-buildpackage:dpkg-dev"
  "dh:debhelper"
  "strip:binutils"
  "lintian:lintian"
  "systemd-analyze:systemd"
)
container=(
  "mmdebstrap:mmdebstrap"
  "systemd-nspawn:systemd-container"
  "/usr/sbin/mke2fs:e2fsprogs"
  "swtpm:swtpm"
)
browser=(
  "chromium:chromium"
  "firefox-esr:firefox-esr"
  "certutil:libnss3-tools"
  "openssl:openssl"
)
# Debian's is 18, which is enough; a newer one from elsewhere brings npm itself.
case $(node --version 2>/dev/null) in
  v1[89].* | v[2-9][0-9].*) extension+=("npm:npm") ;;
  *) extension+=("nodejs-18:nodejs" "npm:npm") ;;
esac
browser+=("${extension[@]}")
machine=
image=
for group; do
  case $group in
    usb) wanted+=("${usb[@]}"); machine=1 ;;
    nfc) wanted+=("${nfc[@]}") ;;
    tpm) wanted+=("${tpm[@]}") ;;
    browser) wanted+=("${browser[@]}") ;;
    deb) wanted+=("${deb[@]}" "${extension[@]}") ;;
    container) wanted+=("${deb[@]}" "${extension[@]}" "${container[@]}"); image=1 ;;
    test)
      # At once, and not after half an hour.
      if ((EUID != 0)); then
        echo "setup: some tests are two users at once, or a container, and need root. So (target/ becomes root's, too):" >&2
        echo "  sudo env \"PATH=\$PATH\" \"RUSTUP_HOME=\${RUSTUP_HOME:-\$HOME/.rustup}\" make test" >&2
        exit 1
      fi
      wanted+=("${browser[@]}" "${usb[@]}" "${nfc[@]}" "${tpm[@]}" "${deb[@]}" "${container[@]}" "/usr/lib/*/faketime/libfaketime.so.1:libfaketime" "tpm2_getcap:tpm2-tools" "age:age" "systemd-creds:systemd" "/usr/lib/polkit-1/polkitd:polkitd" "${mocked[@]}" "/usr/lib/llvm-*/lib/libclang.so*:libclang-dev")
      machine=1
      image=1
      ;;
    bench) wanted+=("${browser[@]}" "${mocked[@]}" "${tpm[@]}" "ensurepip.py:python3-venv") ;;
    *) echo "setup: usb, nfc, tpm, browser, deb, container, test or bench, not $group" >&2; exit 2 ;;
  esac
done

is_there() {
  case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    *.py) python3 -c "import ${1%.py}" 2>/dev/null ;;
    *.pc) pkg-config --exists "${1%.pc}" 2>/dev/null ;;
    # The program, not the shell's builtin of that name: the tests call programs.
    *) type -P "$1" >/dev/null ;;
  esac
}

missing=()
for entry in "${wanted[@]}"; do
  is_there "${entry%%:*}" || missing+=("${entry##*:}")
done

as_root() {
  if ((EUID == 0)); then "$@"; return; fi
  command -v sudo >/dev/null || { echo "setup: please run as root: $*" >&2; exit 1; }
  sudo "$@"
}

if ((${#missing[@]})); then
  echo "setup: installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if [ -n "$machine" ] && ! "$(dirname "$0")/virtual-machine.sh"; then
  # apt's lists may be old, or not there.
  as_root apt-get update -qq
  "$(dirname "$0")/virtual-machine.sh"
fi

if [ -n "$image" ]; then "$(dirname "$0")/container.sh" disk; fi

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
