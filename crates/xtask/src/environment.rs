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
    let set = |name: &str| std::env::var_os(name).is_some();
    let (wrappers, cache) = (ccache_wrappers(), cache_folder());
    cargo.envs(compilers(wrappers.as_deref(), set, cache.as_deref()));
    if is_debian_12() {
        cargo.envs(media_engine(&workspace(), set, cache.as_deref()));
    }
    cargo
}

/// The folder in which distributions keep compilers that go through ccache under their own names.
fn ccache_wrappers() -> Option<PathBuf> {
    command::find("ccache")?;
    let folders = ["/usr/lib/ccache", "/usr/lib64/ccache", "/usr/lib/ccache/bin"].map(PathBuf::from);
    folders.into_iter().find(|folder| folder.join("g++").exists())
}

/// What to add to the environment so that C and C++ go through ccache: by the search path, since the media engine's
/// build takes `CXX` for one word.
///
/// A compiler that the user has chosen stays: then nothing is added.
fn compilers(
    wrappers: Option<&Path>,
    set: impl Fn(&str) -> bool,
    cache: Option<&Path>,
) -> BTreeMap<&'static str, OsString> {
    let mut added = BTreeMap::new();
    let Some(wrappers) = wrappers.filter(|_| !set("CC") && !set("CXX")) else { return added };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(wrappers.to_owned()).chain(std::env::split_paths(&path));
    let Ok(path) = std::env::join_paths(path) else { return added };
    added.insert("PATH", path);
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

/// On Debian 12 the media engine is built on the system's libraries instead of sources that its own build would fetch:
/// the same there for everyone, and with Debian's security updates.
fn media_engine(
    workspace: &Path,
    set: impl Fn(&str) -> bool,
    cache: Option<&Path>,
) -> BTreeMap<&'static str, OsString> {
    let mut added = BTreeMap::new();
    if set("MESON") {
        return added;
    }
    added.insert("MESON", workspace.join("crates/media-node/offline/meson").into_os_string());
    if let Some(cache) = cache.filter(|_| !set("MEDIASOUP_OFFLINE_CACHE")) {
        added.insert("MEDIASOUP_OFFLINE_CACHE", cache.join("mediasoup").into_os_string());
    }
    added
}

/// The release whose versions of those libraries are known to fit.
pub(crate) fn is_debian_12() -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let has = |line: &str| release.lines().any(|one| one == line);
    has("ID=debian") && has("VERSION_ID=\"12\"")
}

/// Where we keep what is made or fetched once for all checkouts.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(PathBuf::from(home).join(CACHE_FOLDER))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRAPPERS: &str = "/wrappers";

    #[test]
    fn compilers_go_through_ccache_when_it_is_there() {
        let added = compilers(Some(Path::new(WRAPPERS)), |_| false, Some(Path::new("/cache")));
        assert!(added["PATH"].to_string_lossy().starts_with("/wrappers:"));
        assert_eq!(added["CCACHE_DIR"], "/cache/ccache");
        assert_eq!(added["CCACHE_MAXSIZE"], "5G");
    }

    #[test]
    fn a_compiler_that_the_user_chose_stays() {
        let wrappers = Some(Path::new(WRAPPERS));
        assert!(compilers(wrappers, |name| name == "CC", None).is_empty());
        assert!(compilers(wrappers, |name| name == "CXX", None).is_empty());
        assert!(compilers(None, |_| false, None).is_empty());
    }

    #[test]
    fn a_cache_folder_that_the_user_chose_stays() {
        let added = compilers(Some(Path::new(WRAPPERS)), |name| name == "CCACHE_DIR", Some(Path::new("/cache")));
        assert!(!added.contains_key("CCACHE_DIR"));
        assert!(added.contains_key("PATH"));
    }

    #[test]
    fn a_meson_that_the_user_chose_stays() {
        let (workspace, cache) = (Path::new("/w"), Some(Path::new("/cache")));
        let added = media_engine(workspace, |_| false, cache);
        assert_eq!(added["MESON"], "/w/crates/media-node/offline/meson");
        assert_eq!(added["MEDIASOUP_OFFLINE_CACHE"], "/cache/mediasoup");
        assert!(media_engine(workspace, |name| name == "MESON", cache).is_empty());
    }

    #[test]
    fn the_workspace_is_found() {
        assert!(workspace().join("Cargo.lock").is_file());
    }
}
