#!/bin/bash
# multipath-tools 0.9.4 to 0.15.1: `multipath -t` prints a device without a product without its closing brace.
#
# libmultipath matches a `device` of `blacklist` or `blacklist_exceptions` that has a vendor alone, or a product alone, and
# `multipath -t` displays the current configuration (multipath.conf(5)) in the form of the file. The product's line and the
# closing brace are printed as one format, the opening one and the vendor's line as another, and a format without a value
# prints nothing. So the output is another configuration: read back, two vendors become one, and a vendor and a product that
# were listed apart are listed together. 0.8.5 (Debian 11) prints `product "(null)"` and every brace.
#
# Seen with multipath-tools 0.9.4-3+deb12u2 (Debian 12) and 0.11.1-2 (Debian 13); 0.15.1-1 (sid) prints the same:
#   written:  device { vendor "AAA" } device { vendor "BBB" } device { product "CCC" }
#   printed:  device { vendor "AAA" device { vendor "BBB" product "CCC" }
#   its own output, read and printed again:  device { vendor "BBB" product "CCC" }
set -euo pipefail
for need in curl dpkg-deb xz ldconfig chroot; do
    command -v "$need" >/dev/null || { echo "$need is missing" >&2; exit 77; }
done
[ "$(id -u)" = 0 ] || { echo 'chroot needs root' >&2; exit 77; }
mirror=${CSIHOST_MIRROR:-https://deb.debian.org/debian}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# fetch SUITE VERSION: multipath-tools and the libraries that it needs, in a directory of that name
fetch() {
    curl -fsS "$mirror/dists/$1/main/binary-amd64/Packages.xz" | xz -dc >packages || return 1
    awk -v RS= -v version="$2" '
        { name = $2; file[name] = $0; sub(/.*\nFilename: /, "", file[name]); sub(/\n.*/, "", file[name])
          if (name == "multipath-tools" && index($0, "\nVersion: " version "\n")) found = 1
          needs[name] = ""; fields = split($0, field, /\n/)
          for (one = 1; one <= fields; one++)
              if (field[one] ~ /^(Pre-)?Depends: /) { sub(/^[^ ]*/, "", field[one]); needs[name] = needs[name] "," field[one] } }
        END { if (!found) exit 1
              list[1] = "multipath-tools"; count = 1
              for (at = 1; at <= count; at++) {
                  print file[list[at]]; parts = split(needs[list[at]], words, /[, ]*, */)
                  for (word = 1; word <= parts; word++) {
                      sub(/[ :|(].*/, "", words[word])
                      if (words[word] ~ /^lib/ && words[word] in file && !(words[word] in seen)) {
                          seen[words[word]] = 1; list[++count] = words[word]
                      } } } }' packages >files || return 1
    mkdir -p "$1/etc" "$1/dev"
    for name in lib lib64 sbin bin; do mkdir -p "$1/usr/$name"; ln -s "usr/$name" "$1/$name"; done
    while read -r file; do
        curl -fsS -o deb "$mirror/$file" || return 1
        dpkg-deb --fsys-tarfile deb | tar -x -C "$1" --keep-directory-symlink --no-same-owner
    done <files
    ldconfig -r "$1" 2>/dev/null
}

# lists SUITE: the devices of the blacklist that do not come with multipath-tools, on a line
lists() {
    chroot "$1" multipath -t 2>/dev/null >"$1/printed"
    sed -n '/^blacklist {/,/vendor "SGI"/p' "$1/printed" | sed '1,2d' | tr -s '\n\t ' ' ' |
        sed 's/^ //; s/ device { vendor "SGI" *$//'
}

for pinned in bookworm=0.9.4-3+deb12u2 trixie=0.11.1-2; do
    suite=${pinned%%=*}
    fetch "$suite" "${pinned#*=}" || { echo "multipath-tools ${pinned#*=} is no longer offered" >&2; exit 77; }
    cat >"$suite/etc/multipath.conf" <<'END'
blacklist {
    device {
        vendor "AAA"
    }
    device {
        vendor "BBB"
    }
    device {
        product "CCC"
    }
}
END
    echo "$suite printed: $(lists "$suite")"
    sed -n '/^blacklist {/,/^}/p' "$suite/printed" >"$suite/etc/multipath.conf"
    echo "$suite again: $(lists "$suite")"
done >seen
cat seen
diff seen - <<'END'
bookworm printed: device { vendor "AAA" device { vendor "BBB" product "CCC" }
bookworm again: device { vendor "BBB" product "CCC" }
trixie printed: device { vendor "AAA" device { vendor "BBB" product "CCC" }
trixie again: device { vendor "BBB" product "CCC" }
END
