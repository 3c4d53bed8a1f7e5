//! Edge: the picture of a node, drawn for a terminal, for graphviz and as SVG. Pure: text out.

mod dot;
mod markup;
mod svg;
mod text;
mod words;

pub use dot::dot;
pub use svg::svg;
pub use text::text;

use crate::model::contract::Propagation;
use crate::model::picture::{Arrow, Picture};

/// One arrow of each kind that the picture has, and what it means.
fn arrows_explained(picture: &Picture) -> impl Iterator<Item = (&Arrow, &'static str)> {
    let ways = [
        (Propagation::Bidirectional, "what is mounted on either side is seen on the other: this is right"),
        (Propagation::ToKubelet, "what the plugin mounts is seen by the kubelet: this is enough"),
        (Propagation::ToPlugin, "what the kubelet mounts is seen by the plugin, and nothing the other way"),
        (Propagation::None, "what is mounted on one side is not seen on the other"),
    ];
    ways.into_iter().filter_map(|(propagation, text)| {
        Some((picture.arrows.iter().find(|arrow| arrow.propagation == propagation)?, text))
    })
}
