//! Scene: how a value is taken out, and credentials that hide in the values that stay.

/// What stands in the place of a value.
pub(super) const REDACTED: &[u8] = b"redacted";

/// Whether a name says that its value is a secret, whatever it is the name of.
pub(super) fn is_secret(name: &[u8]) -> bool {
    const SECRET: [&[u8]; 9] =
        [b"token", b"secret", b"passw", b"passphrase", b"credential", b"auth", b"apikey", b"key", b"chap"];
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|word| name.windows(word.len()).any(|part| part == *word))
}

/// Takes user names and passwords out of URLs: `x://user:password@host` becomes
/// `x://redacted@host`.
pub(super) fn without_credentials(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(3).position(|part| part == b"://") {
        let (before, after) = rest.split_at(at + 3);
        out.extend_from_slice(before);
        // A password may hold a `/` that should have been escaped: the last `@` of the word ends it.
        let end =
            after.iter().position(|b| b.is_ascii_whitespace() || b"\"'".contains(b)).unwrap_or(after.len());
        let (word, remains) = after.split_at(end);
        rest = match word.iter().rposition(|&b| b == b'@') {
            Some(at) => {
                out.extend_from_slice(REDACTED);
                out.extend_from_slice(word.get(at..).unwrap_or_default());
                remains
            }
            None => after,
        };
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_and_addresses_stay() {
        for (text, expected) in [
            ("a https://u:p@host/x b", "a https://redacted@host/x b"),
            ("postgres://u:p/@h@host:5432/db", "postgres://redacted@host:5432/db"),
            ("unix:///run/x.sock", "unix:///run/x.sock"),
            ("https://host/a https://t@b", "https://host/a https://redacted@b"),
            ("https://host:1/\"x@y\"", "https://host:1/\"x@y\""),
            ("://", "://"),
        ] {
            assert_eq!(String::from_utf8(without_credentials(text.as_bytes())).unwrap(), expected);
        }
    }

    #[test]
    fn names_of_secrets_are_known_in_any_case() {
        for name in
            ["token", "K3S_TOKEN", "agent-token-file", "node.session.auth.password", "etcd-s3-secret-key"]
        {
            assert!(is_secret(name.as_bytes()), "{name}");
        }
        for name in ["root-dir", "data-dir", "KUBELET_EXTRA_ARGS", "v"] {
            assert!(!is_secret(name.as_bytes()), "{name}");
        }
    }
}
