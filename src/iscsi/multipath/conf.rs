//! The lines of multipath.conf(5), as libmultipath's parser reads them (parser.c and dict.c of
//! multipath-tools 0.8.5 to 0.15.1).
//!
//! In comes a file's text, out come its [`Statement`]s in order, each with its line, also those
//! that multipath ignores. `rules` makes a configuration of them.

/// The size of the buffer that a line is read into; more of it is a line of its own (`MAXBUF`).
const BUFFER: usize = 1024;

/// A section, or the top of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Outside of any section.
    Top,
    /// `defaults`.
    Defaults,
    /// `blacklist`.
    Blacklist,
    /// `blacklist_exceptions`.
    Exceptions,
    /// `device` in `blacklist`.
    BlacklistDevice,
    /// `device` in `blacklist_exceptions`.
    ExceptionsDevice,
    /// `devices`.
    Devices,
    /// `device` in `devices`.
    Device,
    /// `overrides`.
    Overrides,
    /// `protocol` in `overrides`.
    Protocol,
    /// `multipaths`.
    Multipaths,
    /// `multipath` in `multipaths`.
    Multipath,
}

impl Section {
    /// The section that a keyword opens in this one.
    fn opened(self, keyword: &[u8]) -> Option<Self> {
        Some(match (self, keyword) {
            (Self::Top, b"defaults") => Self::Defaults,
            (Self::Top, b"blacklist") => Self::Blacklist,
            (Self::Top, b"blacklist_exceptions") => Self::Exceptions,
            (Self::Top, b"devices") => Self::Devices,
            (Self::Top, b"overrides") => Self::Overrides,
            (Self::Top, b"multipaths") => Self::Multipaths,
            (Self::Blacklist, b"device") => Self::BlacklistDevice,
            (Self::Exceptions, b"device") => Self::ExceptionsDevice,
            (Self::Devices, b"device") => Self::Device,
            (Self::Overrides, b"protocol") => Self::Protocol,
            (Self::Multipaths, b"multipath") => Self::Multipath,
            _ => return None,
        })
    }

    /// Returns true if `keyword` has a value here. Options of sections that have no rule in them
    /// are not told from unknown ones: neither changes what is listed.
    fn has(self, keyword: &[u8]) -> bool {
        match self {
            Self::Blacklist | Self::Exceptions => {
                matches!(keyword, b"devnode" | b"wwid" | b"property" | b"protocol")
            }
            Self::BlacklistDevice | Self::ExceptionsDevice => matches!(keyword, b"vendor" | b"product"),
            Self::Top | Self::Devices | Self::Multipaths => false,
            _ => true,
        }
    }

    /// Returns true if rules are listed here.
    pub fn is_list(self) -> bool {
        matches!(self, Self::Blacklist | Self::Exceptions | Self::BlacklistDevice | Self::ExceptionsDevice)
    }
}

/// The effect of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A section begins.
    Open(Section),
    /// The section ends.
    Close,
    /// A keyword of the section gets a value.
    Value(Vec<u8>, Vec<u8>),
    /// None.
    Ignored(Why),
}

/// Why a line, or a part of it, is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The keyword is not one of the section, or is in quotes.
    Keyword,
    /// There is no value.
    NoValue,
    /// There is a brace where a keyword belongs.
    Brace,
}

/// A line that is neither empty nor a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its number, from 1.
    pub line: usize,
    /// The section that it is in.
    pub section: Section,
    /// What it does.
    pub effect: Effect,
    /// The first word, without quotes.
    pub keyword: Vec<u8>,
    /// Words behind what is read of the line ("ignoring extra data").
    pub extra: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Quote,
    Brace(u8),
    Word(Vec<u8>),
}

impl Token {
    fn text(&self) -> &[u8] {
        match self {
            Self::Quote => b"",
            Self::Brace(brace) => std::slice::from_ref(brace),
            Self::Word(word) => word,
        }
    }
}

/// Reads a file's text.
pub fn statements(text: &[u8]) -> Vec<Statement> {
    let mut within: Vec<Section> = Vec::new();
    let mut found = Vec::new();
    for (line, text) in lines(text) {
        let tokens = tokens(text);
        let Some(first) = tokens.first() else { continue };
        let section = within.last().copied().unwrap_or(Section::Top);
        let (effect, read) = effect(section, &tokens);
        match effect {
            Effect::Open(section) => within.push(section),
            Effect::Close => drop(within.pop()),
            Effect::Value(..) | Effect::Ignored(_) => {}
        }
        let word = match first {
            Token::Quote => tokens.get(1).map_or(&b""[..], Token::text),
            token => token.text(),
        };
        let extra = tokens.iter().skip(read).filter(|token| **token != Token::Quote);
        found.push(Statement {
            line,
            section,
            effect,
            keyword: word.to_vec(),
            extra: extra.map(|token| token.text().to_vec()).collect(),
        });
    }
    found
}

/// The effect of a line of `tokens` in `section`, and how many of them are read.
fn effect(section: Section, tokens: &[Token]) -> (Effect, usize) {
    let all = tokens.len();
    let keyword = match tokens.first() {
        Some(Token::Brace(b'}')) if section == Section::Top => return (Effect::Ignored(Why::Brace), 1),
        Some(Token::Brace(b'}')) => return (Effect::Close, 1),
        Some(Token::Brace(_)) => return (Effect::Ignored(Why::Brace), all),
        Some(Token::Word(word)) => word,
        Some(Token::Quote) | None => return (Effect::Ignored(Why::Keyword), all),
    };
    // libmultipath wants a brace or a value behind these two as behind an option.
    let like_an_option = matches!(keyword.as_slice(), b"overrides" | b"protocol");
    if like_an_option && all == 1 {
        return (Effect::Ignored(Why::NoValue), 1);
    }
    if let Some(opened) = section.opened(keyword) {
        // The brace is not needed; whatever else is there is read as one.
        return (Effect::Open(opened), 2);
    }
    if !section.has(keyword) {
        return (Effect::Ignored(Why::Keyword), all);
    }
    match (tokens.get(1), tokens.get(2)) {
        (None, _) => (Effect::Ignored(Why::NoValue), all),
        // An opening quote alone is an empty value.
        (Some(Token::Quote), None | Some(Token::Quote)) => (Effect::Value(keyword.clone(), Vec::new()), 3),
        (Some(Token::Quote), Some(value)) => (Effect::Value(keyword.clone(), value.text().to_vec()), 4),
        (Some(value), _) => (Effect::Value(keyword.clone(), value.text().to_vec()), 2),
    }
}

/// The lines, with their numbers, as fgets(3) and strtok(3) give them: what is longer than the
/// buffer goes on as a line of its own, and a carriage return or a NUL ends one.
fn lines(mut text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut number = 1;
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let most = text.len().min(BUFFER - 1);
        let newline = text.iter().take(most).position(|&byte| byte == b'\n');
        let (line, rest) = text.split_at_checked(newline.map_or(most, |at| at + 1))?;
        text = rest;
        let here = number;
        number += usize::from(newline.is_some());
        let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
        let leading = line.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        let line = line.get(leading..).unwrap_or_default();
        Some((here, line.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default()))
    })
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b || !byte.is_ascii()
}

/// The words of a line. Outside of quotes, bytes beyond ASCII are white space.
fn tokens(text: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut quoted = false;
    loop {
        if !quoted {
            let blank = rest.iter().take_while(|byte| is_space(**byte)).count();
            rest = rest.get(blank..).unwrap_or_default();
        }
        let read = match rest {
            [] => return tokens,
            [b'!' | b'#', ..] if !quoted => return tokens,
            [b'"', after @ ..] if !(quoted && after.first() == Some(&b'"')) => {
                quoted = !quoted;
                tokens.push(Token::Quote);
                1
            }
            [brace @ (b'{' | b'}'), ..] if !quoted => {
                tokens.push(Token::Brace(*brace));
                1
            }
            _ => {
                let (word, read) = if quoted { in_quotes(rest) } else { bare(rest) };
                tokens.push(Token::Word(word));
                read
            }
        };
        rest = rest.get(read..).unwrap_or_default();
    }
}

fn bare(text: &[u8]) -> (Vec<u8>, usize) {
    let ends = |byte: &u8| is_space(*byte) || matches!(byte, b'!' | b'#' | b'{' | b'}' | b'"');
    let word: Vec<u8> = text.iter().take_while(|byte| !ends(byte)).copied().collect();
    let read = word.len();
    (word, read)
}

/// Text up to the quote that ends it; two quotes stand for one.
fn in_quotes(text: &[u8]) -> (Vec<u8>, usize) {
    let mut word = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if byte == b'"' {
            if text.get(at + 1) != Some(&b'"') {
                break;
            }
            at += 1;
        }
        word.push(byte);
        at += 1;
    }
    (word, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<String> {
        let shown = |token: &Token| match token {
            Token::Quote => "\"".to_owned(),
            token => String::from_utf8_lossy(token.text()).into_owned(),
        };
        tokens(text.as_bytes()).iter().map(shown).collect()
    }

    #[test]
    fn a_line_is_split_as_libmultipath_splits_it() {
        for (text, expected) in [
            ("blacklist{", &["blacklist", "{"][..]),
            ("  devnode\t\"^sd[a-z]\" # all", &["devnode", "\"", "^sd[a-z]", "\""]),
            ("devnode\"^sd\"", &["devnode", "\"", "^sd", "\""]),
            ("vendor \"a \"\"b\"\" c\"", &["vendor", "\"", "a \"b\" c", "\""]),
            ("vendor \"\"", &["vendor", "\"", "\""]),
            ("vendor \"IET", &["vendor", "\"", "IET"]),
            ("vendor \"", &["vendor", "\""]),
            ("vendor IET#x", &["vendor", "IET"]),
            ("devnode !^sd", &["devnode"]),
            ("devnode \"!^sd\"", &["devnode", "\"", "!^sd", "\""]),
            ("vendor \u{a0}IET\u{a0}", &["vendor", "IET"]),
            ("! blacklist {", &[]),
            (" \t", &[]),
        ] {
            assert_eq!(words(text), expected, "{text:?}");
        }
    }

    fn effects(text: &str) -> Vec<(usize, Effect)> {
        statements(text.as_bytes()).into_iter().map(|one| (one.line, one.effect)).collect()
    }

    fn value(keyword: &str, value: &str) -> Effect {
        Effect::Value(keyword.into(), value.into())
    }

    #[test]
    fn what_follows_a_brace_is_ignored_and_its_section_open() {
        let one_line = "blacklist { device { vendor \"IET\" } }\ndevice {\nvendor x\n}\n}\n";
        let found = statements(one_line.as_bytes());
        assert_eq!(found[0].effect, Effect::Open(Section::Blacklist));
        assert_eq!(
            found[0].extra,
            ["device", "{", "vendor", "IET", "}", "}"].map(|word| word.as_bytes().to_vec())
        );
        assert_eq!(found[1].effect, Effect::Open(Section::BlacklistDevice));
        assert_eq!(found[4].effect, Effect::Close);
    }

    #[test]
    fn a_brace_may_lie_on_the_next_line_or_be_missing() {
        for text in ["blacklist\n{\nwwid a\n}\n", "blacklist\n\nwwid a\n}\n", "blacklist x\n{\nwwid a\n}\n"] {
            let found = effects(text);
            assert_eq!(found[0].1, Effect::Open(Section::Blacklist), "{text:?}");
            assert!(found.contains(&(3, value("wwid", "a"))), "{text:?}");
            assert_eq!(found.last().unwrap(), &(4, Effect::Close), "{text:?}");
        }
        // A section that is no section where it is.
        assert_eq!(effects("overrides\n{\n}\n").len(), 3);
        assert!(!effects("overrides\n{\n}\n").contains(&(1, Effect::Open(Section::Overrides))));
    }

    #[test]
    fn the_brace_of_a_section_that_is_not_known_ends_the_one_that_it_is_in() {
        let found = effects("blacklist {\nfoo {\nwwid a\n}\nwwid b\n}\n");
        assert!(found.contains(&(3, value("wwid", "a"))));
        assert!(found.contains(&(5, Effect::Ignored(Why::Keyword))));
        assert!(found.contains(&(6, Effect::Ignored(Why::Brace))));
    }

    #[test]
    fn values_are_what_stands_between_quotes_or_the_next_word() {
        for (text, expected) in [
            ("wwid a b", value("wwid", "a")),
            ("wwid \"a b\" c", value("wwid", "a b")),
            ("wwid \"\"", value("wwid", "")),
            ("wwid \"", value("wwid", "")),
            ("wwid {", value("wwid", "{")),
            ("wwid", Effect::Ignored(Why::NoValue)),
            ("\"wwid\" a", Effect::Ignored(Why::Keyword)),
            ("wwids a", Effect::Ignored(Why::Keyword)),
            ("vendor a", Effect::Ignored(Why::Keyword)),
        ] {
            assert_eq!(effects(&format!("blacklist {{\n{text}\n}}\n"))[1], (2, expected), "{text:?}");
        }
    }

    #[test]
    fn long_lines_go_on_as_lines_and_carriage_returns_end_them() {
        let long = format!("blacklist {{{}wwid a\n}}\n", " ".repeat(BUFFER - 1 - "blacklist {".len()));
        assert_eq!(effects(&long)[1], (1, value("wwid", "a")));
        assert_eq!(effects(&long)[2], (2, Effect::Close));
        assert_eq!(effects("blacklist {\r\nwwid a\r\n}\r\n")[1], (2, value("wwid", "a")));
        assert_eq!(effects("blacklist {\rwwid a\r}\r").len(), 1);
        assert_eq!(effects("\rblacklist {\n \rwwid a\n").len(), 1);
        assert_eq!(effects("blacklist {\nwwid a\0b\n}\n")[1], (2, value("wwid", "a")));
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(
            text in proptest::collection::vec(
                prop_oneof![any::<u8>(), proptest::sample::select(&b" \"{}\n\n!#ad"[..])], 0..300,
            )
        ) {
            let lines = text.iter().filter(|&&byte| byte == b'\n').count() + 1;
            for statement in statements(&text) {
                prop_assert!((1..=lines).contains(&statement.line));
            }
        }
    }
}
