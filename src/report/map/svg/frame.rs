//! Edge: one box of the SVG: what is in it, and how large that makes it.

use super::super::words::{columns, cut, more, wrap};
use super::{CHAR, GREEN, LINE, PALE, RED, badge, colour, label};
use crate::model::picture::{Picture, Place, Space, SpaceKind};
use std::fmt::Write as _;

/// The inner margin, and the longest line of text.
const PAD: usize = 18;
const LONGEST: usize = 62;
/// Above the first line, with the name in it.
const HEAD: usize = 36;

/// Columns beside the text for the brackets that join directories.
const JOINS: usize = 9;

/// On which side of the picture a box stands; badges are on the side of the curves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// A line in a box.
enum Line<'a> {
    /// Text of a class.
    Text(&'static str, String),
    /// A root directory.
    Root(String),
    /// A directory.
    Place(&'a Place),
    /// Half of a line.
    Space,
}

/// A box before it has a place.
pub(super) struct Frame<'a> {
    picture: &'a Picture,
    space: &'a Space,
    side: Side,
    broken: bool,
    lines: Vec<Line<'a>>,
    pub(super) width: usize,
    pub(super) height: usize,
    /// Where the curve meets it, from its top.
    pub(super) meets: usize,
}

impl Line<'_> {
    fn height(&self) -> usize {
        match self {
            Self::Space => LINE / 2,
            _ => LINE,
        }
    }

    fn columns(&self) -> usize {
        match self {
            Self::Text(_, text) => columns(text),
            Self::Root(path) => columns(path),
            // The badge, the name, and what becomes of mounts.
            Self::Place(place) => columns(place.name).max(16) + 20,
            Self::Space => 0,
        }
    }
}

impl<'a> Frame<'a> {
    pub(super) fn new(picture: &'a Picture, at: usize, space: &'a Space, side: Side) -> Self {
        let breach = picture.breach(at);
        let mut lines: Vec<Line<'a>> = Vec::new();
        let say = |lines: &mut Vec<Line<'a>>, class, text: &str| {
            lines.extend(wrap(text, LONGEST).into_iter().map(|line| Line::Text(class, line)));
        };
        if let Some(more) = more(space.more) {
            say(&mut lines, "name", &more);
        }
        if !space.detail.is_empty() {
            say(&mut lines, "pale", &space.detail);
        }
        for tree in &space.trees {
            lines.push(Line::Space);
            lines.push(Line::Root(cut(&tree.path.to_string(), LONGEST)));
            lines.push(Line::Text("pale", cut(tree.role, LONGEST)));
            if let Some(link) = &tree.link {
                say(&mut lines, "pale", &format!("a link to {link}"));
            }
            lines.extend(tree.places.iter().map(Line::Place));
        }
        if let Some(breach) = breach {
            lines.push(Line::Space);
            say(&mut lines, "bad", &breach.reason);
            lines.push(Line::Space);
            say(&mut lines, "name", "What to do");
            say(&mut lines, "", &breach.remedy);
        }
        let named = columns(&cut(&space.name, 40)) + 18;
        let widest = lines.iter().map(Line::columns).max().unwrap_or_default().max(named).max(38);
        let widest = if joined(space) { widest + JOINS } else { widest };
        let is_met = |line: &Line| match line {
            Line::Place(place) => place.published || space.kind != SpaceKind::Plugin,
            _ => false,
        };
        let above = |end: usize| lines.iter().take(end).map(Line::height).sum::<usize>();
        let meets = lines.iter().position(is_met).map_or(HEAD / 2, |met| HEAD + 6 + above(met) + LINE / 2);
        let height = HEAD + 6 + above(lines.len()) + PAD / 2 + 4;
        let broken = breach.is_some();
        Self { picture, space, side, broken, lines, width: widest * CHAR + 2 * PAD, height, meets }
    }

    /// Draws it at a place, as wide as the others of its column.
    pub(super) fn draw(&self, x: usize, y: usize, width: usize) -> String {
        let (edge, fill) = match (self.space.kind, self.broken) {
            (_, true) => (RED, "#fdecea"),
            (SpaceKind::Plugin, false) => (GREEN, "#e8f5ea"),
            _ => (PALE, "#e9eef5"),
        };
        let height = self.height;
        let mut out = format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"10\" fill=\"#ffffff\"/>\n\
             <path d=\"M{x} {0}v-{1}a10 10 0 0 1 10 -10h{2}a10 10 0 0 1 10 10v{1}z\" fill=\"{fill}\"/>\n\
             <rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"10\" fill=\"none\" stroke=\"{edge}\" stroke-width=\"2\"/>\n",
            y + HEAD,
            HEAD - 10,
            width - 20
        );
        out.push_str(&label("name", x + PAD, y + 23, &cut(&self.space.name, 40)));
        let verdict = match (self.space.kind, self.broken) {
            (SpaceKind::Plugin, true) => Some(("bad", "does not arrive")),
            (SpaceKind::Plugin, false) => Some(("good", "arrives")),
            _ => None,
        };
        if let Some((class, word)) = verdict {
            out.push_str(&label(&format!("word {class}"), x + width - PAD, y + 23, word));
        }
        let mut top = y + HEAD + 6;
        let mut rows: Vec<(usize, usize)> = Vec::new();
        for line in &self.lines {
            let middle = top + line.height() / 2;
            match line {
                Line::Text(class, text) => out.push_str(&label(class, x + PAD, middle + 5, text)),
                Line::Root(path) => out.push_str(&label("path", x + PAD, middle + 5, path)),
                Line::Place(place) => {
                    out.push_str(&self.place(place, x, middle, width));
                    rows.extend(place.directory.map(|directory| (directory, middle)));
                }
                Line::Space => {}
            }
            top += line.height();
        }
        out.push_str(&self.joins(&rows, x, width));
        out
    }

    fn place(&self, place: &Place, x: usize, y: usize, width: usize) -> String {
        let (mark, name) = match self.side {
            Side::Left => (x + width - PAD - 10, x + PAD + 16),
            Side::Right => (x + PAD + 10, x + PAD + 36),
        };
        let mut out = String::new();
        let (class, state) = match (place.directory, place.mounts) {
            (Some(_), Some(mounts)) => ("pale", mounts.word()),
            (Some(_), None) => ("pale", ""),
            (None, _) if place.published => ("bad", "not there"),
            (None, _) => ("pale", "not there"),
        };
        match (place.directory, self.picture.directory(place)) {
            (Some(at), Some(directory)) => out.push_str(&badge(mark, y, at, &directory.letter)),
            _ => {
                let stroke = if place.published { RED } else { PALE };
                let _ = writeln!(
                    out,
                    "<rect x=\"{}\" y=\"{}\" width=\"20\" height=\"18\" rx=\"5\" fill=\"none\" stroke=\"{stroke}\" stroke-dasharray=\"3 3\"/>",
                    mark - 10,
                    y - 9
                );
            }
        }
        let wanted = if place.published && self.broken { "bad" } else { "" };
        out.push_str(&label(wanted, name, y + 5, place.name));
        let column = name + (columns(place.name).max(16) + 2) * CHAR;
        out.push_str(&label(class, column, y + 5, state));
        out
    }

    /// Brackets between the rows of one directory, on the side where no curve is.
    fn joins(&self, rows: &[(usize, usize)], x: usize, width: usize) -> String {
        let mut out = String::new();
        let mut lane = 0;
        let mut done: Vec<usize> = Vec::new();
        for &(directory, first) in rows {
            let last = rows.iter().rev().find(|(other, _)| *other == directory).map_or(first, |&(_, y)| y);
            if last == first || done.contains(&directory) {
                continue;
            }
            done.push(directory);
            // In a lane of its own beyond the words.
            let (edge, reach) = match self.side {
                Side::Left => (x + width - PAD - 26, x + width - PAD - 40 - (lane % 4) * 9),
                Side::Right => (x + width - PAD - 38, x + width - PAD - 27 + (lane % 4) * 9),
            };
            let _ = writeln!(
                out,
                "<path d=\"M{edge} {first}H{reach}V{last}H{edge}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>",
                colour(directory)
            );
            lane += 1;
        }
        out
    }
}

/// Whether a directory is in two places of one box.
fn joined(space: &Space) -> bool {
    let mut seen: Vec<usize> =
        space.trees.iter().flat_map(|tree| &tree.places).filter_map(|place| place.directory).collect();
    let all = seen.len();
    seen.sort_unstable();
    seen.dedup();
    seen.len() < all
}
