//! The meet page in real browsers, against the real binary. What happens in a browser is told in `tests/browser/*.mjs`;
//! here a server is started for each, and node with it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use witan_tests::server::{Options, Server};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("browser")
}

/// What is missing for these tests, if something is. `cargo xtask test` has brought it, and says so: then it is there.
async fn missing(server: &Server) -> Option<&'static str> {
    let works =
        |program: &str| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    let page = reqwest::get(format!("{}/meet/room", server.url())).await.expect("the server answers");
    if !page.status().is_success() {
        Some("the meet page was not built into the binary (`cargo xtask run` does it)")
    } else if !works("node") {
        Some("it needs `apt-get install nodejs npm`")
    } else if !works("chromium") {
        Some("it needs `apt-get install chromium`")
    } else if !folder().join("node_modules/playwright-core").is_dir() {
        Some("it needs `npm ci` in tests/browser")
    } else {
        None
    }
}

/// Plays one of the files of `tests/browser` against a server that carries media in this way.
async fn plays(script: &'static str, media: &str) {
    let server = Server::start(Options::default().set("media", media));
    if let Some(why) = missing(&server).await {
        assert!(std::env::var_os("WITAN_BROWSER_TESTS").is_none(), "{script}: {why}");
        // Past the test harness, which keeps the words of a test that passes.
        let _ = writeln!(std::io::stderr(), "SKIPPED {script}: {why}");
        return;
    }
    tokio::task::spawn_blocking(move || attend(script, server)).await.expect("no panic");
}

/// Runs node on the script, prints what it says, and does what it asks for (`@…`), until it ends.
fn attend(script: &str, mut server: Server) {
    let mut node = Command::new("node");
    node.arg(folder().join(script)).env("WITAN_URL", server.url()).env("WITAN_KEY", server.api_key());
    let mut node = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node starts");
    let mut answers = node.stdin.take().expect("stdin is piped");
    let said = BufReader::new(node.stdout.take().expect("stdout is piped"));
    for line in said.lines().map_while(Result::ok) {
        match line.as_str() {
            "@kill the server" => server.kill9(),
            "@start the server" => server.restart(),
            _ => {
                println!("{line}");
                continue;
            }
        }
        // A script that failed reads no more.
        let _ = writeln!(answers, "{}", server.url());
    }
    let status = node.wait().expect("our own child can be waited for");
    assert!(status.success(), "{script} failed: see above");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_without_media_from_the_link_to_the_receipt() {
    plays("plain.mjs", "none").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_without_an_invitation_and_who_may_not_come_in() {
    plays("guests.mjs", "none").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_line_and_a_killed_server_lose_nobody() {
    plays("lost.mjs", "none").await;
}

#[tokio::test]
async fn the_page_lets_a_browser_load_nothing_from_elsewhere() {
    let server = Server::start(Options::default().set("media", "none"));
    let page = reqwest::get(format!("{}/meet/room_01JD0000000000000000000000", server.url())).await.expect("an answer");
    let header = |name: &str| page.headers()[name].to_str().expect("it is text").to_owned();
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
    assert!(policy.contains(server.websocket_url().trim_end_matches("/graphql")), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(header("permissions-policy").contains("geolocation=()"));
    assert_eq!((header("x-frame-options"), header("referrer-policy")), ("DENY".into(), "no-referrer".into()));
    assert_eq!(header("cache-control"), "no-cache");
    for path in ["/assets/nothing.js", "/assets/..%2findex.html", "/meet", "/meet/a/b"] {
        let answer = reqwest::get(format!("{}{path}", server.url())).await.expect("an answer");
        assert_eq!(answer.status(), 404, "{path}");
    }
}
