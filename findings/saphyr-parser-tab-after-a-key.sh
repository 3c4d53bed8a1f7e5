#!/bin/bash
# saphyr-parser 0.3.4: a tab between a key and a plain value is refused.
#
# YAML 1.2.2 allows tabs as white space between tokens on a line (6.2, s-separate-in-line); k3s' YAML library and libyaml take
# them. saphyr-parser takes the tab before a flow sequence and before a quoted value, and refuses it before a plain one.
#
# Seen with saphyr-parser 0.3.4 and Rust 1.89 and later:
#   plain:  error: ':' must be followed by a valid YAML whitespace
#   quoted: ok
#   flow:   ok
set -euo pipefail
command -v cargo >/dev/null || { echo 'cargo is missing' >&2; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir src
cat >Cargo.toml <<'END'
[package]
name = "tab"
version = "0.0.0"
edition = "2021"
[dependencies]
saphyr-parser = { version = "=0.3.4", default-features = false }
END
cat >src/main.rs <<'END'
use saphyr_parser::Parser;

fn main() {
    for (name, text) in [("plain", "key:\tvalue\n"), ("quoted", "key:\t\"value\"\n"), ("flow", "key:\t[value]\n")] {
        match Parser::new_from_str(text).find_map(Result::err) {
            Some(error) => println!("{name}: error: {}", error.info()),
            None => println!("{name}: ok"),
        }
    }
}
END
cargo generate-lockfile --quiet 2>/dev/null || { echo 'saphyr-parser 0.3.4 is no longer offered' >&2; exit 77; }
cargo run --quiet >seen
cat seen
diff seen - <<'END'
plain: error: ':' must be followed by a valid YAML whitespace
quoted: ok
flow: ok
END
