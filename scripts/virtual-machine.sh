#!/usr/bin/env bash
# Fetches the parts of the virtual machine of the USB tests into target/vm, if they aren't there yet: Debian's kernel with the
# modules it needs, QEMU, and the programs of the guest that this machine lacks. From Debian's archive, checked by apt,
# unpacked in that folder alone: nothing is installed, and no root is needed.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/vm"
vm=$(cd "$target/vm" && pwd)

# Names what is wanted besides the kernel; $1: program, $2: its package.
wanted=()
want() { type -P "$1" >/dev/null || [ -x "$1" ] || wanted+=("$2"); }
want qemu-system-x86_64 qemu-system-x86
want busybox busybox-static
want fido2-token fido2-tools
want /lib/udev/fido_id udev

kernel=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
if [ -z "$kernel" ]; then
  # Fetched once, it serves without apt's lists too.
  if [ -s "$vm/parts" ]; then exit 0; fi
  echo "virtual-machine: apt knows no linux-image-amd64: is this Debian, and has apt-get update run?" >&2
  exit 1
fi
# The second: what a disk needs of the kernel, which the first versions of this script left away.
parts="$kernel disk ${wanted[*]}"
missing=
for part in $parts; do
  grep -qxF "$part" "$vm/parts" 2>/dev/null || missing=1
done
if [ -z "$missing" ]; then exit 0; fi

echo "virtual-machine: fetching $kernel ${wanted[*]} into $target/vm"
rm -rf "$vm/parts" "$vm/debs" "$vm/kernel" "$vm/root"
mkdir -p "$vm/debs" "$vm/kernel" "$vm/root"
packages=("$kernel")
if ((${#wanted[@]})); then
  # What apt would install for them here. Newer qemu-utils are in the way of it, but not of a copy in a folder of its own.
  mapfile -t -O 1 packages < <(apt-get install --simulate --no-install-recommends "${wanted[@]}" qemu-utils- |
    sed -n 's/^Inst \([^ ]*\) .*/\1/p')
fi
(cd "$vm/debs" && apt-get -o APT::Sandbox::User=root download -qq "${packages[@]}")
for deb in "$vm"/debs/*.deb; do
  case $deb in
    */linux-image-*)
      dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$vm/kernel" --wildcards './boot/vmlinuz-*' \
        './lib/modules/*/kernel/drivers/usb/*' './lib/modules/*/kernel/drivers/hid/*' './lib/modules/*/kernel/drivers/virtio/*' \
        './lib/modules/*/kernel/drivers/block/virtio_blk.ko' './lib/modules/*/kernel/fs/ext4/*' './lib/modules/*/kernel/fs/jbd2/*' \
        './lib/modules/*/kernel/fs/mbcache.ko' './lib/modules/*/kernel/lib/crc16.ko' './lib/modules/*/kernel/crypto/crc32c_generic.ko'
      ;;
    *) dpkg-deb -x "$deb" "$vm/root" ;;
  esac
done
rm -rf "$vm/debs"
# Last: what was interrupted is fetched anew.
printf '%s\n' $parts >"$vm/parts"
