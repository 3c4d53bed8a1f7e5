//! POSIX extended regular expressions, as regcomp(3) and regexec(3) of glibc read them for multipathd.
//!
//! Only true or false is asked, so leftmost-longest does not matter, and the differences between
//! engines are differences of syntax: which expressions are refused, and what a letter stands for.
//! What this module does not judge (back-references, collating elements, word boundaries, bytes
//! beyond ASCII) is [`Error::Unsupported`], never a guess.

/// The longest subject that is matched, in bytes.
const LONGEST: usize = 63;
/// The deepest nesting of groups that is followed.
const DEEPEST: usize = 24;
/// The steps after which a match is given up.
const STEPS: u32 = 200_000;
/// The largest repetition that is counted; glibc's own limit is [`LARGEST_REPETITION`].
const COUNTED: u32 = 255;
/// `RE_DUP_MAX` of glibc.
const LARGEST_REPETITION: u32 = 0x7fff;

/// Why an expression cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// regcomp(3) refuses it.
    Invalid,
    /// It is not judged here.
    Unsupported,
}

/// A set of bytes.
type Set = [bool; 128];

#[derive(Debug, Clone)]
enum Node {
    /// One byte of a set; bytes beyond ASCII are in none.
    One(Box<Set>),
    Start,
    End,
    All(Vec<Node>),
    Any(Vec<Node>),
    Repeat(Box<Node>, u32, Option<u32>),
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Ere(Node);

impl Ere {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Where regcomp(3) refuses it, and where it has a construct that this module does not judge.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        let node = parser.any()?;
        Ok(Self(node))
    }

    /// Returns true if some part of `subject` matches, and `None` where that takes too long to say.
    pub fn is_match(&self, subject: &[u8]) -> Option<bool> {
        if subject.len() > LONGEST {
            return None;
        }
        let mut matching = Matching { subject, left: STEPS };
        // A bit for each place in the subject, the one behind its last byte included.
        let everywhere = u64::MAX >> (LONGEST - subject.len());
        matching.ends(&self.0, everywhere).map(|ends| ends != 0)
    }
}

struct Matching<'a> {
    subject: &'a [u8],
    left: u32,
}

impl Matching<'_> {
    /// The places where matches of `node` end that begin at one of `starts`.
    fn ends(&mut self, node: &Node, starts: u64) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        match node {
            Node::One(set) => Some(self.subject.iter().enumerate().fold(0, |ends, (at, byte)| {
                let fits = starts >> at & 1 == 1 && set.get(usize::from(*byte)).is_some_and(|fits| *fits);
                ends | u64::from(fits) << at << 1
            })),
            Node::Start => Some(starts & 1),
            Node::End => Some(starts & 1 << self.subject.len()),
            Node::All(nodes) => nodes.iter().try_fold(starts, |starts, node| self.ends(node, starts)),
            Node::Any(nodes) => nodes.iter().try_fold(0, |ends, node| Some(ends | self.ends(node, starts)?)),
            Node::Repeat(node, least, most) => {
                let (mut all, mut last) = (0, starts);
                for _ in 0..*least {
                    last = self.ends(node, last)?;
                }
                all |= last;
                let mut more = most.map(|most| most.saturating_sub(*least));
                // A place that was reached before leads to nothing new with as many turns left or
                // fewer, so that only new ones are followed.
                while last != 0 && more != Some(0) {
                    last = self.ends(node, last)? & !all;
                    all |= last;
                    more = more.map(|more| more - 1);
                }
                Some(all)
            }
        }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Alternatives, up to the end or the group's parenthesis. An empty one matches everywhere.
    fn any(&mut self) -> Result<Node, Error> {
        let mut nodes = vec![self.all()?];
        while self.peek() == Some(b'|') {
            self.at += 1;
            nodes.push(self.all()?);
        }
        Ok(Node::Any(nodes))
    }

    fn all(&mut self) -> Result<Node, Error> {
        let mut nodes = Vec::new();
        // Nothing that could be repeated stands before.
        let mut first = true;
        while let Some(byte) = self.peek() {
            if byte == b'|' || byte == b')' && self.depth > 0 {
                break;
            }
            if first && matches!(byte, b'*' | b'+' | b'?' | b'{') {
                return Err(Error::Invalid);
            }
            self.at += 1;
            let mut node = self.one(byte)?;
            // glibc takes no repetition behind an anchor.
            first = matches!(byte, b'^' | b'$');
            while !first && let Some((least, most)) = self.repetition()? {
                node = Node::Repeat(Box::new(node), least, most);
            }
            nodes.push(node);
        }
        Ok(Node::All(nodes))
    }

    fn one(&mut self, byte: u8) -> Result<Node, Error> {
        match byte {
            b'^' => Ok(Node::Start),
            b'$' => Ok(Node::End),
            b'.' => Ok(Node::One(Box::new([true; 128]))),
            b'[' => self.bracket(),
            b'(' => {
                self.depth += 1;
                if self.depth > DEEPEST {
                    return Err(Error::Unsupported);
                }
                let node = self.any()?;
                self.depth -= 1;
                match self.next() {
                    Some(b')') => Ok(node),
                    _ => Err(Error::Invalid),
                }
            }
            b'\\' => match self.next().ok_or(Error::Invalid)? {
                b'w' => Ok(class(is_word)),
                b'W' => Ok(class(|byte| !is_word(byte))),
                b's' => Ok(class(is_space)),
                b'S' => Ok(class(|byte| !is_space(byte))),
                b'1'..=b'9' | b'b' | b'B' | b'<' | b'>' | b'`' | b'\'' => Err(Error::Unsupported),
                byte => literal(byte),
            },
            byte => literal(byte),
        }
    }

    /// `*`, `+`, `?` or an interval, where one follows.
    fn repetition(&mut self) -> Result<Option<(u32, Option<u32>)>, Error> {
        let found = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => {
                self.at += 1;
                return self.interval().map(Some);
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(found))
    }

    fn interval(&mut self) -> Result<(u32, Option<u32>), Error> {
        let least = self.number()?;
        let most = match self.next() {
            Some(b'}') if least.is_some() => return bounds(least, least),
            Some(b',') => self.number()?,
            _ => return Err(Error::Invalid),
        };
        match self.next() {
            Some(b'}') => bounds(least, most),
            _ => Err(Error::Invalid),
        }
    }

    fn number(&mut self) -> Result<Option<u32>, Error> {
        let mut number = None;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            self.at += 1;
            let so_far: u32 = number.unwrap_or(0);
            if so_far > LARGEST_REPETITION {
                return Err(Error::Invalid);
            }
            number = Some(so_far * 10 + u32::from(digit - b'0'));
        }
        Ok(number)
    }

    /// What follows `[`.
    fn bracket(&mut self) -> Result<Node, Error> {
        let mut set: Set = [false; 128];
        let inverted = self.peek() == Some(b'^');
        self.at += usize::from(inverted);
        let mut first = true;
        loop {
            let byte = self.next().ok_or(Error::Invalid)?;
            if byte == b']' && !first {
                break;
            }
            first = false;
            if byte == b'[' && matches!(self.peek(), Some(b'.' | b'=')) {
                return Err(Error::Unsupported);
            }
            if byte == b'[' && self.peek() == Some(b':') {
                self.at += 1;
                let rest = self.text.get(self.at..).unwrap_or_default();
                let end = rest.windows(2).position(|two| two == b":]").ok_or(Error::Invalid)?;
                let fits = named(rest.get(..end).unwrap_or_default()).ok_or(Error::Invalid)?;
                for (byte, member) in (0..128).zip(&mut set) {
                    *member |= fits(byte);
                }
                self.at += end + 2;
                if self.range_follows() {
                    return Err(Error::Invalid);
                }
                continue;
            }
            let last = match self.range_follows() {
                true => {
                    self.at += 1;
                    let last = self.next().ok_or(Error::Invalid)?;
                    if last == b'[' && matches!(self.peek(), Some(b'.' | b'=' | b':')) {
                        return Err(Error::Unsupported);
                    }
                    if last < byte {
                        return Err(Error::Invalid);
                    }
                    // `a-c-e`: a range has no third end.
                    if self.range_follows() {
                        return Err(Error::Invalid);
                    }
                    last
                }
                false => byte,
            };
            if !last.is_ascii() {
                return Err(Error::Unsupported);
            }
            for member in set.iter_mut().take(usize::from(last) + 1).skip(usize::from(byte)) {
                *member = true;
            }
        }
        if inverted {
            set = set.map(|member| !member);
        }
        Ok(Node::One(Box::new(set)))
    }

    /// Returns true if a hyphen follows that is not the last in the bracket.
    fn range_follows(&self) -> bool {
        self.peek() == Some(b'-') && self.text.get(self.at + 1).is_some_and(|byte| *byte != b']')
    }
}

fn bounds(least: Option<u32>, most: Option<u32>) -> Result<(u32, Option<u32>), Error> {
    let least = least.unwrap_or(0);
    let largest = most.unwrap_or(0).max(least);
    match most {
        _ if largest > LARGEST_REPETITION => Err(Error::Invalid),
        Some(most) if most < least => Err(Error::Invalid),
        _ if largest > COUNTED => Err(Error::Unsupported),
        _ => Ok((least, most)),
    }
}

fn literal(byte: u8) -> Result<Node, Error> {
    if byte.is_ascii() { Ok(class(|other| other == byte)) } else { Err(Error::Unsupported) }
}

fn class(fits: impl Fn(u8) -> bool) -> Node {
    let mut set: Set = [false; 128];
    for (byte, member) in (0..128).zip(&mut set) {
        *member = fits(byte);
    }
    Node::One(Box::new(set))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// The class of a name (`[:alpha:]`), in the C locale.
fn named(name: &[u8]) -> Option<fn(u8) -> bool> {
    Some(match name {
        b"alpha" => |byte| byte.is_ascii_alphabetic(),
        b"digit" => |byte| byte.is_ascii_digit(),
        b"alnum" => |byte| byte.is_ascii_alphanumeric(),
        b"upper" => |byte| byte.is_ascii_uppercase(),
        b"lower" => |byte| byte.is_ascii_lowercase(),
        b"space" => is_space,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"punct" => |byte| byte.is_ascii_punctuation(),
        b"print" => |byte| byte.is_ascii_graphic() || byte == b' ',
        b"graph" => |byte| byte.is_ascii_graphic(),
        b"cntrl" => |byte| byte.is_ascii_control(),
        b"xdigit" => |byte| byte.is_ascii_hexdigit(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn judged(pattern: &[u8], word: &[u8]) -> Result<bool, Error> {
        Ere::parse(pattern)?.is_match(word).ok_or(Error::Unsupported)
    }

    #[test]
    fn patterns_in_use_match_what_they_should() {
        for (pattern, word, matches) in [
            ("^sd[a-z0-9]+", "sda", true),
            ("^(td|ha|sd)[a-z]", "sdb", true),
            ("^(td|hd|vd)[a-z]", "sdb", false),
            ("^(ram|zram|raw|loop|fd|md|dm-|sr|scd|st|dcssblk)[0-9]*", "sdb", false),
            ("^sd[a-z]$", "sdaa", false),
            ("^IET.*", "IET", true),
            ("VIRTUAL-.*", "VIRTUAL-DISK", true),
            ("VIRTUAL-DISK*", "VIRTUAL-DISK", true),
            ("^iet$", "IET", false),
            ("(LIO-ORG|IET)", "IET", true),
            (".*", "", true),
            ("", "IET", true),
            ("^36[0-9a-f]{31}$", "360000000000000000e00000000010001", true),
            ("^36[[:xdigit:]]{30}$", "360000000000000000e00000000010001", false),
            ("scsi:(iscsi|fcp)", "scsi:iscsi", true),
        ] {
            assert_eq!(judged(pattern.as_bytes(), word.as_bytes()), Ok(matches), "{pattern} {word}");
        }
    }

    #[test]
    fn what_cannot_be_judged_is_said_and_what_is_refused_too() {
        for pattern in [r"(a)\1", r"\<sd", "[[.a.]]", "[[=a=]]", "[a-[.z.]]", "a{300}", "ä", "[ä]", r"\bsd"]
        {
            assert_eq!(Ere::parse(pattern.as_bytes()).err(), Some(Error::Unsupported), "{pattern}");
        }
        for pattern in
            ["*", "+a", "(*a)", "a|*", "^*", "[a", "[z-a]", "a{", "a{2,1}", "{", "(", "\\", "[[:x:]]"]
        {
            assert_eq!(Ere::parse(pattern.as_bytes()).err(), Some(Error::Invalid), "{pattern}");
        }
        let deep = "(".repeat(5000);
        assert_eq!(Ere::parse(deep.as_bytes()).err(), Some(Error::Unsupported));
        let slow = "((((a{0,255}){0,255}){0,255}){0,255}){255}";
        let _ = Ere::parse(slow.as_bytes()).unwrap().is_match(&[b'a'; LONGEST]);
        assert_eq!(Ere::parse(b"a").unwrap().is_match(&[b'a'; LONGEST + 1]), None);
        assert_eq!(Ere::parse(b"a$").unwrap().is_match(&[b'a'; LONGEST]), Some(true));
    }

    /// What bash makes of it, whose `=~` is regcomp(3) and regexec(3) of the C library: 0 for a
    /// match, 1 for none, 2 for an expression that is refused.
    fn by_regcomp(pairs: &[(String, String)]) -> Option<Vec<u8>> {
        const SCRIPT: &str = "while IFS= read -r p && IFS= read -r w; do [[ $w =~ $p ]]; printf %s $?; done";
        let glibc = Command::new("ldd").arg("--version").output().ok()?;
        if !glibc.stdout.windows(4).any(|word| word == b"GLIB" || word == b"GNU ") {
            return None;
        }
        // glibc itself is slow with repetitions of repetitions.
        let mut bash = Command::new("timeout");
        bash.args(["60", "bash", "-c", SCRIPT])
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut bash = bash.stderr(Stdio::null()).spawn().ok()?;
        let mut input = bash.stdin.take()?;
        let text: String = pairs.iter().map(|(pattern, word)| format!("{pattern}\n{word}\n")).collect();
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
        let output = bash.wait_with_output().ok()?;
        writer.join().ok()?.ok()?;
        Some(output.stdout)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

        #[test]
        fn all_is_as_the_c_library_has_it(
            pairs in proptest::collection::vec(
                (r"([ab^$.*+?|()}{,\[\]\\:-]|\[\^?[]ab-]{1,3}\]|\([ab|]{1,3}\)|\{[12]?,?[12]?\}|\[\[:alpha:\]\]){0,5}", "[ab1 -]{0,5}"),
                200,
            )
        ) {
            let Some(seen) = by_regcomp(&pairs) else {
                eprintln!("skipped: there is no bash with glibc");
                return Ok(());
            };
            prop_assert!(!seen.is_empty());
            for ((pattern, word), seen) in pairs.iter().zip(seen) {
                let expected = match judged(pattern.as_bytes(), word.as_bytes()) {
                    Ok(true) => b'0',
                    Ok(false) => b'1',
                    Err(Error::Invalid) => b'2',
                    Err(Error::Unsupported) => continue,
                };
                prop_assert_eq!(expected as char, seen as char, "{:?} {:?}", pattern, word);
            }
        }

        #[test]
        fn no_pattern_makes_it_panic(
            pattern in proptest::collection::vec(any::<u8>(), 0..80),
            word in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let _ = judged(&pattern, &word);
        }
    }
}
