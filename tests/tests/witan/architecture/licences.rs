//! Which licences may come in: those that let anyone host witan and sell a service with it.

use super::{Workspace, expect_none};

const ALLOWED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

#[test]
fn every_dependency_has_an_allowed_licence() {
    let mut complaints = Vec::new();
    for package in Workspace::get().packages() {
        match &package.license {
            None => complaints.push(format!("{} {} names no licence", package.name, package.version)),
            Some(expression) if !allows(expression) => {
                complaints.push(format!("{} {} is under {expression}", package.name, package.version));
            }
            Some(_) => {}
        }
    }
    expect_none("Only permissive licences (the list is in tests/tests/witan/architecture/licences.rs):", &complaints);
}

/// Whether the SPDX expression can be satisfied with allowed licences only (SPDX 2.3, annex D: AND binds tighter than
/// OR; cargo's old `/` means OR).
fn allows(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    any(&mut rest).is_some_and(|allowed| allowed && rest.is_empty())
}

fn any(rest: &mut &[&str]) -> Option<bool> {
    let mut allowed = all(rest)?;
    while take(rest, "OR") {
        allowed |= all(rest)?;
    }
    Some(allowed)
}

fn all(rest: &mut &[&str]) -> Option<bool> {
    let mut allowed = one(rest)?;
    while take(rest, "AND") {
        allowed &= one(rest)?;
    }
    Some(allowed)
}

fn one(rest: &mut &[&str]) -> Option<bool> {
    if take(rest, "(") {
        let inner = any(rest)?;
        return take(rest, ")").then_some(inner);
    }
    let (licence, after) = rest.split_first()?;
    *rest = after;
    if take(rest, "WITH") {
        let (exception, after) = rest.split_first()?;
        *rest = after;
        return Some(ALLOWED.contains(&format!("{licence} WITH {exception}").as_str()));
    }
    Some(ALLOWED.contains(licence))
}

fn take(rest: &mut &[&str], token: &str) -> bool {
    match rest.split_first() {
        Some((first, after)) if *first == token => {
            *rest = after;
            true
        }
        _ => false,
    }
}

#[test]
fn licence_expressions_are_understood() {
    assert!(allows("MIT"));
    assert!(allows("MIT/Apache-2.0"));
    assert!(allows("MIT OR Apache-2.0 OR LGPL-2.1-or-later"));
    assert!(allows("ISC AND (Apache-2.0 OR OpenSSL) AND BSD-3-Clause"));
    assert!(allows("Apache-2.0 WITH LLVM-exception"));
    assert!(allows("GPL-3.0 AND MIT OR MIT"));
    assert!(!allows("GPL-3.0-only"));
    assert!(!allows("MIT AND GPL-3.0-only"));
    assert!(!allows("GPL-2.0 WITH Classpath-exception-2.0"));
    assert!(!allows("(MIT"));
    assert!(!allows(""));
}
