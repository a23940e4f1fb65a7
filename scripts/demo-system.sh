#!/usr/bin/env bash
# The main job through the installed Debian package: in a container with a systemd, bus and polkit of its own, apt installs fwpd,
# somebody logs in at its seat, and their first call starts the service. Cards are enrolled, the Space Shop order is paid and booked, the
# replay is refused, and so is who does not sit there. Needs root (or sudo); leaves nothing behind but the image, in target/container, and
# the packages; FWPD_PACKAGES names a folder of others, such as target/debian.
set -euo pipefail

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '%s$ %s\n' "$USER" "$*" >&2; } # standard output may be on its way into a file

in_the_container() { # as root: installs, and lets people log in
  export DEBIAN_FRONTEND=noninteractive USER=root
  step "1. Install, without network"
  show "apt install ./fwpd.deb ./fwpd-sandbox.deb"
  apt-get install --yes --no-install-recommends ./fwpd.deb ./fwpd-sandbox.deb >/tmp/apt 2>&1 || { cat /tmp/apt; exit 1; }
  grep -E '^(Setting up|Creating)' /tmp/apt
  show "systemctl is-active fwpd"
  systemctl is-active fwpd || true # started by the first call

  step "2. A bank, a PSP and a shop on this machine"
  USER=clara show "fwp-sandbox serve"
  runuser --user clara -- fwp-sandbox serve --listen 127.0.0.1:8080 --dir /tmp/sandbox --json >/tmp/ready 2>/tmp/sandbox.log &
  for _ in $(seq 100); do [ -s /tmp/ready ] && break; sleep 0.1; done
  echo http://localhost:8080

  as() { # a login by PAM and logind; $1: who
    runuser --login "$1" --command "DEMO=$2 exec bash $PWD/demo-system.sh"
  }
  XDG_SEAT=seat0 XDG_SESSION_TYPE=tty XDG_SESSION_CLASS=user as anna at_the_seat

  step "9. What runs"
  show "systemctl status fwpd; systemd-analyze security fwpd"
  systemctl status fwpd --no-pager --lines=0 | grep -E 'Loaded|Active|Status|Main PID' || true
  ps -o user,args -C fwpd
  systemd-analyze security --no-pager fwpd | tail -n 1

  XDG_SESSION_CLASS=user as bruno elsewhere
}

pin=2580
run() { # fwpctl, answered by this script; $1: how many times the PIN is wanted
  local pins=$1; shift
  show "fwpctl $*"
  if ((pins > 0)); then fwpctl --bus system "$@" --yes --pin-fd 3 3< <(for _ in $(seq "$pins"); do echo $pin; done)
  else fwpctl --bus system "$@"; fi
}

at_the_seat() {
  cd
  step "3. Anna logs in at the machine, and sets a PIN: her first call starts the service"
  show "fwpctl pin set platform"
  fwpctl --bus system pin set platform --pin-fd 3 3< <(echo $pin; echo $pin)
  step "4. Enroll: a FIDO key is made, the bank checks its attestation and issues two cards"
  run 1 enroll http://localhost:8080/bank/offer
  step "5. The cards"
  run 0 list
  step "6. Pay the Space Shop 435.00 EUR"
  fwp-sandbox order >request.json
  run 1 pay request.json --card 1 >assertion.json
  order=$(sed -n 's/.*"id": *"\([0-9]*\)".*/\1/p' request.json | head -n 1)
  step "7. The shop sends the authorization through its PSP to the bank; once more in another envelope"
  show "fwp-sandbox checkout; fwp-sandbox redeliver"
  fwp-sandbox checkout --order "$order" <assertion.json | tee booked
  grep -q booked booked
  status=0
  fwp-sandbox redeliver --order "$order" || status=$?
  if ((status != 4)); then echo "demo: the replay was not refused (exit $status)" >&2; exit 1; fi
  step "8. What the wallet remembers"
  run 0 history
}

elsewhere() {
  cd
  step "10. Bruno, who does not sit at the machine, sees nothing of it and may not ask for money"
  run 0 list
  fwp-sandbox order >request.json
  status=0
  run 1 pay request.json >/dev/null 2>refused || status=$?
  cat refused
  if ((status == 0)) || ! grep -q claim-origin refused; then echo "demo: he was not refused (exit $status)" >&2; exit 1; fi
  step "Done: installed, enrolled, paid, booked once; the replay and the other user refused."
}

case ${DEMO:-} in
  root) in_the_container ;;
  at_the_seat | elsewhere) "$DEMO" ;;
  *)
    cd "$(dirname "$0")/.."
    target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
    scripts/container.sh
    # By whoever calls this, so that nothing here becomes root's but what the container is made of.
    packages=${FWPD_PACKAGES:-$target/debian-demo}
    [ -n "${FWPD_PACKAGES:-}" ] || scripts/deb.sh --profile dev --out "$packages" >/dev/null
    as_root=(env)
    if ((EUID != 0)); then
      command -v sudo >/dev/null || { echo "demo: SYSTEM=1 starts a container, which needs root" >&2; exit 1; }
      as_root=(sudo)
    fi
    exec "${as_root[@]}" FWPD_PACKAGES="$(realpath "$packages")" "$target/debug/container" demo
    ;;
esac
