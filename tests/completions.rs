//! What packages give to shells to complete csihost's verbs and options with, asked of the shells.
//!
//! `make unit` sees to it that they are there.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may panic: that is how it fails.

use clap_complete::{Shell, generate_to};
use std::process::{Command, Stdio};

/// What the shell prints for the script, in which `$FILE` is what the package has for that shell.
fn ask(shell: Shell, script: &str) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let file = generate_to(shell, &mut csihost::cli::command(), "csihost", scratch.path()).unwrap();
    let program = shell.to_string();
    // Nobody's own settings.
    let alone = match shell {
        Shell::Bash => "--norc",
        Shell::Zsh => "-f",
        _ => "--no-config",
    };
    let output = Command::new(&program)
        .args([alone, "-c", script])
        .env("FILE", &file)
        .env("HOME", scratch.path())
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; make unit installs it"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{program}: {}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn bash_completes_verbs_and_options() {
    let complete = |words: &str, last: usize| {
        let script = format!(
            "source $FILE; COMP_WORDS=({words}); COMP_CWORD={last}; \
             _csihost csihost \"${{COMP_WORDS[{last}]}}\" \"${{COMP_WORDS[{last}-1]}}\"; echo ${{COMPREPLY[@]}}"
        );
        ask(Shell::Bash, &script)
    };
    assert_eq!(complete("csihost ch", 1), "check");
    assert_eq!(complete("csihost profile s", 2), "show");
    assert_eq!(complete("csihost check --np", 2), "--npd");
    assert_eq!(complete("csihost map --format s", 3), "svg");
}

#[test]
fn fish_completes_verbs_and_options() {
    let complete = |words: &str| {
        let answer = ask(Shell::Fish, &format!("source $FILE; complete --do-complete '{words}'"));
        answer.lines().map(|line| line.split('\t').next().unwrap()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(complete("csihost ch"), "check");
    assert_eq!(complete("csihost profile s"), "show");
    assert_eq!(complete("csihost check --np"), "--npd");
    assert_eq!(complete("csihost map --format s"), "svg");
}

/// zsh completes at a terminal alone; so it is given one of its own, and a Tab.
#[test]
fn zsh_completes_verbs_and_options() {
    let complete = |words: &str| {
        let script = format!(
            "zmodload zsh/zpty
             zpty shell zsh -f
             zpty -w shell \"PROMPT= RPROMPT= fpath=(${{FILE:h}} \\$fpath)\"
             zpty -w shell 'unsetopt zle_bracketed_paste beep; autoload -Uz compinit; compinit -u -D; echo R''EADY'
             zpty -r shell text '*READY*'
             # A key that prints the line, where Return would run it.
             zpty -w shell 'print-line() {{ print -r -- \"=$BUFFER=\"; exit }}; zle -N print-line; bindkey ^X print-line; echo A''GAIN'
             zpty -r shell text '*AGAIN*'
             zpty -w -n shell $'{words}\\t\\x18'
             zpty -r shell text '*=csihost*='
             print -r -- ${{text##*=csihost}}"
        );
        let answer = ask(Shell::Zsh, &script);
        answer.trim_end_matches('=').split_whitespace().next_back().unwrap_or_default().to_owned()
    };
    assert_eq!(complete("csihost ch"), "check");
    assert_eq!(complete("csihost profile s"), "show");
    assert_eq!(complete("csihost check --np"), "--npd");
    assert_eq!(complete("csihost map --format s"), "svg");
}
