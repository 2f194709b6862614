//! Which dependencies may not come in, which must not come twice, and which must not be too old.

use std::collections::BTreeSet;

use cargo_metadata::semver::Version;

use super::{Workspace, expect_none};

const BANNED: [(&str, &str); 9] = [
    ("openssl", "one TLS and one cryptography library is enough: rustls and aws-lc"),
    ("openssl-sys", "one TLS and one cryptography library is enough: rustls and aws-lc"),
    ("native-tls", "one TLS library is enough: rustls"),
    ("ethers", "325 crates, and known vulnerabilities that nobody mends"),
    ("merkle-tree-rs", "needs ethers; it is an oracle of tests in a workspace of its own"),
    ("async-graphql-axum", "not GraphQL over HTTP, no limits on WebSockets; we have our own thin layer"),
    ("actix-web", "one HTTP stack is enough: hyper"),
    ("serde_yaml", "unmaintained; configuration is TOML"),
    ("atty", "unmaintained; the standard library has is_terminal"),
];

/// Building two of these would double the build, and types of one don't fit the other.
const ONCE: [&str; 16] = [
    "async-graphql",
    "aws-lc-rs",
    "aws-lc-sys",
    "axum",
    "cedar-policy",
    "clap",
    "ed25519-dalek",
    "http",
    "hyper",
    "librocksdb-sys",
    "libsqlite3-sys",
    "reqwest",
    "rocksdb",
    "rustls",
    "serde",
    "tokio",
];

/// The least version without a known hole, and the advisory.
const FLOORS: [(&str, &str, &str); 1] = [("jsonwebtoken", "10.3.0", "CVE-2026-25537")];

#[test]
fn banned_dependencies_stay_out() {
    let packages = Workspace::get().packages();
    let complaints: Vec<String> = packages
        .filter_map(|package| {
            let (_, reason) = BANNED.iter().find(|(name, _)| *name == package.name.as_str())?;
            Some(format!("{} {}: {reason}", package.name, package.version))
        })
        .collect();
    expect_none("Banned dependencies:", &complaints);
}

#[test]
fn heavy_dependencies_come_once() {
    let mut complaints = Vec::new();
    for name in ONCE {
        let versions: Vec<String> = Workspace::get().package(name).map(|one| one.version.to_string()).collect();
        if versions.len() > 1 {
            complaints.push(format!("{name} {}", versions.join(" and ")));
        }
    }
    expect_none("These would be built twice:", &complaints);
}

#[test]
fn dependencies_are_not_older_than_their_mended_version() {
    let mut complaints = Vec::new();
    for (name, floor, advisory) in FLOORS {
        let floor = Version::parse(floor).expect("a version");
        let old = Workspace::get().package(name).filter(|package| package.version < floor);
        complaints.extend(old.map(|package| format!("{name} {} < {floor} ({advisory})", package.version)));
    }
    expect_none("Too old:", &complaints);
}

#[test]
fn tokens_are_signed_by_aws_lc() {
    let features = Workspace::get().features("jsonwebtoken");
    assert!(features.contains("aws_lc_rs") && !features.contains("rust_crypto"), "jsonwebtoken has {features:?}");
}

#[test]
fn async_graphql_is_pinned() {
    let graphql = Workspace::get().package("witan-graphql").next().expect("it is a member");
    let dependency = graphql.dependencies.iter().find(|one| one.name == "async-graphql").expect("graphql imports it");
    let requirement = dependency.req.to_string();
    // Its parser and validator stand between strangers and us: each new version is read before it comes in.
    assert!(requirement.starts_with("=7.2."), "async-graphql is required as {requirement}, not as =7.2.x");
}

#[test]
fn everything_comes_from_the_registry_or_from_here() {
    let elsewhere: BTreeSet<String> = Workspace::get()
        .packages()
        .filter(|package| package.source.as_ref().is_some_and(|source| !source.is_crates_io()))
        .map(|package| package.name.to_string())
        .collect();
    assert!(elsewhere.is_empty(), "not from crates.io: {elsewhere:?}");
}
