//! What stands in the files of the repository, and what never does.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Workspace, expect_none};

/// Longer than this a file is worth a look, and the look is all: it is printed, nothing fails.
const LINES_LOOK: usize = 500;

/// Folders of what is made or fetched, which git leaves out.
const MADE: [&str; 5] = ["target", ".git", "witan-data", "node_modules", "dist"];

struct Source {
    /// From the workspace's root.
    path: String,
    text: String,
}

/// Every text file that git knows or would add.
fn sources() -> Vec<Source> {
    let root = Workspace::root();
    let list = Command::new("git")
        .current_dir(&root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let paths: Vec<String> = match list {
        Some(list) => list.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect(),
        // An archive of the sources has no git.
        None => walk(&root, &root),
    };
    // A file that git knows may be deleted just now, and what is not UTF-8 is no text.
    let read = |path: String| std::fs::read_to_string(root.join(&path)).ok().map(|text| Source { path, text });
    let sources: Vec<Source> = paths.into_iter().filter_map(read).collect();
    assert!(sources.iter().any(|source| source.path == "Cargo.toml"), "the sources are read");
    sources
}

fn walk(root: &Path, folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is readable").flatten();
    let wanted = entries.filter(|entry| !MADE.contains(&entry.file_name().to_string_lossy().as_ref()));
    let mut paths = Vec::new();
    for path in wanted.map(|entry| entry.path()) {
        if path.is_dir() {
            paths.extend(walk(root, &path));
        } else {
            paths.push(path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned());
        }
    }
    paths
}

fn rust_sources() -> Vec<Source> {
    let is_rust = |source: &Source| PathBuf::from(&source.path).extension().is_some_and(|end| end == "rs");
    sources().into_iter().filter(is_rust).collect()
}

/// The lines that hold one of the words, with their place. Comments count: a word in a comment is there all the same.
fn lines_with(sources: &[Source], words: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for (number, line) in source.text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: {word}", source.path, number + 1));
            }
        }
    }
    found
}

/// The words are put together here, so that this file does not find itself.
fn words(halves: &[(&str, &str)]) -> Vec<String> {
    halves.iter().map(|(first, second)| format!("{first}{second}")).collect()
}

#[test]
fn nothing_is_left_to_do() {
    let words = words(&[("to", "do!("), ("unimple", "mented!("), ("TO", "DO"), ("FIX", "ME")]);
    expect_none("What is not done is an issue, not a mark in the code:", &lines_with(&rust_sources(), &words));
}

#[test]
fn no_lint_is_silenced_for_good() {
    let words = words(&[("#[al", "low("), ("#![al", "low(")]);
    let reason = "#[expect(…, reason = \"…\")] tells when it is no longer needed, and why it was:";
    expect_none(reason, &lines_with(&rust_sources(), &words));
}

#[test]
fn every_expectation_has_a_reason() {
    let expect = words(&[("#[exp", "ect("), ("#![exp", "ect(")]);
    let mut complaints = Vec::new();
    for source in rust_sources() {
        for (place, _) in expect.iter().flat_map(|word| source.text.match_indices(word.as_str())) {
            let attribute = source.text[place..].split(")]").next().unwrap_or_default();
            if !attribute.contains("reason") {
                let line = source.text[..place].lines().count();
                complaints.push(format!("{}:{line}", source.path));
            }
        }
    }
    expect_none("These say not why:", &complaints);
}

#[test]
fn no_file_names_this_machine_or_a_mirror() {
    let words = words(&[
        ("/wo", "rk/"),
        ("/ro", "ot/"),
        ("/ho", "me/runner"),
        ("/tmp/", "env.sh"),
        ("/tmp/", "brief"),
        ("static.cra", "tes.io"),
        ("index.cra", "tes.io"),
        ("proxy.go", "lang.org"),
        ("registry.np", "mjs.org"),
        ("py", "pi.org"),
        ("python", "hosted.org"),
        ("deb.deb", "ian.org"),
    ]);
    expect_none("Paths and hosts of one machine:", &lines_with(&sources(), &words));
}

#[test]
fn the_domain_has_no_floats_and_no_input_or_output() {
    let in_domain = |source: &Source| source.path.starts_with("crates/domain/src/") && !is_test_file(&source.path);
    let domain: Vec<Source> = rust_sources().into_iter().filter(in_domain).map(without_tests).collect();
    assert!(!domain.is_empty(), "the domain has sources");
    let forbidden = [
        "f32",
        "f64",
        "std::fs",
        "std::net",
        "std::process",
        "std::thread",
        "std::env",
        "async fn",
        "println!",
        "Instant",
    ];
    let mut complaints = Vec::new();
    for source in &domain {
        for (number, line) in source.text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let found = forbidden.iter().find(|word| has_word(line, word));
            complaints.extend(found.map(|word| format!("{}:{}: {word}", source.path, number + 1)));
        }
    }
    expect_none("The domain is pure, and money and counts are whole numbers:", &complaints);
}

#[test]
fn every_member_shares_the_workspaces_lints_and_versions() {
    let mut complaints = Vec::new();
    for member in Workspace::get().members() {
        let manifest = std::fs::read_to_string(&member.manifest_path).expect("a manifest is readable");
        if !manifest.contains("[lints]\nworkspace = true") {
            complaints.push(format!("{} does not take the workspace's lints", member.name));
        }
        let own = |line: &&str| line.contains("version = \"") || line.contains("= \"^") || line.contains("git = ");
        complaints.extend(
            manifest.lines().filter(own).map(|line| format!("{}: `{line}` is not from the one table", member.name)),
        );
        if member.name != format!("witan-{}", folder_of(member)) {
            complaints.push(format!("{} is in folder {}", member.name, folder_of(member)));
        }
    }
    expect_none("One table of versions and lints; folder x is package witan-x:", &complaints);
}

#[test]
fn long_files_are_worth_a_look() {
    for source in rust_sources() {
        let lines = source.text.lines().count();
        if lines > LINES_LOOK {
            println!("worth a look: {} has {lines} lines", source.path);
        }
    }
}

fn folder_of(member: &cargo_metadata::Package) -> &str {
    member.manifest_path.parent().and_then(|folder| folder.file_name()).unwrap_or_default()
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/") || path.contains("golden")
}

/// Unit tests stand last in a file; what they do is no rule of the product.
fn without_tests(source: Source) -> Source {
    let text = source.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
    Source { path: source.path, text }
}

/// Whether the word stands alone in the line: `f64` does not stand in `buf64`.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(place, _)| {
        let before = line[..place].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
    })
}
