#!/usr/bin/env bash
# What can be said of the packages without installing them, on those of the programs that are built already: check-packages.sh [FOLDER]
# leaves them there (debian-dev/ in cargo's target folder). The same bytes from another folder, time zone, language and umask; lintian finds no error and
# no warning; the unit has no mistake, and its exposure is at most 1.0 of 10, of which docs/security.md gives
# the reasons; what is a settings file and whose the files are.
set -euo pipefail
export LC_ALL=C.UTF-8 # systemd-analyze marks its lines otherwise elsewhere
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
out=${1:-$target/debian-dev}
fail() { echo "check-packages: $*" >&2; exit 1; }

elsewhere=$(mktemp -d)
trap 'rm -rf "$elsewhere"' EXIT
mkdir -p "$elsewhere/a folder/browser/extension"
cp -r packaging scripts docs README.md THREAT-MODEL.md "$elsewhere/a folder/"
[ ! -e browser/extension/dist ] || cp -r browser/extension/dist "$elsewhere/a folder/browser/extension/"
(
  umask 027
  cd "$elsewhere/a folder"
  export CARGO_TARGET_DIR=$target TZ=Pacific/Kiritimati LC_ALL=POSIX HOME=$elsewhere
  scripts/deb.sh --profile dev --out "$elsewhere/out" >/dev/null
) &
scripts/deb.sh --profile dev --out "$out" >/dev/null
wait $!
packages=("$out"/fwpd_*.deb "$out"/fwpd-sandbox_*.deb)
for package in "${packages[@]}"; do
  cmp "$package" "$elsewhere/out/$(basename "$package")" || fail "the package depends on where it is made"
done

lintian --allow-root --fail-on error,warning "${packages[@]}" || fail "lintian has something to say"

# A directive that is misspelt protects nothing. (The program isn't installed here.)
sed 's#^ExecStart=.*#ExecStart=/bin/true#' packaging/systemd/fwpd.service >"$elsewhere/fwpd.service"
systemd-analyze verify --man=no --recursive-errors=yes "$elsewhere/fwpd.service" || fail "the unit has a mistake"
# In tenths.
systemd-analyze security --offline=true --no-pager --threshold=10 packaging/systemd/fwpd.service >"$elsewhere/security" ||
  { cat "$elsewhere/security"; fail "the unit is too open"; }
tail -n 1 "$elsewhere/security"
# What is left open is what reviewers are told of, each with its reason.
open_points() { sed -n 's/^✗ \([^ ]*\) .*/\1/p' "$1" | sort; }
diff <(open_points "$elsewhere/security") <(open_points docs/security.md) >&2 || fail "docs/security.md tells of other points that remain"

# What makes it is there by now: in "make test" it is built first.
listed=$(dpkg-deb -c "${packages[0]}")
for file in chromium/manifest.json fwpd-firefox.zip; do
  grep -q "/usr/share/fwpd/browser/$file\$" <<<"$listed" || fail "the browser extension is not in the package ($file)"
done

expected="/etc/chromium/native-messaging-hosts/io.github.fwpd.json
/etc/fwpd/fwpd.toml
/etc/opt/chrome/native-messaging-hosts/io.github.fwpd.json"
found=$(dpkg-deb -I "${packages[0]}" conffiles | sort)
[ "$found" = "$expected" ] || fail "settings files are $found"
for package in "${packages[@]}"; do
  dpkg-deb -c "$package" | while read -r mode owner _ _ _ name; do
    [ "$owner" = root/root ] || fail "$name is of $owner"
    case $mode in
      -rw-r--r-- | -rwxr-xr-x | drwxr-xr-x | lrwxrwxrwx) ;;
      *) fail "$name has the mode $mode" ;;
    esac
  done
done
ls -l "${packages[@]}"
