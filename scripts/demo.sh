#!/usr/bin/env bash
# The main job, end to end, on a private bus and in a folder of its own: a card is enrolled, listed and pays the Space Shop
# order, the bank books it, and refuses the same authorization in another envelope. Leaves nothing behind.
# INTERACTIVE=1 asks you at this terminal instead of answering by itself.
# KEY=usb and KEY=nfc use another maker's security key, in software: a USB device of the kernel, or a card on a reader of pcscd.
# KEY=tpm makes the key in a TPM, in software too: the bank's certification authority vouches for it, and the bank verifies its
# word. Without KEY, the key is made in this computer's memory.
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
  tpm) ;;
  *) echo "demo: KEY=usb, KEY=nfc or KEY=tpm, not KEY=$KEY" >&2; exit 2 ;;
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

steps=0
step() { steps=$((steps + 1)); title "$steps. $*"; }
title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '$ %s\n' "$*" >&2; } # standard output may be on its way into a file
wait_for() { # until $dir/$1 has a line
  for _ in $(seq 100); do [ -s "$dir/$1" ] && return; sleep 0.1; done
  echo "demo: $1 did not appear within 10 s" >&2; exit 1
}

tpm=none # this computer's own stays as it is
roots=
swtpm_from_its_maker() { # a TPM whose endorsement key has a certificate, as those of PCs have: sets $tpm and $roots
  local state=$dir/tpm ca=$dir/tpm/ca port pid
  mkdir -p "$ca"
  cat >"$state/ca.conf" <<CONF
statedir = $ca
signingkey = $ca/key.pem
issuercert = $ca/cert.pem
certserial = $ca/serial
CONF
  printf '%s\n' "--platform-manufacturer Fwpd" "--platform-version 1" "--platform-model Demo" >"$state/options.conf"
  cat >"$state/setup.conf" <<CONF
create_certs_tool=/usr/bin/swtpm_localca
create_certs_tool_config=$state/ca.conf
create_certs_tool_options=$state/options.conf
CONF
  show "swtpm_setup --tpm2 --create-ek-cert"
  swtpm_setup --tpm2 --create-ek-cert --overwrite --config "$state/setup.conf" --tpm-state "$state" >"$dir/tpm.log" ||
    { cat "$dir/tpm.log"; exit 1; }
  roots=$dir/tpm-roots.pem
  cat "$ca/swtpm-localca-rootca-cert.pem" "$ca/cert.pem" >"$roots"
  show "swtpm socket --tpm2"
  for _ in $(seq 20); do
    # Two ports in a row, below those that the kernel gives to connections.
    port=$((10000 + RANDOM % 10000 * 2))
    swtpm socket --tpm2 --tpmstate "dir=$state" --ctrl "type=tcp,port=$((port + 1))" --server "type=tcp,port=$port" \
      --flags not-need-init,startup-clear >>"$dir/tpm.log" 2>&1 & pid=$!
    for _ in $(seq 50); do
      sleep 0.1
      kill -0 "$pid" 2>/dev/null || break # somebody else has one of them
      if (: 3<>"/dev/tcp/127.0.0.1/$((port + 1))") 2>/dev/null; then
        pids+=("$pid")
        tpm=swtpm:host=127.0.0.1,port=$port
        return
      fi
    done
    kill "$pid" 2>/dev/null || true
  done
  echo "demo: swtpm does not start" >&2; exit 1
}
if [ "$KEY" = tpm ]; then
  step "A TPM in software, and its maker's certificate for it"
  if [ -n "${DEMO_TPM:-}" ]; then tpm=$DEMO_TPM roots=$DEMO_TPM_ROOTS # a virtual machine's
  else swtpm_from_its_maker; fi
fi

step "A private bus and the wallet, fwpd"
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
printf '[tpm]\naddress = "%s"\n' "$tpm" >"$dir/fwpd.toml"
fwpd --session --config "$dir/fwpd.toml" --state-dir "$dir/wallet" 2>"$dir/fwpd.log" & pids+=($!)

step "A sandbox: bank, PSP and shop on this machine"
knows=()
if [ -n "$roots" ]; then knows=(--tpm-roots "$roots"); fi
show "fwp-sandbox serve ${knows[*]}"
fwp-sandbox serve --listen 127.0.0.1:0 --dir "$dir/sandbox" --json "${knows[@]}" >"$dir/ready" 2>"$dir/sandbox.log" & pids+=($!)
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

where=() # the key is made
case $KEY in
  "")
    step "A PIN for the built-in authenticator"
    which=platform
    ;;
  usb)
    step "OpenSK, plugged into the kernel's USB; its PIN"
    show "virtual-key usb --hand   # the demo itself touches it"
    key usb --hand
    which=usb
    ;;
  nfc)
    step "OpenSK, laid on a reader of pcscd; its PIN"
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
  tpm)
    step "The bank's certification authority gets to know the TPM; its PIN"
    if [ -n "${INTERACTIVE:-}" ]; then consent=(); else consent=(--yes); fi
    person 0 authenticators certify tpm "$url/bank/tpm-ca" "${consent[@]}"
    which=tpm
    where=(--authenticator tpm)
    ;;
esac
if [ -n "$KEY" ]; then
  for _ in $(seq 50); do fwpctl --bus session authenticators | grep -q "$KEY" && break; sleep 0.2; done
  run 0 authenticators
fi
show "fwpctl pin set"
if [ -n "${INTERACTIVE:-}" ]; then fwpctl --bus session pin set "$which"
else fwpctl --bus session pin set "$which" --pin-fd 3 3< <(echo $pin; echo $pin); fi

step "Enroll: a FIDO key is made, the bank checks its attestation and issues two cards"
person 1 enroll "$url/bank/offer" "${where[@]}"
if [ "$KEY" = tpm ]; then
  show "GET $url/bank/cards"
  at=${url#http://}
  exec 4<>"/dev/tcp/${at%:*}/${at##*:}"
  printf 'GET /bank/cards HTTP/1.0\r\nHost: %s\r\n\r\n' "$at" >&4
  sed '1,/^\r$/d' <&4 >"$dir/cards"
  exec 4>&-
  # "tpm" is said only where the bank has verified it.
  grep -q '"vouchedBy": *"tpm"' "$dir/cards" || { echo "demo: the bank does not know the key's TPM" >&2; exit 1; }
  echo 'bank: the key is in a TPM, attestation verified ("vouchedBy": "tpm")'
fi

step "The cards"
run 0 list

step "Pay the Space Shop 435.00 EUR"
fwp-sandbox order --url "$url" >"$dir/request.json"
# Two cards fit; the person picks one.
if [ -n "${INTERACTIVE:-}" ]; then card=(); else card=(--card 1); fi
person 1 pay "$dir/request.json" "${card[@]}" >"$dir/assertion.json"
order=$(sed -n 's/.*"id": *"\([0-9]*\)".*/\1/p' "$dir/request.json" | head -n 1)

step "The shop sends the authorization through its PSP to the bank"
show "fwp-sandbox checkout"
fwp-sandbox checkout --url "$url" --order "$order" <"$dir/assertion.json" | tee "$dir/booked"
grep -q booked "$dir/booked"

step "The same authorization in another envelope"
show "fwp-sandbox redeliver"
status=0
fwp-sandbox redeliver --url "$url" --order "$order" || status=$?
if ((status != 4)); then echo "demo: the replay was not refused (exit $status)" >&2; exit 1; fi

step "What the wallet remembers"
run 0 history

if [ -n "${INTERACTIVE:-}" ]; then
  printf '\nThe bank shows its side at %s/bank. Press Enter to end. ' "$url"
  read -r _ || true
fi
title "Done: enrolled, paid, booked once, and the replay refused."
