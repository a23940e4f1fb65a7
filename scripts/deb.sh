#!/usr/bin/env bash
# Packs fwpd and fwpd-sandbox for this Debian: deb.sh [--profile release|dev] [--version V] [--out FOLDER]
#   --profile release  (the default) builds the programs first, so that their bytes don't depend on the folder they are built in
#   --profile dev      packs the debug programs as they are built already, in seconds: for tests
#   --version V        a version other than packaging/debian/changelog's
#   --out FOLDER       where the packages go; else debian/ (dev: debian-dev/) in cargo's target folder
# The same programs make the same packages, wherever and whenever.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=release
version=
target=${CARGO_TARGET_DIR:-target}
out=
while (($#)); do
  case $1 in
    --profile) profile=$2 ;;
    --version) version=$2 ;;
    --out) out=$2 ;;
    *) echo "deb: --profile release|dev, --version V or --out FOLDER, not $1" >&2; exit 2 ;;
  esac
  shift 2
done

case $profile in
  release) bin=$(scripts/deb-programs.sh) out=${out:-$target/debian} ;;
  dev) bin=$target/debug out=${out:-$target/debian-dev} ;;
  *) echo "deb: the profile is release or dev, not $profile" >&2; exit 2 ;;
esac
for program in fwpd fwpctl fwp-native-host fwp-sandbox virtual-key; do
  [ -x "$bin/$program" ] || { echo "deb: $bin/$program is not built" >&2; exit 1; }
done

# The extension: always in a release; for tests where it is built, or can be without a download.
extension=browser/extension/dist
if [ "$profile" = release ]; then
  scripts/browser-parts.sh >&2
  npm run --silent --prefix browser/extension package >&2
elif [ ! -e "$extension/fwpd-firefox.zip" ] && [ -e browser/extension/node_modules/esbuild ]; then
  npm run --silent --prefix browser/extension package >&2
fi

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
source=$stage/fwpd
mkdir -p "$source"/{programs,chromium,firefox,extension,man,completions/{bash,zsh,fish},docs}
cp "$bin"/{fwpd,fwpctl,fwp-native-host,fwp-sandbox,virtual-key} "$source/programs/"
cp -r packaging packaging/debian "$source/"
cp README.md THREAT-MODEL.md "$source/"
cp docs/*.md "$source/docs/"
cp packaging/native-messaging/chromium.json "$source/chromium/io.github.fwpd.json"
cp packaging/native-messaging/firefox.json "$source/firefox/io.github.fwpd.json"
cp packaging/systemd/fwpd.service "$source/debian/fwpd.service"
cp packaging/systemd/fwpd.sysusers "$source/debian/fwpd.sysusers"
cp packaging/systemd/fwpd.tmpfiles "$source/debian/fwpd.tmpfiles"
cp packaging/udev/70-fwpd.rules "$source/debian/fwpd.udev"
if [ -e "$extension/fwpd-firefox.zip" ]; then
  cp -r "$extension/chromium" "$extension/fwpd-firefox.zip" "$source/extension/"
else
  echo "deb: without the browser extension, which is not built" >&2
  sed -i '/^extension/d' "$source/debian/fwpd.install"
fi
"$bin/fwpctl" man "$source/man" >"$stage/log" 2>&1 || { cat "$stage/log" >&2; exit 1; }
"$bin/fwpctl" completions bash >"$source/completions/bash/fwpctl"
"$bin/fwpctl" completions zsh >"$source/completions/zsh/_fwpctl"
"$bin/fwpctl" completions fish >"$source/completions/fish/fwpctl.fish"
if [ -n "$version" ]; then sed -i "1s/(.*)/($version)/" "$source/debian/changelog"; fi

compression=
if [ "$profile" = dev ]; then compression="-Zgzip -z1"; fi
log=$stage/log
if ! (cd "$source" && FWPD_DEB_COMPRESSION=$compression dpkg-buildpackage -b -us -uc -ui >"$log" 2>&1); then
  cat "$log" >&2
  exit 1
fi
mkdir -p "$out"
rm -f "$out"/fwpd_*.deb "$out"/fwpd-sandbox_*.deb
cp "$stage"/*.deb "$out/"
ls "$out"/fwpd{,-sandbox}_*.deb
