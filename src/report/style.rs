//! Edge: colour, only on a terminal and never where NO_COLOR is set (no-color.org).

use std::io::IsTerminal;

/// What a text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Colour {
    Plain,
    Bold,
    Dim,
    Green,
    Yellow,
    Red,
}

/// Whether stdout takes colours.
pub fn stdout_colours() -> bool {
    allowed() && std::io::stdout().is_terminal()
}

/// How many columns stdout has; what is not a terminal has as many as people read at ease.
pub fn stdout_width() -> usize {
    match terminal_size::terminal_size_of(std::io::stdout()) {
        Some((terminal_size::Width(columns), _)) => usize::from(columns),
        None => 100,
    }
}

/// Whether stderr takes colours.
pub fn stderr_colours() -> bool {
    allowed() && std::io::stderr().is_terminal()
}

fn allowed() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `text` in `colour`, if `colours` are on.
pub fn paint(text: &str, colour: Colour, colours: bool) -> String {
    let code = match colour {
        Colour::Plain => return text.to_owned(),
        Colour::Bold => 1,
        Colour::Dim => 2,
        Colour::Green => 32,
        Colour::Yellow => 33,
        Colour::Red => 31,
    };
    match colours {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}
