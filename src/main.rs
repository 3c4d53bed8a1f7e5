//! A shim.
fn main() {}
