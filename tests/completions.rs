//! What packages give to shells to complete csihost's verbs and options with.

#![allow(clippy::unwrap_used)] // A test may panic: that is how it fails.

use clap_complete::{Shell, generate_to};
use std::process::Command;

#[test]
fn bash_completes_verbs_and_options_as_the_package_has_it() {
    let scratch = tempfile::tempdir().unwrap();
    let file = generate_to(Shell::Bash, &mut csihost::cli::command(), "csihost", scratch.path()).unwrap();
    let complete = |words: &str, last: usize| {
        let script = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD={last}; \
             _csihost csihost \"${{COMP_WORDS[{last}]}}\" \"${{COMP_WORDS[{last}-1]}}\"; echo ${{COMPREPLY[@]}}",
            file.display()
        );
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("csihost ch", 1), "check");
    assert_eq!(complete("csihost profile s", 2), "show");
    assert_eq!(complete("csihost check --np", 2), "--npd");
    assert_eq!(complete("csihost map --format s", 3), "svg");
}
