#!/usr/bin/env bash
# The main job, end to end, on a private bus and in a folder of its own: a card is enrolled, listed and pays the Space Shop
# order, the bank books it, and refuses the same authorization in another envelope. Leaves nothing behind.
# INTERACTIVE=1 asks you at this terminal instead of answering by itself.
# KEY=usb and KEY=nfc use another maker's security key, in software: a USB device of the kernel, or a card on a reader of pcscd.
# Without, the key is made in this computer.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${CARGO_TARGET_DIR:-target}/debug
export PATH="$(cd "$bin" && pwd):$PATH"
KEY=${KEY:-}

case $KEY in
  "") ;;
  usb)
    if [ ! -w /sys/devices/platform/vhci_hcd.0/attach ]; then
      if [ -n "${INTERACTIVE:-}" ]; then
        echo "demo: KEY=usb runs in a virtual machine, which has no terminal to ask you at; leave INTERACTIVE away" >&2
        exit 2
      fi
      printf 'This kernel has no virtual USB ports (vhci-hcd), so Debian'"'"'s is booted in a virtual machine: %s\n' \
        'some 10 seconds, then everything below happens in there.'
      exec virtual-machine demo
    fi
    ;;
  nfc)
    # pcscd and vpcd are this demo's own: in namespaces where /run is empty and the network is nobody else's.
    if [ -z "${DEMO_INSIDE:-}" ]; then DEMO_INSIDE=1 exec unshare --map-root-user --mount --net -- scripts/demo.sh; fi
    mount -t tmpfs tmpfs /run
    ip link set lo up
    ;;
  *) echo "demo: KEY=usb or KEY=nfc, not KEY=$KEY" >&2; exit 2 ;;
esac

dir=$(mktemp -d)
pids=()
pcscd= # it would wait for its readers
cleanup() {
  status=$?
  # The bus last, so that nobody complains that it is gone.
  [ -z "$pcscd" ] || kill -KILL "$pcscd" 2>/dev/null
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do kill "${pids[i]}" 2>/dev/null && wait "${pids[i]}" 2>/dev/null || true; done
  if [ -n "${INTERACTIVE:-}" ] && ((status == 3 || status == 130)); then
    printf '\nYou ended it; nothing of it is left.\n'
    status=0
  elif ((status != 0)) && [ -s "$dir/fwpd.log" ]; then echo "--- log of fwpd"; tail -n 30 "$dir/fwpd.log"; fi
  rm -rf "$dir"
  exit "$status"
}
trap cleanup EXIT

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '$ %s\n' "$*" >&2; } # standard output may be on its way into a file
wait_for() { # until $dir/$1 has a line
  for _ in $(seq 100); do [ -s "$dir/$1" ] && return; sleep 0.1; done
  echo "demo: $1 did not appear within 10 s" >&2; exit 1
}

step "1. A private bus and the wallet, fwpd"
# Without service files: nothing of your own session, such as its keyring, is started or touched.
cat >"$dir/bus.conf" <<CONF
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=$dir/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
CONF
dbus-daemon --config-file="$dir/bus.conf" --nofork --nopidfile --print-address=3 \
  3>"$dir/address" 2>"$dir/bus.log" & pids+=($!)
wait_for address
export DBUS_SESSION_BUS_ADDRESS; DBUS_SESSION_BUS_ADDRESS=$(head -n 1 "$dir/address")
show "fwpd --session"
fwpd --session --state-dir "$dir/wallet" 2>"$dir/fwpd.log" & pids+=($!)

step "2. A sandbox: bank, PSP and shop on this machine"
show "fwp-sandbox serve"
fwp-sandbox serve --listen 127.0.0.1:0 --dir "$dir/sandbox" --json >"$dir/ready" 2>"$dir/sandbox.log" & pids+=($!)
wait_for ready
url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$dir/ready")
echo "$url"

# The wallet answers on its bus when it is ready.
for _ in $(seq 20); do timeout 5 fwpctl --bus session list >/dev/null 2>&1 && break; sleep 0.2; done

pin=2580
key() { # the key in software, which tells what it does
  virtual-key "$@" </dev/null > >(tee "$dir/key" | while read -r line; do printf '   (the key: %s)\n' "$line" >&2; done) & pids+=($!)
  wait_for key
}

run() { # fwpctl, answered by this script or by the person at the terminal; $1: how many times the PIN is wanted
  local pins=$1; shift
  show "fwpctl $*"
  if [ -n "${INTERACTIVE:-}" ]; then
    fwpctl --bus session "$@"
  elif ((pins > 0)); then
    fwpctl --bus session "$@" --yes --pin-fd 3 3< <(for _ in $(seq "$pins"); do echo $pin; done)
  else
    fwpctl --bus session "$@"
  fi
}

person() { # as run; who said no may think again
  local status answer
  while true; do
    status=0
    run "$@" || status=$?
    if ((status != 3)) || [ -z "${INTERACTIVE:-}" ]; then return "$status"; fi
    read -r -p 'You said no, so nothing was done. Ask me once more? [yes/no] ' answer </dev/tty || return 3
    case $answer in y | Y | yes | Yes) sleep 2 ;; *) return 3 ;; esac # the wallet pauses for 2 s after a "no"
  done
}

case $KEY in
  "")
    step "3. A PIN for the built-in authenticator"
    which=platform
    ;;
  usb)
    step "3. OpenSK, plugged into the kernel's USB; its PIN"
    show "virtual-key usb --hand   # the demo itself touches it"
    key usb --hand
    which=usb
    ;;
  nfc)
    step "3. OpenSK, laid on a reader of pcscd; its PIN"
    cat >"$dir/reader.conf" <<CONF
FRIENDLYNAME "Virtual PCD"
DEVICENAME /dev/null:0x8C7B
LIBPATH /usr/lib/pcsc/drivers/serial/libifdvpcd.so
CHANNELID 0x8C7B
CONF
    mkdir "$dir/readers"
    mv "$dir/reader.conf" "$dir/readers/"
    /usr/sbin/pcscd --foreground --config "$dir/readers" >"$dir/pcscd.log" 2>&1 & pcscd=$!
    show "virtual-key nfc"
    key nfc
    which=nfc
    ;;
esac
if [ -n "$KEY" ]; then
  for _ in $(seq 50); do fwpctl --bus session authenticators | grep -q "$KEY" && break; sleep 0.2; done
  run 0 authenticators
fi
show "fwpctl pin set"
if [ -n "${INTERACTIVE:-}" ]; then fwpctl --bus session pin set "$which"
else fwpctl --bus session pin set "$which" --pin-fd 3 3< <(echo $pin; echo $pin); fi

step "4. Enroll: a FIDO key is made, the bank checks its attestation and issues two cards"
person 1 enroll "$url/bank/offer"

step "5. The cards"
run 0 list

step "6. Pay the Space Shop 435.00 EUR"
fwp-sandbox order --url "$url" >"$dir/request.json"
# Two cards fit; the person picks one.
if [ -n "${INTERACTIVE:-}" ]; then card=(); else card=(--card 1); fi
person 1 pay "$dir/request.json" "${card[@]}" >"$dir/assertion.json"
order=$(sed -n 's/.*"id": *"\([0-9]*\)".*/\1/p' "$dir/request.json" | head -n 1)

step "7. The shop sends the authorization through its PSP to the bank"
show "fwp-sandbox checkout"
fwp-sandbox checkout --url "$url" --order "$order" <"$dir/assertion.json" | tee "$dir/booked"
grep -q booked "$dir/booked"

step "8. The same authorization in another envelope"
show "fwp-sandbox redeliver"
status=0
fwp-sandbox redeliver --url "$url" --order "$order" || status=$?
if ((status != 4)); then echo "demo: the replay was not refused (exit $status)" >&2; exit 1; fi

step "9. What the wallet remembers"
run 0 history

if [ -n "${INTERACTIVE:-}" ]; then
  printf '\nThe bank shows its side at %s/bank. Press Enter to end. ' "$url"
  read -r _ || true
fi
step "Done: enrolled, paid, booked once, and the replay refused."
