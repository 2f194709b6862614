//! What must be on the machine before cargo can build and test, and how it gets there.

use std::path::Path;
use std::process::Command;

use crate::{Failure, command, environment::is_debian_12};

/// What the set-up is for: testing needs more than building.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    Building,
    Checking,
    Testing,
}

/// How much we need a tool.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Nothing builds without it.
    Build,
    /// Builds are slower without it.
    Speed,
    /// The web pages are not built without it.
    Pages,
    /// Some tests are skipped without it, and say so.
    Tests,
}

struct Tool {
    name: &'static str,
    why: &'static str,
    need: Need,
    /// Debian's packages.
    packages: &'static [&'static str],
    is_there: fn() -> bool,
}

const TOOLS: [Tool; 12] = [
    Tool {
        name: "C and C++ compilers",
        why: "build RocksDB, SQLite and the cryptography",
        need: Need::Build,
        packages: &["gcc", "g++", "libc6-dev"],
        is_there: has_compilers,
    },
    Tool {
        name: "libclang",
        why: "lets bindgen read RocksDB's header",
        need: Need::Build,
        packages: &["clang", "libclang-dev"],
        is_there: || has_libclang() && has_clang_headers(),
    },
    Tool {
        name: "node and npm",
        why: "build the meet page",
        need: Need::Pages,
        packages: &["nodejs", "npm"],
        is_there: || command::find("node").is_some() && command::find("npm").is_some(),
    },
    Tool {
        name: "Chromium",
        why: "is the browser of the tests that use the meet page",
        need: Need::Tests,
        packages: &["chromium", "fonts-dejavu-core"],
        is_there: || command::find("chromium").is_some(),
    },
    Tool {
        name: "Python with venv",
        why: "runs the build of the media engine (meson, which it gets from PyPI)",
        need: Need::Build,
        packages: &["python3", "python3-venv"],
        is_there: || command::succeeds("python3", &["-c", "import ensurepip, venv"]),
    },
    Tool {
        name: "the media engine's libraries",
        why: "let it be built without fetching their sources",
        need: Need::Build,
        packages: &["flatbuffers-compiler", "libflatbuffers-dev", "libssl-dev", "libuv1-dev", "pkg-config"],
        is_there: has_media_libraries,
    },
    Tool {
        name: "git",
        why: "lists the files that the architecture test reads",
        need: Need::Tests,
        packages: &["git"],
        is_there: || command::find("git").is_some(),
    },
    Tool {
        name: "ccache",
        why: "keeps the C++ objects, so that RocksDB is built once",
        need: Need::Speed,
        packages: &["ccache"],
        is_there: || command::find("ccache").is_some(),
    },
    Tool {
        name: "strace",
        why: "makes the Nth sync fail in the crash tests",
        need: Need::Tests,
        packages: &["strace"],
        is_there: || command::find("strace").is_some(),
    },
    Tool {
        name: "mkfs.ext4",
        why: "makes the file system whose power the crash tests cut",
        need: Need::Tests,
        packages: &["e2fsprogs"],
        is_there: || command::find("mkfs.ext4").is_some(),
    },
    Tool {
        name: "mount and losetup",
        why: "mount that file system and a small tmpfs",
        need: Need::Tests,
        packages: &["mount", "util-linux"],
        is_there: || command::find("losetup").is_some() && command::find("mount").is_some(),
    },
    Tool {
        name: "Go with golang.org/x/mod",
        why: "checks our Merkle proofs with an implementation that is not ours",
        need: Need::Tests,
        packages: &["golang-go", "golang-golang-x-mod-dev"],
        is_there: has_go_oracle,
    },
];

/// Makes sure that what is needed is there, installing it where we may.
///
/// # Errors
/// [`Failure::Missing`] with the line to run, when something that the build can't do without is missing.
pub(crate) fn prepare(purpose: For) -> Result<(), Failure> {
    let missing = missing(purpose);
    if !missing.is_empty() {
        install(&missing);
        report(&self::missing(purpose))?;
    }
    match purpose {
        For::Building => Ok(()),
        For::Checking | For::Testing => rust_components(),
    }
}

fn missing(purpose: For) -> Vec<&'static Tool> {
    let wanted = |tool: &&Tool| tool.need != Need::Tests || purpose == For::Testing;
    TOOLS.iter().filter(wanted).filter(|tool| !(tool.is_there)()).collect()
}

/// Tries to install; what is still missing afterwards is for [`report`] to judge.
fn install(missing: &[&Tool]) {
    let Some(apt_get) = Installer::find() else { return };
    let packages = packages(missing);
    eprintln!("xtask: installing {}", packages.join(" "));
    if !has_package_lists() {
        apt_get.run(&["update"]);
    }
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(&packages);
    // Lists that are too old name packages that are gone, hence the second try; a package that this Debian does not
    // have must not keep the others away, hence the third.
    let installed = apt_get.run(&install) || (apt_get.run(&["update"]) && apt_get.run(&install));
    if !installed {
        for tool in missing {
            let mut one = install[..3].to_vec();
            one.extend(tool.packages);
            apt_get.run(&one);
        }
    }
}

/// Says what is still missing, and refuses when the build needs it.
fn report(missing: &[&Tool]) -> Result<(), Failure> {
    for tool in missing {
        let consequence = match tool.need {
            Need::Build => "the build needs it",
            Need::Speed => "not required: builds are slower without it",
            Need::Pages => "not required: without it the binary has no meet page, and says so there",
            Need::Tests => "not required: its tests are skipped and say so",
        };
        eprintln!("xtask: {} is missing ({}; {consequence})", tool.name, tool.why);
    }
    if missing.is_empty() {
        return Ok(());
    }
    let line = install_line(missing);
    if missing.iter().any(|tool| tool.need == Need::Build) {
        return Err(Failure::Missing(format!(
            "can't build yet, and may not install here. Run this, then try again:\n\n    {line}\n"
        )));
    }
    eprintln!("xtask: to have all of it, run: {line}");
    Ok(())
}

fn install_line(missing: &[&Tool]) -> String {
    if command::find("apt-get").is_some() {
        format!("sudo apt-get update && sudo apt-get install --yes {}", packages(missing).join(" "))
    } else {
        format!("install what your system calls these packages of Debian: {}", packages(missing).join(" "))
    }
}

fn packages(missing: &[&Tool]) -> Vec<&'static str> {
    missing.iter().flat_map(|tool| tool.packages).copied().collect()
}

/// An apt-get that we may use without asking anybody.
struct Installer {
    through_sudo: bool,
}

impl Installer {
    fn find() -> Option<Installer> {
        command::find("apt-get")?;
        if command::output("id", &["-u"])? == "0" {
            return Some(Installer { through_sudo: false });
        }
        command::succeeds("sudo", &["-n", "true"]).then_some(Installer { through_sudo: true })
    }

    fn run(&self, arguments: &[&str]) -> bool {
        let mut command = if self.through_sudo { Command::new("sudo") } else { Command::new("env") };
        if self.through_sudo {
            command.args(["-n", "env"]);
        }
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]).args(arguments);
        command.status().is_ok_and(|status| status.success())
    }
}

fn has_package_lists() -> bool {
    let is_list = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().contains("_Packages");
    std::fs::read_dir("/var/lib/apt/lists").is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(is_list)))
}

fn has_compilers() -> bool {
    // Cargo links with `cc` in any case; `CC` and `CXX` choose what compiles. The headers are a package of their own.
    let chose_cpp = std::env::var_os("CXX").is_some();
    let compiles = |compiler: &str, language: &str, program: &str| {
        command::accepts(compiler, &["-x", language, "-fsyntax-only", "-"], program)
    };
    compiles("cc", "c", "#include <stdlib.h>\n") && (chose_cpp || compiles("c++", "c++", "#include <cstdlib>\n"))
}

fn has_libclang() -> bool {
    let in_folder = |folder: &Path| {
        let is_libclang = |entry: std::fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name == "libclang.so"
                || name.starts_with("libclang.so.")
                // `libclang-cpp` is another library, which comes with other programs.
                || (name.starts_with("libclang-") && !name.starts_with("libclang-cpp") && name.contains(".so"))
        };
        std::fs::read_dir(folder).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(is_libclang)))
    };
    if let Some(chosen) = std::env::var_os("LIBCLANG_PATH") {
        return in_folder(Path::new(&chosen)) || Path::new(&chosen).is_file();
    }
    let llvm = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let llvm = llvm.filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm"));
    let fixed = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    fixed.iter().any(|folder| in_folder(Path::new(folder)))
        || llvm.into_iter().any(|entry| in_folder(&entry.path().join("lib")))
}

/// Clang's own `stddef.h` and the like, which the library alone comes without.
fn has_clang_headers() -> bool {
    if std::env::var_os("LIBCLANG_PATH").is_some() || command::find("clang").is_some() {
        return true;
    }
    let folders = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let roots =
        ["/usr/lib/clang", "/usr/lib64/clang", "/usr/local/lib/clang"].map(|root| Path::new(root).to_path_buf());
    let of_llvm = folders(Path::new("/usr/lib")).into_iter().map(|folder| folder.join("lib/clang"));
    let mut versions = roots.into_iter().chain(of_llvm).flat_map(|root| folders(&root));
    versions.any(|version| version.join("include/stddef.h").is_file())
}

/// Elsewhere than on Debian 12 the media engine's build fetches its own.
fn has_media_libraries() -> bool {
    let libraries = ["--exists", "flatbuffers", "openssl", "libuv"];
    !is_debian_12() || (command::find("flatc").is_some() && command::succeeds("pkg-config", &libraries))
}

fn has_go_oracle() -> bool {
    command::find("go").is_some() && Path::new("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog").is_dir()
}

/// A minimal Rust toolchain comes without these two.
fn rust_components() -> Result<(), Failure> {
    let missing: Vec<&str> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(subcommand, _)| !command::succeeds("cargo", &[subcommand, "--version"]))
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut add = vec!["component", "add"];
    add.extend(&missing);
    if command::succeeds("rustup", &add) {
        return Ok(());
    }
    Err(Failure::Missing(format!(
        "Rust's {} are missing. Run this, then try again:\n\n    rustup {}\n",
        missing.join(" and "),
        add.join(" ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(need: Need) -> Tool {
        Tool { name: "a thing", why: "does something", need, packages: &["thing", "thing-dev"], is_there: || false }
    }

    #[test]
    fn what_the_build_needs_stops_with_the_line_to_run() {
        let thing = tool(Need::Build);
        let failure = report(&[&thing]).unwrap_err();
        assert_eq!(failure.exit_code(), 3);
        assert!(failure.to_string().contains("thing thing-dev"));
    }

    #[test]
    fn what_only_tests_need_does_not_stop() {
        let (speed, tests) = (tool(Need::Speed), tool(Need::Tests));
        report(&[&speed, &tests]).unwrap();
    }
}
