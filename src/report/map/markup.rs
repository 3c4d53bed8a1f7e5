//! Edge: text for XML, and so for graphviz' labels too.

use crate::model::bytes::is_unsafe;

/// `text` as character data or as the value of an attribute. Characters that no XML document may
/// hold (XML 1.0, production 2) are replaced.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if is_unsafe(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Colours of directories: eight that most people can tell apart (Okabe and Ito, "Color Universal
/// Design"), dark enough for white letters.
const COLOURS: [&str; 8] =
    ["#0072b2", "#b35c00", "#00795a", "#9b4a7d", "#54626f", "#7a5c00", "#3f51b5", "#00707d"];

/// The colour of the directory with this index.
pub(super) fn colour(directory: usize) -> &'static str {
    COLOURS.get(directory % COLOURS.len()).copied().unwrap_or("#54626f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_can_become_markup() {
        assert_eq!(
            escaped("<a b=\"c\">'&\u{ffff}\u{1b}"),
            "&lt;a b=&quot;c&quot;&gt;&#39;&amp;\u{fffd}\u{fffd}"
        );
    }
}
