//! Edge: the picture as SVG 1.1, without any outside program.
//!
//! The kubelet's box is on the left, all others are below each other on the right, and curves join
//! the directories in which volumes are published. Sizes come from the widths of a monospace font.

mod frame;

use super::arrows_explained;
use super::markup::{colour, escaped};
use super::words::{cut, wrap};
use crate::model::contract::Propagation;
use crate::model::picture::{Arrow, Picture};
use frame::{Frame, Side};
use std::fmt::Write as _;

/// The width of a character and the height of a line, for 13 pixels of any usual monospace font.
const CHAR: usize = 8;
const LINE: usize = 22;
/// Around everything, and between boxes.
const MARGIN: usize = 32;
const GAP: usize = 28;
/// Between the two columns: room for the curves.
const RIVER: usize = 170;

const GREEN: &str = "#1b7a34";
const RED: &str = "#c62828";
const PALE: &str = "#5b6775";

const STYLE: &str = "\
text{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,'Liberation Mono',monospace;font-size:13px;fill:#1f2937}\
.head{font-size:16px;font-weight:bold}.name,.path{font-weight:bold}.pale{fill:#5b6775}.bad{fill:#c62828}\
.good{fill:#1b7a34}.badge{fill:#ffffff;font-weight:bold;text-anchor:middle}.word{font-weight:bold;text-anchor:end}";

/// The picture as a document.
pub fn svg(picture: &Picture) -> String {
    let left = picture.boxes.first().map(|space| Frame::new(picture, 0, space, Side::Left));
    let right: Vec<Frame> = picture
        .boxes
        .iter()
        .enumerate()
        .skip(1)
        .map(|(at, space)| Frame::new(picture, at, space, Side::Right))
        .collect();
    let left_width = left.as_ref().map_or(320, |frame| frame.width);
    let right_width = right.iter().map(|frame| frame.width).max().unwrap_or_default();
    let width = match right_width {
        0 => left_width.max(560) + 2 * MARGIN,
        right => 2 * MARGIN + left_width + RIVER + right,
    };
    // The headline's letters are larger.
    let headline = wrap(&picture.headline, (width - 2 * MARGIN) / 10);
    let top = MARGIN + headline.len() * 24 + 16;
    let mut body = String::new();
    let mut y = top;
    let mut bottom = top;
    let mut ends: Vec<(usize, usize)> = Vec::new();
    for (frame, at) in right.iter().zip(1usize..) {
        body.push_str(&frame.draw(MARGIN + left_width + RIVER, y, right_width));
        ends.push((at, y + frame.meets));
        bottom = y + frame.height;
        y = bottom + GAP;
    }
    if let Some(frame) = &left {
        // Beside the middle of what it is joined to, as far as that is on the first page.
        let spare = (bottom - top).saturating_sub(frame.height);
        let at = top + (spare / 2).min(160);
        body.push_str(&frame.draw(MARGIN, at, left_width));
        bottom = bottom.max(at + frame.height);
        let from = (MARGIN + left_width, at + frame.meets);
        for (to, end) in ends {
            if let Some(arrow) = picture.arrow(to) {
                // What is broken begins beside what is not, so that each end shows its own head.
                let start = match (arrow.holds, end < from.1) {
                    (true, _) => from.1,
                    (false, true) => from.1 - 9,
                    (false, false) => from.1 + 9,
                };
                body.push_str(&curve(arrow, (from.0, start), (MARGIN + left_width + RIVER, end)));
            }
        }
    }
    let legend = legend(picture, bottom + GAP, width - 2 * MARGIN);
    let height = legend.bottom + MARGIN;
    let title = escaped("The kubelet, CSI plugins and their mounts on this node");
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-labelledby=\"title desc\">\n\
         <title id=\"title\">{title}</title>\n<desc id=\"desc\">{}</desc>\n<style>{STYLE}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
        escaped(&described(picture))
    );
    for (line, number) in headline.iter().zip(0usize..) {
        out.push_str(&label("head", MARGIN, MARGIN + 14 + number * 24, line));
    }
    out.push_str(&body);
    out.push_str(&legend.drawn);
    out.push_str("</svg>\n");
    out
}

/// What somebody is told who does not see the picture.
fn described(picture: &Picture) -> String {
    let mut all = vec![picture.headline.clone()];
    for (at, space) in picture.boxes.iter().enumerate() {
        match (picture.arrow(at), picture.breach(at)) {
            (_, Some(breach)) => {
                all.push(format!("{}: {} Remedy: {}.", space.name, breach.reason, breach.remedy));
            }
            (Some(arrow), None) => all.push(format!("{}: {}.", space.name, arrow.words())),
            (None, None) => {}
        }
    }
    all.join(" ")
}

/// One line of text.
fn label(class: &str, x: usize, y: usize, text: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\" xml:space=\"preserve\">{}</text>\n", escaped(text))
}

/// The letter of a directory, centred on a point.
fn badge(x: usize, y: usize, directory: usize, letter: &str) -> String {
    let half = if letter.len() > 1 { 14 } else { 10 };
    format!(
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"18\" rx=\"5\" fill=\"{}\"/>\n\
         <text class=\"badge\" x=\"{x}\" y=\"{}\">{}</text>\n",
        x - half,
        y - 9,
        2 * half,
        colour(directory),
        y + 5,
        escaped(letter)
    )
}

/// The way of mounts between two boxes, from the kubelet on the left.
fn curve(arrow: &Arrow, (x1, y1): (usize, usize), (x2, y2): (usize, usize)) -> String {
    let colour = if arrow.holds { GREEN } else { RED };
    let (back, forth) = match arrow.propagation {
        Propagation::Bidirectional => (true, true),
        Propagation::ToKubelet => (true, false),
        Propagation::ToPlugin => (false, true),
        Propagation::None => (false, false),
    };
    // Heads are drawn by hand: a marker turns with the curve, and here all ends are level.
    let (from, to) = (x1 + if back { 12 } else { 3 }, x2 - if forth { 12 } else { 3 });
    // The last part is level, with room for the sign of what is broken.
    let bend = x2.saturating_sub(56).max(from);
    let middle = (x1 + bend) / 2;
    let dash = if arrow.holds { "" } else { " stroke-dasharray=\"7 5\"" };
    let mut out = format!(
        "<path d=\"M{from} {y1}C{middle} {y1} {middle} {y2} {bend} {y2}H{to}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"{dash}/>\n"
    );
    if back {
        out.push_str(&head(x1 + 2, y1, true, colour));
    }
    if forth {
        out.push_str(&head(x2 - 2, y2, false, colour));
    }
    if !arrow.holds {
        // Near its own box: all curves are close together at the kubelet's.
        let (x, y) = (x2 - 35, y2);
        let _ = write!(
            out,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"10\" fill=\"#ffffff\" stroke=\"{RED}\" stroke-width=\"2.5\"/>\n\
             <path d=\"M{} {}l8 8m0 -8l-8 8\" stroke=\"{RED}\" stroke-width=\"2.5\"/>\n",
            x - 4,
            y - 4
        );
    }
    out
}

fn head(x: usize, y: usize, to_left: bool, colour: &str) -> String {
    let points = if to_left {
        format!("{x},{y} {0},{1} {0},{2}", x + 12, y - 6, y + 6)
    } else {
        format!("{x},{y} {0},{1} {0},{2}", x - 12, y - 6, y + 6)
    };
    format!("<polygon points=\"{points}\" fill=\"{colour}\"/>\n")
}

/// What stands below the boxes.
struct Legend {
    drawn: String,
    bottom: usize,
}

fn legend(picture: &Picture, top: usize, width: usize) -> Legend {
    if picture.directories.is_empty() && picture.arrows.is_empty() && picture.notes.is_empty() {
        return Legend { drawn: String::new(), bottom: top - GAP };
    }
    let mut drawn = format!("<path d=\"M{MARGIN} {top}h{width}\" stroke=\"#d4dae1\" stroke-width=\"1\"/>\n");
    let mut y = top + LINE;
    let room = (width - 84) / CHAR;
    if !picture.directories.is_empty() {
        drawn.push_str(&label(
            "pale",
            MARGIN,
            y + 5,
            "The same letter is the same directory, whatever it is called:",
        ));
        y += LINE;
    }
    for (at, directory) in picture.directories.iter().enumerate() {
        drawn.push_str(&badge(MARGIN + 30, y, at, &directory.letter));
        drawn.push_str(&label("", MARGIN + 84, y + 5, &cut(&directory.origin, room)));
        y += LINE;
    }
    for (arrow, text) in arrows_explained(picture) {
        drawn.push_str(&curve(arrow, (MARGIN, y), (MARGIN + 70, y)));
        drawn.push_str(&label("", MARGIN + 84, y + 5, &cut(text, room)));
        y += LINE;
    }
    for note in &picture.notes {
        for line in wrap(note, room) {
            drawn.push_str(&label("bad", MARGIN + 84, y + 5, &line));
            y += LINE;
        }
    }
    Legend { drawn, bottom: y }
}
