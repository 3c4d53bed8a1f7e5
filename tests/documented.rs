//! What programs rely on is in the manual.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // A test may panic: that is how it fails.

use clap::error::ErrorKind;
use csihost::model::checks::{CHECKS, is_check};
use std::path::Path;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_manual_has_every_check_with_what_it_asks() {
    let manual = read("packaging/man/csihost.8");
    let table = manual.split(".Sh CHECKS").nth(1).unwrap().split("\n.Sh ").next().unwrap();
    let mut documented = Vec::new();
    let mut lines = table.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix(".It Cm ") {
            let mut text = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with(".It") && !line.starts_with(".El"))
            {
                text.push(line);
            }
            documented.push((name.replace(" Ns Ar ", ""), text.join(" ").trim_end_matches('.').to_owned()));
        }
    }
    let known: Vec<_> = CHECKS
        .iter()
        .map(|(name, asks)| {
            let mut asks = (*asks).to_owned();
            asks.replace_range(..1, &asks[..1].to_uppercase());
            (name.replace("NAME", "name"), asks)
        })
        .collect();
    assert_eq!(documented, known);
}

#[test]
fn every_quotation_of_the_cluster_is_made_by_its_tests() {
    let directory = |path: &str| std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let texts = |path| {
        directory(path).map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default())
    };
    let tests: String = texts("tests/cluster").collect();
    let mut count = 0;
    for text in texts("docs") {
        let mut seen = Vec::new();
        for name in text.split("<!-- cluster: ").skip(1).filter_map(|rest| rest.split(" -->").next()) {
            assert!(tests.contains(&format!("quote {name} ")), "no test quotes {name}");
            assert!(!seen.contains(&name), "{name} is quoted twice in one document");
            seen.push(name);
            count += 1;
        }
    }
    assert!(count > 8, "{count}");
}

/// Every name that a check gives its finding in the sources.
#[test]
fn every_name_in_the_sources_is_in_the_list() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/checks");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for begin in ["Finding::new(\"", "Finding::new(\n            \"", "ID: &str = \""] {
                let found = text.split(begin).skip(1).filter_map(|rest| rest.split('"').next());
                names.extend(found.map(str::to_owned));
            }
        }
    }
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        assert!(is_check(&name), "{name} is in src/checks and not in src/model/checks.rs");
    }
}

/// The keys of a TOML text, with their tables.
fn keys(text: &str) -> Vec<String> {
    let table: toml::Table = text.parse().unwrap();
    let mut keys: Vec<String> = table
        .iter()
        .flat_map(|(table, values)| {
            values.as_table().unwrap().keys().map(move |key| format!("{table}.{key}"))
        })
        .collect();
    keys.sort();
    keys
}

#[test]
fn every_setting_is_in_the_manual_and_in_the_readme_where_all_are_right() {
    let readme = read("README.md");
    let example = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    csihost::settings::parse([("README.md", example.as_bytes())]).unwrap();

    let manual = read("packaging/man/csihost.toml.5");
    let section = manual.split(".Sh SETTINGS").nth(1).unwrap().split("\n.Sh ").next().unwrap();
    let items = section.lines().filter_map(|line| line.strip_prefix(".It Ic "));
    let mut documented: Vec<String> = items.flat_map(|item| item.split(" , ").map(str::to_owned)).collect();
    documented.sort();
    assert_eq!(documented, keys(example));

    // Of the tables in the source only what is a key of one is optional.
    let source = read("src/settings/fragment.rs");
    let known = source.lines().filter(|line| line.contains(": Option<") && line.starts_with("    ")).count();
    assert_eq!(known, documented.len(), "a setting is missing in both");
}

#[test]
fn the_reference_of_the_settings_is_made_of_the_source_and_has_them_all() {
    let page = csihost::settings::reference::page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
    if std::env::var_os("UPDATE_SETTINGS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(read("docs/settings.md"), page, "UPDATE_SETTINGS=1 makes it anew");

    let source = read("src/settings/fragment.rs");
    let known = source.lines().filter(|line| line.contains(": Option<") && line.starts_with("    ")).count();
    assert_eq!(csihost::settings::reference::SETTINGS.len(), known);
    let readme = read("README.md");
    let example = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let mut names: Vec<String> =
        csihost::settings::reference::SETTINGS.iter().map(|s| format!("{}.{}", s.table, s.key)).collect();
    names.sort();
    assert_eq!(names, keys(example));
}

#[test]
fn a_setting_where_a_table_belongs_is_told_in_the_words_of_toml() {
    let error = csihost::settings::parse([("csihost.toml", &b"iscsi = false\n"[..])]).unwrap_err();
    assert!(error.to_string().contains("expected a table, [iscsi]"), "{error}");
}

/// Every page that people read: README, docs, the pages beside README.
fn pages() -> Vec<(String, String)> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = Vec::new();
    for directory in [".", "docs"] {
        for entry in std::fs::read_dir(here.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ext| ext == "md") {
                let name = path.strip_prefix(here).unwrap().display().to_string();
                pages.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(pages.len() > 12, "{}", pages.len());
    pages
}

/// The commands in a line of shell that are csihost's, each with its words.
fn commands(line: &str) -> Vec<Vec<String>> {
    let line = line.split(" #").next().unwrap();
    let simple = line.split("&&").flat_map(|part| part.split([';', '|']));
    let words = simple.map(|simple| {
        let words = simple.split_whitespace().skip_while(|word| ["sudo", "do"].contains(word));
        words.filter(|word| !word.starts_with('>')).map(str::to_owned).collect::<Vec<_>>()
    });
    let ours = |words: &Vec<String>| {
        words.first().is_some_and(|word| word == "csihost" || word.ends_with("/bin/csihost"))
            && words.len() > 1
    };
    words.filter(ours).collect()
}

#[test]
fn every_command_in_the_pages_is_one_that_the_program_takes() {
    let mut count = 0;
    let mut pages = pages();
    for manual in [
        "csihost.8",
        "csihost.toml.5",
        "csihost-os-profile.5",
        "csihost-driver-profile.5",
        "csihost-boot.service.8",
    ] {
        // An example in a manual looks like a block of code.
        let text = read(&format!("packaging/man/{manual}")).replace(".Dl ", "    ");
        pages.push((manual.to_owned(), text));
    }
    for (page, text) in pages {
        let mut block = false;
        for line in text.lines() {
            if line.trim_start().starts_with("```") {
                block = !block;
                continue;
            }
            // What stands in backquotes within a sentence is one, too.
            let quoted = line.split('`').skip(1).step_by(2).filter(|quoted| quoted.starts_with("csihost "));
            let whole = (block || line.starts_with("    ") || page.ends_with('8') || page.ends_with('5'))
                .then_some(line.trim());
            for (prose, text) in
                whole.map(|line| (false, line)).into_iter().chain(quoted.map(|text| (true, text)))
            {
                for command in
                    commands(text).into_iter().filter(|command| !command.iter().any(|word| word == "…"))
                {
                    count += 1;
                    let Err(error) = csihost::cli::command().try_get_matches_from(&command) else { continue };
                    // A sentence may name a verb alone; and --version is right, and no verb.
                    let named = prose && error.kind() == ErrorKind::MissingRequiredArgument;
                    assert!(named || !error.use_stderr(), "{page}: {}: {error}", command.join(" "));
                }
            }
        }
    }
    assert!(count > 60, "only {count} commands were found");
}

#[test]
fn every_link_in_the_pages_leads_somewhere() {
    for (page, text) in pages() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !target.contains("://") {
                let beside = Path::new(&page).parent().unwrap().join(target.split('#').next().unwrap());
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(beside);
                assert!(path.exists(), "{page}: {target}");
            }
        }
    }
}

#[test]
fn every_setting_in_the_pages_is_one() {
    let mut count = 0;
    for (page, text) in pages() {
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            if let Err(error) = csihost::settings::parse([(page.as_str(), block.as_bytes())]) {
                panic!("{page}: {error}");
            }
            count += 1;
        }
    }
    assert!(count >= 3, "{count}");
}

#[test]
fn every_root_that_the_pages_name_is_the_one_that_scenes_of_such_nodes_give() {
    for (page, scene) in [
        ("rancheros-rke.md", "rke1-container-rancheros"),
        ("flatcar-rke.md", "rke1-container-rancheros"),
        ("k3s.md", "k3s-argv-wiped"),
        ("rke2.md", "before-rke2-nothing-said"),
        ("k0s.md", "k0s-worker"),
        ("microk8s.md", "microk8s-kubelite"),
        ("kubeadm.md", "before-kubeadm"),
    ] {
        let answer: serde_json::Value =
            serde_json::from_str(&read(&format!("tests/scenes/{scene}.json"))).unwrap();
        let root = answer["kubelet"]["root_dir"].as_str().unwrap();
        assert!(read(&format!("docs/{page}")).contains(root), "{page}: {root}");
        assert!(read("docs/README.md").contains(&format!("`{root}`")), "{root}");
    }
}

/// A page that sends its reader to a test or a source sends them to one that is there.
#[test]
fn every_file_of_the_project_that_the_pages_name_is_there() {
    let mut count = 0;
    for (page, text) in pages() {
        for name in text.split('`').skip(1).step_by(2) {
            let ours =
                ["tests/", "src/", "units/", "packaging/", "os-profiles/", "driver-profiles/", "docs/"];
            if ours.iter().any(|start| name.starts_with(start)) && !name.contains(['*', '{', ' ', ',', '\n'])
            {
                let name = name.split("::").next().unwrap();
                assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(name).exists(), "{page}: {name}");
                count += 1;
            }
        }
    }
    assert!(count > 20, "{count}");
}
