//! Edge: the picture of a node, drawn for a terminal, for graphviz and as SVG. Pure: text out.

mod dot;
mod markup;
mod svg;
mod text;
mod words;

pub use dot::dot;
pub use svg::svg;
pub use text::text;
