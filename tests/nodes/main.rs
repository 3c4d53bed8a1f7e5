//! Tests that boot nodes: systemd as PID 1 in a container (tests/nodes/container), or a shell without any
//! systemd (tests/nodes/plain).
//!
//! They need root and what `make tools` installs, so plain `cargo test` ignores them. `make node` runs all,
//! `cargo test --test nodes -- --ignored WORD` those whose name has the word.

#[path = "../support/mod.rs"]
mod support;

mod suites {
    mod agent;
    mod align;
    mod align_link;
    mod boot;
    mod bridge;
    mod direct;
    mod documented;
    mod drivers;
    mod first_contact;
    mod gate;
    mod graft;
    mod history;
    mod iscsi;
    mod late;
    mod packages;
    mod probe;
    mod rpm;
    mod scenes;
    mod smoke;
    mod turn;
    mod unanswered;
    mod undo;
    mod zypper;
}
