//! The web pages: built with node and npm before the binary that embeds them, and only when their sources changed.
//!
//! Nothing here stops a build of the server: without node, or without a network, the binary has no pages and says so.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment::{cache_folder, workspace};
use crate::{Failure, command};

/// The least node that the pages' tools run on, and the one of npm that is fetched where Debian's is older.
const NODE_LEAST: (u32, u32) = (20, 19);
const NODE_WANTED: &str = "node@22";
const STAMP: &str = "node_modules/.witan-built";

/// A node that is new enough, and npm.
struct Node {
    /// What comes first in `PATH`, where node is not the system's.
    folder: Option<PathBuf>,
}

impl Node {
    /// The system's node, or one from npm in our cache; none where there is neither.
    fn find() -> Option<Node> {
        command::find("npm")?;
        if new_enough(command::output("node", &["--version"])) {
            return Some(Node { folder: None });
        }
        let prefix = cache_folder()?.join("node");
        let folder = prefix.join("node_modules/node/bin");
        let node = folder.join("node");
        let works = || new_enough(command::output(&node.to_string_lossy(), &["--version"]));
        if !works() {
            println!("xtask: this system's node is too old for the pages' tools: bringing {NODE_WANTED} from npm");
            let prefix = prefix.to_string_lossy().into_owned();
            let _ = Command::new("npm")
                .args(["install", "--no-audit", "--no-fund", "--prefix", &prefix, NODE_WANTED])
                .status();
        }
        works().then_some(Node { folder: Some(folder) })
    }

    /// `PATH` with this node first.
    fn path(&self) -> std::ffi::OsString {
        let before = std::env::var_os("PATH").unwrap_or_default();
        let folders = self.folder.iter().cloned().chain(std::env::split_paths(&before));
        std::env::join_paths(folders).unwrap_or(before)
    }

    fn npm(&self, folder: &Path, arguments: &[&str]) -> bool {
        let mut npm = Command::new("npm");
        npm.current_dir(folder).args(arguments).env("PATH", self.path());
        npm.status().is_ok_and(|status| status.success())
    }
}

/// Builds the pages if their sources changed since the last time. Says what is wrong, and goes on.
pub(crate) fn build() {
    let Some(node) = Node::find() else {
        println!("xtask: without node and npm the meet page is not built; everything else is");
        return;
    };
    let web = workspace().join("crates/dashboard/web");
    let stamp = web.join(STAMP);
    let wanted = fingerprint(&web);
    let built = web.join("dist/index.html").is_file();
    if built && std::fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == wanted) {
        return;
    }
    println!("\nxtask: the meet page");
    if !node.npm(&web, &["ci", "--no-audit", "--no-fund"]) || !node.npm(&web, &["run", "--silent", "build"]) {
        println!("xtask: the meet page could not be built (see above); everything else is");
        return;
    }
    // Not written: it is built once more next time.
    let _ = std::fs::write(stamp, wanted);
}

/// Gives the tests what the browser's need, and tells them that it is there: then none of them may skip itself.
///
/// # Errors
/// Only where there is a node, and what should work with it doesn't.
pub(crate) fn equip(test: &mut Command) -> Result<(), Failure> {
    let Some(node) = Node::find() else { return Ok(()) };
    let web = workspace().join("crates/dashboard/web");
    if !std::fs::read_to_string(web.join(STAMP)).is_ok_and(|stamp| stamp == fingerprint(&web)) {
        return Err(Failure::Step("the meet page could not be built, and its tests need it".to_owned()));
    }
    let folder = workspace().join("tests/browser");
    let fetched = folder.join("node_modules/playwright-core").is_dir();
    if !fetched && !node.npm(&folder, &["ci", "--no-audit", "--no-fund"]) {
        return Err(Failure::Step("npm could not fetch what the browser tests need".to_owned()));
    }
    test.env("PATH", node.path());
    if command::find("chromium").is_some() {
        test.env("WITAN_BROWSER_TESTS", "1");
    }
    Ok(())
}

/// A number over the names and contents of everything that the pages are made of.
fn fingerprint(web: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    std::fs::read(workspace().join("schema.graphql")).unwrap_or_default().hash(&mut hasher);
    for file in files(web) {
        file.strip_prefix(web).unwrap_or(&file).hash(&mut hasher);
        std::fs::read(&file).unwrap_or_default().hash(&mut hasher);
    }
    format!("{:016x}\n", hasher.finish())
}

/// The sources below the folder, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let made = |path: &PathBuf| path.ends_with("node_modules") || path.ends_with("dist");
    let nested = paths.into_iter().filter(|path| !made(path));
    nested.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn new_enough(version: Option<String>) -> bool {
    let Some(version) = version else { return false };
    let mut numbers = version.trim_start_matches('v').split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= NODE_LEAST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_told_apart_by_their_version() {
        let said = |version: &str| new_enough(Some(version.to_owned()));
        assert!(said("v20.19.0") && said("v22.1.0") && said("v26.10.0"));
        assert!(!said("v20.18.3") && !said("v18.20.4") && !said("") && !new_enough(None));
    }

    #[test]
    fn the_fingerprint_sees_sources_and_not_what_is_made() {
        let web = workspace().join("crates/dashboard/web");
        let seen = files(&web);
        assert!(seen.contains(&web.join("src/main.tsx")) && seen.contains(&web.join("package-lock.json")));
        assert!(!seen.iter().any(|path| path.to_string_lossy().contains("node_modules")));
    }
}
