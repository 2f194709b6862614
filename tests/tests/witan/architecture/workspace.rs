//! What cargo says about the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::OnceLock;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// The workspace and all its dependencies, with the features that a build of everything turns on.
pub(super) struct Workspace {
    metadata: Metadata,
}

impl Workspace {
    /// Asks cargo once for all tests.
    pub(super) fn get() -> &'static Workspace {
        static WORKSPACE: OnceLock<Workspace> = OnceLock::new();
        WORKSPACE.get_or_init(|| {
            let manifest = Workspace::root().join("Cargo.toml");
            // What is for other systems only was not downloaded by the build: cargo gets it now.
            let options = vec!["--locked".to_owned()];
            let metadata = MetadataCommand::new().manifest_path(manifest).other_options(options).exec();
            Workspace { metadata: metadata.expect("cargo describes the workspace") }
        })
    }

    pub(super) fn root() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace has a folder")
    }

    /// Every package, ours and others'.
    pub(super) fn packages(&self) -> impl Iterator<Item = &Package> {
        self.metadata.packages.iter()
    }

    pub(super) fn members(&self) -> Vec<&Package> {
        self.metadata.workspace_packages()
    }

    pub(super) fn package(&self, name: &str) -> impl Iterator<Item = &Package> {
        self.packages().filter(move |package| package.name.as_str() == name)
    }

    /// The names of the packages that the member's library or binary imports directly; what only its tests use is left
    /// out.
    pub(super) fn imports(&self, member: &Package) -> BTreeSet<String> {
        self.direct(&member.id).map(|package| package.name.to_string()).collect()
    }

    /// The names of the packages that only the member's own tests import.
    pub(super) fn imports_of_tests(&self, member: &Package) -> BTreeSet<String> {
        let dependencies = member.dependencies.iter();
        dependencies.filter(|one| one.kind == DependencyKind::Development).map(|one| one.name.clone()).collect()
    }

    /// The names of everything that comes along with the member, however far down.
    pub(super) fn reaches(&self, member: &Package) -> BTreeSet<String> {
        let mut seen: BTreeMap<&PackageId, String> = BTreeMap::new();
        let mut todo: Vec<&Package> = self.direct(&member.id).collect();
        while let Some(package) = todo.pop() {
            if seen.insert(&package.id, package.name.to_string()).is_none() {
                todo.extend(self.direct(&package.id));
            }
        }
        seen.into_values().collect()
    }

    /// The features of the package that are on in a build of the whole workspace.
    pub(super) fn features(&self, name: &str) -> BTreeSet<String> {
        let ids: BTreeSet<&PackageId> = self.package(name).map(|package| &package.id).collect();
        let nodes = self.nodes().iter().filter(|node| ids.contains(&node.id));
        nodes.flat_map(|node| node.features.iter().map(ToString::to_string)).collect()
    }

    fn direct(&self, id: &PackageId) -> impl Iterator<Item = &Package> {
        let node = self.nodes().iter().find(|node| node.id == *id).expect("every package is resolved");
        let runs =
            node.deps.iter().filter(|one| one.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development));
        runs.map(|one| &self.metadata[&one.pkg])
    }

    fn nodes(&self) -> &[cargo_metadata::Node] {
        &self.metadata.resolve.as_ref().expect("cargo resolved the dependencies").nodes
    }
}
