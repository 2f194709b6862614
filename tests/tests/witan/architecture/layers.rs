//! The arrows between our own packages, and who alone knows a dependency.

use std::collections::BTreeSet;

use super::{Workspace, expect_none};

/// Every member has its floor; an import goes to a lower floor only.
const FLOORS: [(&str, &[&str]); 6] = [
    ("L0", &["witan-domain", "witan-verify"]),
    ("L1", &["witan-event-store", "witan-vault", "witan-auth", "witan-ledger", "witan-media"]),
    ("L2", &["witan-app", "witan-projections"]),
    ("L3", &["witan-graphql", "witan-dashboard"]),
    ("L4", &["witan-server", "witan-media-node"]),
    ("outside", &["witan-tests", "witan-benches", "witan-xtask"]),
];

/// An adapter stands beside its port and imports, of ours, only that and the domain. Only the server imports adapters, and
/// the media node the one whose other end it is.
const ADAPTERS: [(&str, &str); 2] =
    [("witan-event-store-embedded", "witan-event-store"), ("witan-media-protocol", "witan-media")];

/// Imports that the floors would allow and the design does not, with the reason.
const CUTS: [(&str, &str, &str); 3] = [
    ("witan-graphql", "witan-event-store", "resolvers read from read models, and write through app"),
    ("witan-graphql", "witan-vault", "what is personal comes revealed from projections and app"),
    ("witan-projections", "witan-vault", "read models hold the ciphertext"),
];

/// Who alone may import a dependency. Packages that no member imports yet are here so that the first one to do so is
/// the right one.
const ONLY: [(&str, &[&str]); 32] = [
    // Benchmarks write the same rows to RocksDB directly, as the baseline.
    ("rocksdb", &["witan-projections", "witan-event-store-embedded", "witan-benches"]),
    ("async-graphql", &["witan-graphql"]),
    ("rusqlite", &["witan-vault"]),
    ("aes-siv", &["witan-vault"]),
    // Auth derives the secrets that it hands out from the key that it signs with.
    ("hkdf", &["witan-vault", "witan-auth"]),
    // The node makes the credentials of TURN servers.
    ("hmac", &["witan-vault", "witan-media-node"]),
    ("sha1", &["witan-media-node"]),
    ("cedar-policy", &["witan-auth"]),
    ("jsonwebtoken", &["witan-auth"]),
    ("ed25519-dalek", &["witan-ledger", "witan-verify", "witan-auth"]),
    ("mediasoup", &["witan-media-node"]),
    ("tonic", &["witan-media-protocol", "witan-media-node"]),
    ("prost", &["witan-media-protocol"]),
    ("alloy", &["witan-ledger-evm"]),
    ("kurrentdb", &["witan-event-store-eventstore"]),
    ("crc32c", &["witan-event-store-embedded"]),
    ("postcard", &["witan-projections"]),
    // The listener: only the server accepts connections; benchmarks have a bare one as the baseline.
    ("hyper", &["witan-server", "witan-benches"]),
    ("hyper-util", &["witan-server", "witan-benches"]),
    ("axum", &["witan-graphql", "witan-server", "witan-benches"]),
    ("rust-embed", &["witan-dashboard"]),
    ("clap", &["witan-server"]),
    ("indicatif", &["witan-server"]),
    ("prometheus-client", &["witan-server"]),
    ("tracing-subscriber", &["witan-server", "witan-media-node"]),
    ("toml", &["witan-server"]),
    // Calling out: the demo, tests and benchmarks talk to a running server.
    ("reqwest", &["witan-server", "witan-tests", "witan-benches"]),
    ("tokio-tungstenite", &["witan-server", "witan-tests", "witan-benches"]),
    // Randomness comes from where the ids and the keys are made.
    ("getrandom", &["witan-app", "witan-auth", "witan-vault", "witan-ledger", "witan-server", "witan-media-node"]),
    ("cargo_metadata", &["witan-tests"]),
    // One time library of ours is enough: jiff. (Cedar and jsonwebtoken bring these along.)
    ("chrono", &[]),
    ("time", &[]),
];

/// What must not come along with a package, however far down: invariants of absence.
const NEVER_REACHES: [(&str, &[&str]); 9] = [
    ("witan-domain", &["tokio", "async-trait", "getrandom", "rocksdb", "rusqlite", "hyper", "jiff"]),
    ("witan-verify", &["tokio", "rocksdb", "rusqlite", "hyper", "async-graphql", "witan-domain"]),
    ("witan-auth", &["rocksdb", "rusqlite", "hyper"]),
    ("witan-ledger", &["rocksdb", "rusqlite", "hyper"]),
    ("witan-vault", &["rocksdb", "hyper"]),
    ("witan-app", &["rocksdb", "async-graphql", "hyper"]),
    ("witan-media", &["tonic", "hyper", "mediasoup"]),
    // A failure of the media engine, which is C++, must not be able to end the server.
    ("witan-server", &["mediasoup", "mediasoup-sys"]),
    ("witan-xtask", &["serde", "clap", "tokio"]),
];

#[test]
fn imports_go_down_only() {
    let mut complaints = Vec::new();
    for member in Workspace::get().members() {
        let name = member.name.as_str();
        let Some(floor) = floor_of(name) else {
            complaints.push(format!("{name} has no floor: give it one in tests/tests/witan/architecture/layers.rs"));
            continue;
        };
        for imported in ours(Workspace::get().imports(member)) {
            let allowed = match adapter_of(&imported) {
                Some(port) => {
                    let other_end = name == "witan-media-node" && port == "witan-media";
                    name == "witan-server" || other_end || floor == outside()
                }
                None => {
                    let is_port = adapter_of(name) == Some(&imported);
                    // The library of the tests starts servers for benchmarks too.
                    let starts_servers = name == "witan-benches" && imported == "witan-tests";
                    is_port || starts_servers || floor_of(&imported).is_some_and(|below| below < floor)
                }
            };
            if !allowed {
                complaints.push(format!("{name} imports {imported}, which is not below it"));
            }
        }
    }
    expect_none("Arrows go down only, and siblings don't import each other:", &complaints);
}

#[test]
fn an_adapter_imports_only_its_port() {
    let mut complaints = Vec::new();
    for (adapter, port) in ADAPTERS {
        let Some(package) = Workspace::get().package(adapter).next() else { continue };
        for imported in ours(Workspace::get().imports(package)) {
            if imported != port && imported != "witan-domain" {
                complaints.push(format!("{adapter} imports {imported}"));
            }
        }
    }
    expect_none("An adapter imports only its port (and the domain's words):", &complaints);
}

#[test]
fn tests_of_a_package_import_nothing_above_it() {
    let mut complaints = Vec::new();
    for member in Workspace::get().members() {
        let Some(floor) = floor_of(&member.name) else { continue };
        for imported in ours(Workspace::get().imports_of_tests(member)) {
            if floor_of(&imported).is_none_or(|other| other > floor) {
                complaints.push(format!("{} imports {imported}", member.name));
            }
        }
    }
    expect_none("A package's tests import from its own floor at the highest:", &complaints);
}

#[test]
fn some_imports_are_cut() {
    let mut complaints = Vec::new();
    for (importer, imported, reason) in CUTS {
        let package = Workspace::get().package(importer).next().expect("the importer is a member");
        if Workspace::get().imports(package).contains(imported) {
            complaints.push(format!("{importer} imports {imported}: {reason}"));
        }
    }
    expect_none("These imports are not part of the design:", &complaints);
}

#[test]
fn only_x_knows_y() {
    let mut complaints = Vec::new();
    for member in Workspace::get().members() {
        let imports = Workspace::get().imports(member);
        for (dependency, knowing) in ONLY {
            if imports.contains(dependency) && !knowing.contains(&member.name.as_str()) {
                let who = if knowing.is_empty() { "nobody".to_owned() } else { format!("only {}", knowing.join(", ")) };
                complaints.push(format!("{} imports {dependency}, which {who} may", member.name));
            }
        }
    }
    expect_none("Only X knows Y:", &complaints);
}

#[test]
fn what_is_absent_stays_absent() {
    let mut complaints = Vec::new();
    for (name, absent) in NEVER_REACHES {
        let package = Workspace::get().package(name).next().expect("it is a member");
        let reached = Workspace::get().reaches(package);
        let found = absent.iter().filter(|one| reached.contains(**one));
        complaints.extend(found.map(|one| format!("{name} brings {one} along")));
    }
    expect_none("Invariants of absence:", &complaints);
}

/// The place of the floor in [`FLOORS`], lowest first. An adapter stands on its port's floor.
fn floor_of(name: &str) -> Option<usize> {
    let standing = adapter_of(name).unwrap_or(name);
    FLOORS.iter().position(|(_, members)| members.contains(&standing))
}

fn outside() -> usize {
    FLOORS.len() - 1
}

fn adapter_of(name: &str) -> Option<&'static str> {
    ADAPTERS.iter().find(|(adapter, _)| *adapter == name).map(|(_, port)| *port)
}

fn ours(names: BTreeSet<String>) -> impl Iterator<Item = String> {
    names.into_iter().filter(|name| name.starts_with("witan-"))
}
