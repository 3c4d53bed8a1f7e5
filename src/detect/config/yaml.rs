//! Pure: a small YAML document as a tree with lines, of bounded size.
//!
//! Scalars stay text: who reads one knows what it should be. Duplicate keys are kept, in order.

use saphyr_parser::{Event, Parser, ScalarStyle};
use std::borrow::Cow;
use std::collections::HashMap;

/// No configuration needs more, and aliases cannot make more of it.
const MOST_NODES: usize = 100_000;
/// As deep as a document may be.
const DEEPEST: usize = 64;

/// A value, and the line on which it begins, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A scalar; whether it was written without quotes.
    Scalar(String, bool),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// Why a text is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct YamlError {
    pub(super) line: usize,
    pub(super) error: String,
}

impl Node {
    /// The text of a scalar; nothing for a null.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, plain) => Some(if *plain && is_null(text) { "" } else { text }),
            _ => None,
        }
    }

    fn size(&self) -> usize {
        match &self.value {
            Value::Scalar(..) => 1,
            Value::List(list) => 1 + list.iter().map(Self::size).sum::<usize>(),
            Value::Map(map) => 1 + map.iter().map(|(key, value)| key.size() + value.size()).sum::<usize>(),
        }
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// A list or map that is not at its end.
struct Open {
    line: usize,
    anchor: usize,
    /// Keys and values alternate where it is a map.
    children: Vec<Node>,
    map: bool,
}

/// The first document of `text`; `None` where there is nothing in it.
pub(super) fn document(text: &[u8]) -> Result<Option<Node>, YamlError> {
    let text = std::str::from_utf8(text).map_err(|error| {
        let before = text.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        YamlError { line, error: "expected UTF-8".to_owned() }
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = &without_tabs(text);
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, Node> = HashMap::new();
    let mut nodes = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| YamlError {
            line: error.marker().line().max(1),
            error: format!("expected YAML: {}", error.info()),
        })?;
        let line = span.start.line();
        let fail = |error: &str| Err(YamlError { line, error: error.to_owned() });
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let text = Cow::into_owned(text);
                nodes += 1;
                (Node { line, value: Value::Scalar(text, style == ScalarStyle::Plain) }, anchor)
            }
            Event::Alias(anchor) => match anchors.get(&anchor) {
                Some(node) => {
                    nodes += node.size();
                    if nodes > MOST_NODES {
                        return fail("expected a smaller document: its aliases make too much of it");
                    }
                    (node.clone(), 0)
                }
                None => return fail("expected an alias of something that comes before it"),
            },
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                let map = matches!(event, Event::MappingStart(..));
                if open.len() >= DEEPEST {
                    return fail("expected a document that is less deep");
                }
                open.push(Open { line, anchor, children: Vec::new(), map });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = open.pop() else { return fail("expected a document") };
                nodes += 1;
                let value =
                    if open.map { Value::Map(pairs(open.children)) } else { Value::List(open.children) };
                (Node { line: open.line, value }, open.anchor)
            }
            // What follows the first document is not read.
            Event::DocumentEnd => return Ok(None),
            _ => continue,
        };
        if nodes > MOST_NODES {
            return fail("expected a smaller document");
        }
        if anchor != 0 {
            anchors.insert(anchor, node.clone());
        }
        match open.last_mut() {
            Some(open) => open.children.push(node),
            None => return Ok(Some(node)),
        }
    }
    Ok(None)
}

/// The text with blanks in the place of tabs between a key and its value on the same line. YAML 1.2 allows them (6.2) and
/// libyaml's descendants, k3s' among them, take them; saphyr-parser (0.3.4) does not before a plain value. In a quoted or a
/// block scalar a tab after a colon and a key becomes a blank too: no value that csihost reads has one.
fn without_tabs(text: &str) -> Cow<'_, str> {
    if !text.contains(":\t") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match line.split_once(":\t") {
            Some((key, value)) if !key.contains(['"', '\'', '#']) => {
                out.push_str(key);
                out.push_str(": ");
                out.push_str(value.trim_start_matches(['\t', ' ']));
            }
            _ => out.push_str(line),
        }
    }
    Cow::Owned(out)
}

fn pairs(children: Vec<Node>) -> Vec<(Node, Node)> {
    let mut pairs = Vec::with_capacity(children.len() / 2);
    let mut children = children.into_iter();
    while let (Some(key), Some(value)) = (children.next(), children.next()) {
        pairs.push((key, value));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(node: &Node) -> String {
        match &node.value {
            Value::Scalar(..) => format!("{}:{:?}", node.line, node.text().unwrap()),
            Value::List(list) => format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(" ")),
            Value::Map(map) => {
                let pairs = map.iter().map(|(key, value)| format!("{}={}", shown(key), shown(value)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn documents_are_read_with_their_lines() {
        for (text, wanted) in [
            ("a:\tb\nc:\t\t'd'\n# e:\tf\n", r#"{1:"a"=1:"b" 2:"c"=2:"d"}"#),
            ("# c\na: b\nc:\n- d\n- \"~\"\n", r#"{2:"a"=2:"b" 3:"c"=[4:"d" 5:"~"]}"#),
            ("a: &x [1, 2]\nb: *x\na: ~\n", r#"{1:"a"=[1:"1" 1:"2"] 2:"b"=[1:"1" 1:"2"] 3:"a"=3:""}"#),
            ("a: 1\n---\nb: 2\n", r#"{1:"a"=1:"1"}"#),
            ("\u{feff}a: 1", r#"{1:"a"=1:"1"}"#),
            ("a:", r#"{1:"a"=1:""}"#),
            ("a: |\n  x\n  y\n", r#"{1:"a"=2:"x\ny\n"}"#),
        ] {
            assert_eq!(shown(&document(text.as_bytes()).unwrap().unwrap()), wanted, "{text}");
        }
        for empty in ["", "# nothing\n", "---\n"] {
            let found = document(empty.as_bytes()).unwrap();
            assert!(found.is_none_or(|node| node.text() == Some("")), "{empty}");
        }
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_line() {
        for (text, line) in [
            (&b"a: 1\nb: [1,\nc: 2\n"[..], 3),
            (b"a:\n\tb: 2\n", 2),
            (b"a: 1\nb: 'x\n", 2),
            (b"a: 1\nb: \xff\n", 2),
            (b"a: *none\n", 1),
        ] {
            let error = document(text).unwrap_err();
            assert_eq!(error.line, line, "{} {error:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn documents_that_grow_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..30 {
            let of = format!("*a{}", n - 1);
            bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![of; 10].join(", ")));
        }
        assert!(document(bomb.as_bytes()).unwrap_err().error.contains("aliases"));
        let deep = "[".repeat(100_000);
        assert!(document(deep.as_bytes()).unwrap_err().error.contains("recursion"));
        let deep = "- ".repeat(10_000);
        assert!(document(deep.as_bytes()).unwrap_err().error.contains("deep"));
        let long = "- x\n".repeat(200_000);
        assert!(document(long.as_bytes()).unwrap_err().error.contains("smaller"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text: Vec<u8>, odd in "[-a:&*!|>'\"{}\\[\\],#?%@\n ]{0,80}") {
            let _ = document(&text);
            let _ = document(odd.as_bytes());
        }
    }
}
