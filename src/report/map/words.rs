//! Edge: how words are fitted into a picture. A character counts as one column.

/// `text` in lines of at most `width` characters, broken between words; a word that is longer is
/// broken where it must be.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        if length > 0 && length + 1 + word.len() > width {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        while word.len() > width {
            let rest = word.split_off(width);
            lines.push(word.iter().collect());
            word = rest;
        }
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        line.extend(&word);
        length += word.len();
    }
    if length > 0 || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// `text` in at most `width` characters: what is left out is in the middle, because the ends of
/// paths tell most.
pub(super) fn cut(text: &str, width: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= width {
        return text.to_owned();
    }
    let (head, tail) = (width.saturating_sub(1) / 3, width.saturating_sub(1) - width.saturating_sub(1) / 3);
    let end = chars.len() - tail;
    chars.iter().take(head).chain(&['…']).chain(chars.iter().skip(end)).collect()
}

/// How many columns `text` takes.
pub(super) fn columns(text: &str) -> usize {
    text.chars().count()
}

/// "and 12 more like this"
pub(super) fn more(number: usize) -> Option<String> {
    (number > 0).then(|| format!("and {number} more like this"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words_and_long_words_where_they_must_be() {
        assert_eq!(wrap("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrap("a /very/long/path b", 8), ["a", "/very/lo", "ng/path", "b"]);
        assert_eq!(wrap("", 8), [""]);
    }

    #[test]
    fn what_is_left_out_is_in_the_middle() {
        assert_eq!(cut("/opt/rke/var/lib/kubelet", 13), "/opt…/kubelet");
        assert_eq!(cut("/opt", 4), "/opt");
    }
}
