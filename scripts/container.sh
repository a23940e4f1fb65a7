#!/usr/bin/env bash
# Makes the image of the tests' container in target/container, if it isn't there yet: a minimal Debian 12 with what fwpd's package
# depends on, from Debian's archive, checked by apt. One download of some 60 MB; everything after that is offline. Needs root or sudo,
# as the container itself does. The virtual machine boots the same image: container.sh disk also makes a disk of it.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/container"
folder=$(cd "$target/container" && pwd)

packages=(
  # A system with a bus, seats and polkit.
  systemd systemd-sysv dbus udev libpam-systemd polkitd debconf
  # What fwpd's packages depend on and what finds keys and the TPM.
  libtss2-esys-3.0.2-0 libtss2-tctildr0 libtss2-tcti-device0 libtss2-tcti-swtpm0 tpm-udev libudev1 libpcsclite1 pcscd
  # What the cases use: a TPM in software, who looks at it from outside, and processes.
  swtpm tpm2-tools procps
)
# Ordinary people of the image.
people=(anna bruno clara)

as_root() {
  if ((EUID == 0)); then "$@"; return; fi
  command -v sudo >/dev/null || { echo "container: please run as root: $*" >&2; exit 1; }
  sudo "$@"
}

disk() { # an ext4 image of the root for a virtual machine
  [ "$folder/disk" -nt "$folder/made" ] && return
  rm -f "$folder/disk" "$folder/disk.new"
  # Programs of the administrator: not in everybody's PATH.
  as_root env PATH="$PATH:/usr/sbin:/sbin" mke2fs -q -t ext4 -O '^has_journal' -E lazy_itable_init=1 -d "$folder/root" "$folder/disk.new" 512M
  as_root chmod 0644 "$folder/disk.new"
  as_root mv "$folder/disk.new" "$folder/disk"
}

made=$(cat scripts/container.sh tests/src/container/fwpd-tests.service | sha256sum)
if [ "$(cat "$folder/made" 2>/dev/null)" != "$made" ]; then
  command -v mmdebstrap >/dev/null || { echo "container: mmdebstrap is missing: run scripts/setup.sh test" >&2; exit 1; }
  echo "container: making the image in $target/container (once, 1 to 2 minutes)"
  # The mirror that this machine uses, its proxy too.
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Codename: bookworm' 'Component: main' 2>/dev/null |
    grep -E '^https?:' | head -n 1) || true
  options=()
  while read -r proxy; do options+=(--aptopt="$proxy"); done < <(apt-config dump | grep -iE '^Acquire::https?::Proxy ' || true)
  as_root rm -rf "$folder/root" "$folder/root.new" "$folder/made"
  export LC_ALL=C.UTF-8
  # The hooks run in this machine, with the image's root as $1.
  as_root mmdebstrap --quiet --mode=root --variant=minbase --format=directory "${options[@]}" \
    --aptopt='APT::Sandbox::User "root"' --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --include="$(IFS=,; echo "${packages[*]}")" \
    --customize-hook='rm -f "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap" && echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/quick"' \
    --customize-hook="for one in ${people[*]}; do chroot \"\$1\" useradd --create-home --shell /bin/bash \$one; done" \
    --customize-hook='copy-in tests/src/container/fwpd-tests.service /etc/systemd/system' \
    --customize-hook='chroot "$1" systemctl --quiet mask console-getty.service getty.target apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer systemd-tmpfiles-clean.timer' \
    --customize-hook='mkdir -p "$1/mnt/fwpd" "$1/mnt/out" && : >"$1/etc/machine-id" && echo fwpd-tests >"$1/etc/hostname" && echo "127.0.0.1 localhost fwpd-tests" >"$1/etc/hosts"' \
    bookworm "$folder/root.new" "${mirror:-http://deb.debian.org/debian}"
  as_root mv "$folder/root.new" "$folder/root"
  # Last: what was interrupted is made anew.
  echo "$made" >"$folder/made"
fi
case ${1:-} in
  "") ;;
  disk) disk ;;
  *) echo "container: disk, not $1" >&2; exit 2 ;;
esac
