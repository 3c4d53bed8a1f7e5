//! Edge: the picture for graphviz (dot(1)), in its HTML-like labels.

use super::markup::{colour, escaped};
use super::words::{more, wrap};
use crate::model::contract::Propagation;
use crate::model::picture::{Picture, Place, Space, SpaceKind, Tree};
use std::fmt::Write as _;

/// Columns of reasons and remedies.
const WIDTH: usize = 56;

/// The picture as a graph.
pub fn dot(picture: &Picture) -> String {
    let mut out = format!(
        "// csihost map --format dot | dot -Tsvg >node.svg\n\
         digraph csihost {{\n  \
         graph [rankdir=LR, bgcolor=white, fontname=\"monospace\", labelloc=t, ranksep=1.6, nodesep=0.4,\n    \
         label=<{}>];\n  \
         node [shape=plain, fontname=\"monospace\", fontsize=11];\n  \
         edge [fontname=\"monospace\", fontsize=10, penwidth=2];\n",
        wrap(&picture.headline, 90).iter().map(|line| escaped(line)).collect::<Vec<_>>().join("<br/>")
    );
    for (at, space) in picture.boxes.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  box{at} [label=<\n{}  >];", table(picture, at, space));
    }
    for arrow in &picture.arrows {
        let dir = match arrow.propagation {
            Propagation::Bidirectional => "both",
            Propagation::ToKubelet => "back",
            Propagation::ToPlugin => "forward",
            Propagation::None => "none",
        };
        let style = if arrow.holds {
            "color=\"#1b7a34\", fontcolor=\"#1b7a34\""
        } else {
            "color=\"#c62828\", fontcolor=\"#c62828\", style=dashed"
        };
        let _ = writeln!(
            out,
            "  box0{} -> box{}{} [dir={dir}, {style}, label=\" {} \"];",
            port(picture.boxes.first(), ":pods:e"),
            arrow.to,
            port(picture.boxes.get(arrow.to), ":pods:w"),
            arrow.words(),
        );
    }
    out.push_str("}\n");
    out
}

/// Where arrows begin and end: the directory in which volumes are published.
fn port<'a>(space: Option<&Space>, port: &'a str) -> &'a str {
    if space.is_some_and(|space| space.trees.is_empty()) { "" } else { port }
}

fn table(picture: &Picture, at: usize, space: &Space) -> String {
    let breach = picture.breach(at);
    let (edge, head) = match (breach.is_some(), space.kind) {
        (true, _) => ("#c62828", "#fdecea"),
        (false, SpaceKind::Plugin) => ("#1b7a34", "#e8f5ea"),
        (false, _) => ("#334155", "#e9eef5"),
    };
    let mut out = format!(
        "    <table border=\"2\" color=\"{edge}\" bgcolor=\"white\" cellborder=\"0\" cellspacing=\"0\" cellpadding=\"4\">\n"
    );
    let name: Vec<String> = [Some(space.name.clone()), more(space.more)].into_iter().flatten().collect();
    let mut cells = |content: &str| {
        let _ = writeln!(out, "      <tr>{content}</tr>");
    };
    let wide = |attributes: &str, text: &str| format!("<td align=\"left\"{attributes}>{text}</td>");
    cells(&wide(&format!(" bgcolor=\"{head}\""), &format!("<b>{}</b>", escaped(&name.join(", ")))));
    if !space.detail.is_empty() {
        cells(&wide("", &format!("<font color=\"#54626f\">{}</font>", escaped(&space.detail))));
    }
    let first =
        space.trees.iter().flat_map(|tree| &tree.places).position(|place| place.published).unwrap_or(0);
    for (number, (tree, place)) in
        space.trees.iter().flat_map(|tree| tree.places.iter().map(move |place| (tree, place))).enumerate()
    {
        if tree.places.first() == Some(place) {
            cells(&wide("", &root(tree)));
        }
        cells(&row(picture, place, number == first));
    }
    if let Some(breach) = breach {
        for text in [&breach.reason, &breach.remedy] {
            let lines: Vec<String> = wrap(text, WIDTH).iter().map(|line| escaped(line)).collect();
            let lines = lines.join("<br align=\"left\"/>");
            cells(&wide("", &format!("<font color=\"#c62828\">{lines}<br align=\"left\"/></font>")));
        }
    }
    out.push_str("    </table>\n");
    out
}

fn root(tree: &Tree) -> String {
    let link =
        tree.link.as_ref().map(|link| format!(" → {}", escaped(&link.to_string()))).unwrap_or_default();
    format!(
        "<b>{}</b>{link} <font color=\"#54626f\">{}</font>",
        escaped(&tree.path.to_string()),
        escaped(tree.role)
    )
}

fn row(picture: &Picture, place: &Place, met: bool) -> String {
    let port = if met { " port=\"pods\"" } else { "" };
    let badge = match (picture.directory(place), place.directory) {
        (Some(directory), Some(at)) => format!(
            "<td width=\"22\" bgcolor=\"{}\"><font color=\"white\"><b>{}</b></font></td>",
            colour(at),
            escaped(&directory.letter)
        ),
        _ => "<td width=\"22\">–</td>".to_owned(),
    };
    let state = match (place.directory, place.mounts) {
        (Some(_), Some(mounts)) => mounts.word(),
        (Some(_), None) => "",
        (None, _) => "not there",
    };
    // A table of its own for each row: columns of one are as wide as its longest text asks for.
    format!(
        "<td align=\"left\" cellpadding=\"1\"{port}><table border=\"0\" cellborder=\"0\" cellspacing=\"2\" cellpadding=\"2\"><tr>\
         {badge}<td align=\"left\" width=\"170\">{}</td><td align=\"left\">{state}</td></tr></table></td>",
        escaped(place.name)
    )
}
