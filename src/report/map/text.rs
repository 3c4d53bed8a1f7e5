//! Edge: the picture for a terminal.
//!
//! The kubelet's box is on top. A rail leads from it to all others, and where it meets the
//! directory in which volumes are published it says which way mounts travel.

use super::arrows_explained;
use super::words::{columns, cut, more, wrap};
use crate::model::contract::Propagation;
use crate::model::picture::{Arrow, Picture, Place, Space, SpaceKind, Tree};
use crate::report::style::{Colour, paint};

/// Columns before a box that hangs on the rail.
const RAIL: usize = 10;
const NARROWEST: usize = 60;
const WIDEST: usize = 110;

/// A line: pieces of text and what they mean.
type Line = Vec<(String, Colour)>;

/// What is drawn in a box.
struct Drawn {
    lines: Vec<Line>,
    /// The line that the rail meets.
    meets: usize,
}

/// The picture in as many columns as there are.
pub fn text(picture: &Picture, width: usize, colours: bool) -> String {
    let width = width.clamp(NARROWEST, WIDEST);
    let mut lines: Vec<Line> =
        wrap(&picture.headline, width).into_iter().map(|line| vec![(line, Colour::Bold)]).collect();
    lines.push(Line::new());
    let last = picture.boxes.len().saturating_sub(1);
    for (at, space) in picture.boxes.iter().enumerate() {
        let room = if at == 0 { width } else { width - RAIL };
        let drawn = frame(picture, at, space, room, at == 0 && last > 0);
        if at == 0 {
            lines.extend(drawn.lines);
            continue;
        }
        lines.push(vec![("  │".to_owned(), Colour::Plain)]);
        for (number, line) in drawn.lines.into_iter().enumerate() {
            let mut all = rail(picture.arrow(at), number, drawn.meets, at == last);
            all.extend(line);
            lines.push(all);
        }
    }
    lines.extend(legend(picture, width));
    let mut out = String::new();
    for line in lines {
        let painted: String = line.iter().map(|(text, colour)| paint(text, *colour, colours)).collect();
        out.push_str(painted.trim_end());
        out.push('\n');
    }
    out
}

/// What stands before a line of a box.
fn rail(arrow: Option<&Arrow>, number: usize, meets: usize, last: bool) -> Line {
    if number != meets {
        let goes_on = number < meets || !last;
        return vec![((if goes_on { "  │       " } else { "          " }).to_owned(), Colour::Plain)];
    }
    let from = if last { "  └" } else { "  ├" };
    let colour = match arrow {
        Some(arrow) if arrow.holds => Colour::Green,
        _ => Colour::Red,
    };
    vec![(from.to_owned(), Colour::Plain), (way(arrow).to_owned(), colour)]
}

/// An arrow of seven columns; the kubelet is to its left.
fn way(arrow: Option<&Arrow>) -> &'static str {
    match arrow.map(|arrow| arrow.propagation) {
        Some(Propagation::Bidirectional) => "◀─────▶",
        Some(Propagation::ToKubelet) => "◀──────",
        Some(Propagation::ToPlugin) => "──────▶",
        Some(Propagation::None) => "──╳  ╳─",
        None => "       ",
    }
}

fn frame(picture: &Picture, at: usize, space: &Space, width: usize, rail: bool) -> Drawn {
    let broken = picture.breach(at).is_some();
    let edge = if broken { Colour::Red } else { Colour::Plain };
    let verdict = match (space.kind, broken) {
        (SpaceKind::Plugin, true) => "BROKEN",
        (SpaceKind::Plugin, false) => "ok",
        _ => "",
    };
    let room = width.saturating_sub(columns(verdict) + 9);
    let name = match more(space.more) {
        Some(more) => format!("{}, {more}", cut(&space.name, room.saturating_sub(columns(&more) + 2))),
        None => cut(&space.name, room),
    };
    let mut head: Line = vec![("┌─ ".to_owned(), edge), (name.clone(), Colour::Bold), (" ".to_owned(), edge)];
    let tail = if verdict.is_empty() { "─┐".to_owned() } else { format!(" {verdict} ─┐") };
    let used = 4 + columns(&name) + columns(&tail);
    head.push(("─".repeat(width.saturating_sub(used)), edge));
    match verdict {
        "" => head.push((tail, edge)),
        verdict => {
            let colour = if broken { Colour::Red } else { Colour::Green };
            head.extend([(format!(" {verdict} "), colour), ("─┐".to_owned(), edge)]);
        }
    }
    let inner = width.saturating_sub(4);
    let mut body: Vec<Line> = Vec::new();
    if !space.detail.is_empty() {
        body.extend(wrap(&space.detail, inner).into_iter().map(|line| vec![(line, Colour::Dim)]));
    }
    let mut meets = None;
    for tree in &space.trees {
        body.push(Line::new());
        body.push(root(tree, inner));
        for (number, place) in tree.places.iter().enumerate() {
            if place.published || (space.kind != SpaceKind::Plugin && meets.is_none()) {
                meets = Some(body.len() + 1);
            }
            body.push(row(picture, place, number + 1 == tree.places.len()));
        }
    }
    if let Some(breach) = picture.breach(at) {
        body.push(Line::new());
        for (head, text) in [("why ", &breach.reason), ("do  ", &breach.remedy)] {
            for (number, line) in wrap(text, inner.saturating_sub(4)).into_iter().enumerate() {
                let head = if number == 0 { head } else { "    " };
                body.push(vec![(head.to_owned(), Colour::Dim), (line, Colour::Red)]);
            }
        }
    }
    let mut lines = vec![head];
    for line in body {
        let used: usize = line.iter().map(|(text, _)| columns(text)).sum();
        let mut all: Line = vec![("│ ".to_owned(), edge)];
        all.extend(line);
        all.push((" ".repeat(inner.saturating_sub(used)), Colour::Plain));
        all.push((" │".to_owned(), edge));
        lines.push(all);
    }
    let foot = if rail { "└─┬" } else { "└──" };
    lines.push(vec![(format!("{foot}{}┘", "─".repeat(width.saturating_sub(4))), edge)]);
    Drawn { lines, meets: meets.unwrap_or(1) }
}

fn root(tree: &Tree, inner: usize) -> Line {
    let path = match &tree.link {
        Some(link) => format!("{} → {link}", tree.path),
        None => tree.path.to_string(),
    };
    let path = cut(&path, inner);
    let left = inner.saturating_sub(columns(&path) + 2);
    let role = if left > 12 { format!("  {}", cut(tree.role, left)) } else { String::new() };
    vec![(path, Colour::Bold), (role, Colour::Dim)]
}

fn row(picture: &Picture, place: &Place, last: bool) -> Line {
    let branch = if last { "└─ " } else { "├─ " };
    let mut line: Line = vec![(format!("{branch}{:<24} ", place.name), Colour::Plain)];
    match (picture.directory(place), place.mounts) {
        (Some(directory), mounts) => {
            line.push((format!("[{}]", directory.letter), Colour::Bold));
            let colour = if place.published { Colour::Plain } else { Colour::Dim };
            line.push((format!("  {}", mounts.map_or("", |mounts| mounts.word())), colour));
        }
        (None, _) => {
            let colour = if place.published { Colour::Red } else { Colour::Dim };
            line.push((" –   not there".to_owned(), colour));
        }
    }
    line
}

fn legend(picture: &Picture, width: usize) -> Vec<Line> {
    let mut lines = vec![Line::new()];
    let mut say = |mark: &str, text: &str| {
        for (number, line) in wrap(text, width.saturating_sub(10)).into_iter().enumerate() {
            let mark = if number == 0 { mark } else { "" };
            lines.push(vec![(format!("{mark:<9} "), Colour::Bold), (line, Colour::Plain)]);
        }
    };
    for directory in &picture.directories {
        say(&format!("[{}]", directory.letter), &directory.origin);
    }
    if !picture.directories.is_empty() {
        say("", "The same letter is the same directory, whatever it is called.");
    }
    for (arrow, text) in arrows_explained(picture) {
        say(way(Some(arrow)), text);
    }
    for note in &picture.notes {
        say("note", note);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::path::HostPath;
    use crate::model::picture::{Breach, Directory, Mounts};

    /// A kubelet, and a plugin that only receives mounts.
    fn picture() -> Picture {
        let place =
            Place { name: "pods", directory: Some(0), mounts: Some(Mounts::Receives), published: true };
        let root = HostPath::from("/a/path/that/is/longer/than/a/narrow/terminal/is/wide/and/then/some/more");
        let tree = Tree { path: root, role: "what it is", link: None, places: vec![place] };
        let space = |kind| Space {
            kind,
            name: "one".into(),
            detail: String::new(),
            more: 0,
            trees: vec![tree.clone()],
        };
        Picture {
            headline: "All is said in one sentence, which is longer than a narrow terminal is wide.".into(),
            boxes: vec![space(SpaceKind::HostAndKubelet), space(SpaceKind::Plugin)],
            directories: vec![Directory { letter: "A".into(), origin: "/ on disk (ext4)".into() }],
            arrows: vec![Arrow { to: 1, propagation: Propagation::ToPlugin, holds: false }],
            breaches: vec![Breach { at: 1, reason: "Because.".into(), remedy: "do this".into() }],
            ..Picture::default()
        }
    }

    #[test]
    fn it_is_as_wide_as_the_terminal_within_reason() {
        for (asked, given) in [(20, 60), (80, 80), (300, 110)] {
            let drawn = text(&picture(), asked, false);
            let widest = drawn.lines().map(columns).max();
            assert_eq!(widest, Some(given), "{drawn}");
        }
    }

    #[test]
    fn colours_change_nothing_but_the_colour_and_a_breach_is_red() {
        let (plain, coloured) = (text(&picture(), 80, false), text(&picture(), 80, true));
        let mut without = coloured.clone();
        for code in [0, 1, 2, 31, 32] {
            without = without.replace(&format!("\x1b[{code}m"), "");
        }
        let trimmed: Vec<&str> = without.lines().map(str::trim_end).collect();
        assert_eq!(trimmed, plain.lines().collect::<Vec<_>>());
        assert!(coloured.contains("\x1b[31mBecause.\x1b[0m") && coloured.contains("\x1b[31m──────▶\x1b[0m"));
    }
}
