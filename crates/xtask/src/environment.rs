//! Where builds go and with which compilers: the same for everyone, so that nobody builds RocksDB twice.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;

const CACHE_FOLDER: &str = ".cache/witan";
const CCACHE_SIZE_MAX: &str = "5G";

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn workspace() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let ours = PathBuf::from(manifest);
    ours.ancestors().nth(2).map_or_else(|| ours.clone(), Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        // Cargo takes a relative folder from where it is started, and we start it in the workspace.
        Some(folder) => workspace().join(folder),
        None => cache_folder().map_or_else(|| workspace().join("target"), |cache| cache.join("target")),
    }
}

/// A `cargo` that builds in the shared folder, through ccache where that is installed.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace()).env("CARGO_TARGET_DIR", target_folder());
    // Set by the cargo that runs us; build scripts would see xtask's instead of none and run again.
    for (name, _) in std::env::vars_os() {
        let own =
            name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
        if own {
            cargo.env_remove(name);
        }
    }
    let has_ccache = command::find("ccache").is_some();
    let set = |name: &str| std::env::var_os(name).is_some();
    cargo.envs(compilers(has_ccache, set, cache_folder().as_deref()));
    cargo
}

/// What to add to the environment so that C and C++ go through ccache.
///
/// A compiler that the user has chosen stays: then nothing is added.
fn compilers(has_ccache: bool, set: impl Fn(&str) -> bool, cache: Option<&Path>) -> BTreeMap<&'static str, OsString> {
    let mut added = BTreeMap::new();
    if !has_ccache || set("CC") || set("CXX") {
        return added;
    }
    added.insert("CC", "ccache gcc".into());
    added.insert("CXX", "ccache g++".into());
    let folder = cache.map(|cache| cache.join("ccache").into_os_string());
    let defaults = [
        ("CCACHE_DIR", folder),
        // The working folder differs between checkouts and is of no matter to the object code.
        ("CCACHE_NOHASHDIR", Some("1".into())),
        ("CCACHE_MAXSIZE", Some(CCACHE_SIZE_MAX.into())),
    ];
    for (name, value) in defaults {
        if let Some(value) = value.filter(|_| !set(name)) {
            added.insert(name, value);
        }
    }
    added
}

/// Where we keep what is made or fetched once for all checkouts.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(PathBuf::from(home).join(CACHE_FOLDER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ccache_wraps_the_compilers_when_it_is_there() {
        let added = compilers(true, |_| false, Some(Path::new("/cache")));
        assert_eq!(added["CC"], "ccache gcc");
        assert_eq!(added["CXX"], "ccache g++");
        assert_eq!(added["CCACHE_DIR"], "/cache/ccache");
        assert_eq!(added["CCACHE_MAXSIZE"], "5G");
    }

    #[test]
    fn a_compiler_that_the_user_chose_stays() {
        assert!(compilers(true, |name| name == "CC", None).is_empty());
        assert!(compilers(true, |name| name == "CXX", None).is_empty());
        assert!(compilers(false, |_| false, None).is_empty());
    }

    #[test]
    fn a_cache_folder_that_the_user_chose_stays() {
        let added = compilers(true, |name| name == "CCACHE_DIR", Some(Path::new("/cache")));
        assert!(!added.contains_key("CCACHE_DIR"));
        assert_eq!(added["CC"], "ccache gcc");
    }

    #[test]
    fn the_workspace_is_found() {
        assert!(workspace().join("Cargo.lock").is_file());
    }
}
