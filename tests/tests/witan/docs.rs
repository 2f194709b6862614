//! The documentation is held to the truth: what it tells a reader to type is typed, against a real server.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use witan_tests::actor::Actor;
use witan_tests::server::{Options, Server, binary};
use witan_tests::socket::Received;

/// The ids that the guide's examples speak of: the test puts those of a real room and session in their place.
const ROOM_OF_THE_GUIDE: &str = "room_01JD0000000000000000000000";
const SESSION_OF_THE_GUIDE: &str = "session_01JD0000000000000000000000";
/// The guide resumes after position 42: so much has happened then.
const EVENTS_BEFORE: usize = 45;
/// How long a subscription has to be refused.
const REFUSAL_WITHIN: Duration = Duration::from_secs(2);

/// Where a code is given that stands in no `fn code`.
const GIVEN: [&str; 8] = [
    "code: \"",
    "Problem::new(",
    "Self::new(StatusCode",
    "refusal(",
    "request_error(",
    "mark(",
    "Some(\"",
    "const INTERNAL",
];

/// A fenced block of a page.
struct Block {
    page: &'static str,
    line: usize,
    language: String,
    text: String,
}

#[tokio::test]
async fn the_examples_of_getting_started_work() {
    let server = Server::start(Options::default().set("log_level", "trace"));
    let mut script = "set -euo pipefail\n".to_owned();
    for block in blocks("getting-started.md").into_iter().filter(|block| block.language == "sh") {
        script += &format!("echo '--- line {}' >&2\n{}", block.line, block.text);
    }
    let file = server.scratch().join("getting-started.sh");
    std::fs::write(&file, script).expect("the script can be written");

    let binaries = binary("witan-verify").parent().map(Path::to_owned).expect("binaries are in a folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([binaries].into_iter().chain(std::env::split_paths(&path))).expect("a PATH");
    let mut bash = Command::new("bash");
    bash.arg(&file).current_dir(server.scratch()).env("PATH", path);
    let output = bash.env("WITAN", server.url()).env("KEY", server.api_key()).output().expect("bash can be started");

    let (said, shown) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{shown}\n{said}", output.status);
    for wrong in ["\"errors\":", "\"userErrors\":[{"] {
        assert!(!shown.contains(wrong), "an example was answered with {wrong}\n{shown}");
    }
    for expected in ["\"ENDED_BY_HOST\"", "\"status\":\"WAITING\"", "\"level\":\"UNIT\"", "Peter Lang"] {
        assert!(shown.contains(expected), "no answer with {expected}\n{shown}");
    }
    assert!(said.contains("verified: "), "{said}");
    // Whatever is logged, nothing personal is.
    let log = server.log();
    assert!(log.lines().count() > 5, "at this level there is something to look at");
    for personal in ["Peter", "Vega", "4711", "The pain is back", "a sister of"] {
        assert!(!log.contains(personal), "the log holds {personal:?}");
    }
}

/// Each code that a client may meet is explained: what stands in a `fn code`, and what is given as a `code` elsewhere.
#[test]
fn every_error_code_is_explained() {
    let page = std::fs::read_to_string(docs().join("errors.md")).expect("docs/errors.md is there");
    let mut codes = BTreeSet::new();
    for folder in ["domain", "app", "graphql", "server"] {
        for source in sources(&docs().join("../crates").join(folder).join("src")) {
            codes_in(&source, &mut codes);
        }
    }
    assert!(codes.len() > 100, "only {} codes were found", codes.len());
    let unexplained: Vec<_> = codes.iter().filter(|code| !page.contains(&format!("`{code}`"))).collect();
    assert!(unexplained.is_empty(), "docs/errors.md does not explain {unexplained:?}");
    let words = page.split('`').filter(|word| is_code(word)).collect::<BTreeSet<_>>();
    let unknown: Vec<_> = words.into_iter().filter(|word| !codes.contains(*word)).collect();
    assert!(unknown.is_empty(), "docs/errors.md explains what nobody answers: {unknown:?}");
}

fn codes_in(source: &str, codes: &mut BTreeSet<String>) {
    let mut in_code = false;
    for line in source.lines().take_while(|line| line.trim() != "#[cfg(test)]") {
        in_code = line.contains("fn code(") || (in_code && line != "    }");
        let given = GIVEN.iter().any(|way| line.contains(way));
        if in_code || given {
            codes.extend(line.split('"').skip(1).step_by(2).filter(|word| is_code(word)).map(str::to_owned));
        }
    }
}

fn is_code(word: &str) -> bool {
    word.len() > 3 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

fn sources(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            found.extend(sources(&path));
        } else if name.ends_with(".rs") && !name.contains("tests") && name != "testing.rs" {
            found.push(std::fs::read_to_string(&path).expect("a source can be read"));
        }
    }
    found
}

/// Each `graphql` block is sent as it stands, with the `json` block after it as its variables.
#[tokio::test]
async fn the_documents_of_the_api_guide_are_valid() {
    let server = Server::start(Options::default());
    let owner = server.owner();
    let (room, session) = room_and_session(&owner).await;
    let mut all = blocks("api.md");
    for block in &mut all {
        block.text = block.text.replace(ROOM_OF_THE_GUIDE, &room).replace(SESSION_OF_THE_GUIDE, &session);
    }
    let mut sent = 0;
    for (at, block) in all.iter().enumerate().filter(|(_, block)| block.language == "graphql") {
        let takes_variables = block.text.contains('$');
        let variables = all.get(at + 1).filter(|next| takes_variables && next.language == "json");
        let variables = variables.map_or_else(|| json!({}), parsed);
        let code = if block.text.trim_start().starts_with("subscription") {
            refusal_of_subscription(&owner, &block.text, variables).await
        } else {
            owner.asks(&block.text, variables).await.code().map(str::to_owned)
        };
        assert_eq!(code, None, "docs/{} line {}", block.page, block.line);
        sent += 1;
    }
    assert!(sent >= 5, "only {sent} documents were found");
}

async fn room_and_session(owner: &Actor) -> (String, String) {
    let unit = json!({ "slug": "unit", "fullName": "Unit" });
    let unit = owner.does("createUnit", unit, "unit { id }").await.text("/unit/id");
    let room = json!({ "unitId": unit, "slug": "room", "name": "Room", "purpose": "MEETING" });
    let room = owner.does("createRoom", room, "room { id }").await.text("/room/id");
    for number in 0..EVENTS_BEFORE {
        let change = json!({ "roomId": room, "description": format!("change {number}") });
        owner.does("updateRoom", change, "room { id }").await;
    }
    let session = owner.does("openSession", json!({ "roomId": room }), "session { id }").await.text("/session/id");
    // The guide asks for a proof, which a checkpoint has to cover.
    loop {
        let seen = owner.sees("{ checkpoint { treeSize } }", json!({})).await;
        let size = seen["checkpoint"]["treeSize"].as_str().and_then(|size| size.parse().ok());
        if size.is_some_and(|size: usize| size > EVENTS_BEFORE) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (room, session)
}

/// Each command that stands in a line of its own is given, in the page's order, beside a running server; restoring, after
/// its end: the old vault is in use until then.
#[tokio::test]
async fn the_commands_of_the_operations_page_work() {
    let mut server = Server::start(Options::default());
    let here = server.scratch().join("here");
    std::fs::create_dir(&here).expect("a folder can be made");
    std::os::unix::fs::symlink(server.data(), here.join("witan-data")).expect("a link can be made");
    let binaries = binary("witan").parent().map(Path::to_owned).expect("binaries are in a folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([binaries].into_iter().chain(std::env::split_paths(&path))).expect("a PATH");
    let page = std::fs::read_to_string(docs().join("operations.md")).expect("the page is there");
    let commands: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("    witan ")).collect();
    assert!(commands.len() >= 7, "only {} commands were found", commands.len());
    for command in commands {
        // A server serves until it is stopped: here only its flags are looked at.
        let command = if command.starts_with("serve ") { format!("{command} --help") } else { command.to_owned() };
        if command.starts_with("restore ") {
            server.stop();
        }
        let command = command.replace("/backups", &here.join("backups").to_string_lossy());
        let mut bash = Command::new("bash");
        bash.args(["-c", &format!("mkdir -p backups; exec witan {command}")]).current_dir(&here).env("PATH", &path);
        let output = bash.output().expect("bash can be started");
        assert!(output.status.success(), "witan {command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The program in the guide to media holds its documents as texts: each fits the schema, and nobody may ask it without a
/// participant's secret.
#[tokio::test]
async fn the_documents_of_the_media_guide_fit_the_schema() {
    let server = Server::start(Options::default());
    let program = blocks("media.md").into_iter().find(|block| block.language == "ts").expect("there is a program");
    let texts: Vec<&str> = program.text.split('`').skip(1).step_by(2).collect();
    let entrance = texts.iter().find(|text| text.starts_with("routerRtpCapabilities")).expect("what an entrance has");
    let documents = texts.iter().filter(|text| text.starts_with("mutation") || text.starts_with("subscription"));
    let mut sent = 0;
    for document in documents.map(|text| text.replace("${ENTRANCE}", entrance)) {
        // Without its variables it can't be done; with a field or a type that isn't there it would be said first.
        let code = server.owner().asks(&document, json!({})).await.code().map(str::to_owned);
        let unfit = ["VALIDATION_FAILED", "PARSE_FAILED"].map(str::to_owned);
        assert!(code.is_some_and(|code| !unfit.contains(&code)), "{document}");
        sent += 1;
    }
    assert!(sent >= 8, "only {sent} documents were found");
}

#[test]
fn every_json_example_is_json() {
    for page in ["api.md", "operations.md", "concepts.md"] {
        for block in blocks(page).iter().filter(|block| block.language == "json") {
            parsed(block);
        }
    }
}

/// Links between the pages lead to files, and to headings that are there.
#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    let mut pages: Vec<PathBuf> =
        std::fs::read_dir(docs()).expect("docs").map(|it| it.expect("a file").path()).collect();
    pages.push(docs().join("../README.md"));
    pages.push(docs().join("decisions/README.md"));
    for page in pages.iter().filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        let text = std::fs::read_to_string(page).expect("a page can be read");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            if file.contains("://") {
                continue;
            }
            let path = if file.is_empty() { page.clone() } else { page.parent().expect("a folder").join(file) };
            let there =
                std::fs::read_to_string(&path).is_ok_and(|text| heading.is_empty() || has_heading(&text, heading));
            if !there {
                wrong.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}

fn has_heading(text: &str, anchor: &str) -> bool {
    let slug = |heading: &str| {
        let kept = heading.trim().to_lowercase().replace(' ', "-");
        kept.chars().filter(|char| char.is_alphanumeric() || *char == '-').collect::<String>()
    };
    text.lines().any(|line| line.starts_with('#') && slug(line.trim_start_matches('#')) == anchor)
}

/// The code with which a subscription is refused; `None` when it isn't, soon enough.
async fn refusal_of_subscription(owner: &Actor, document: &str, variables: Value) -> Option<String> {
    let mut socket = owner.socket().await;
    socket.subscribe("1", document, variables).await;
    match socket.receive_within(REFUSAL_WITHIN).await {
        Some(Received::Message(message)) if message["type"] == "error" => {
            let code = message["payload"][0]["extensions"]["code"].as_str();
            Some(code.unwrap_or("an error without a code").to_owned())
        }
        Some(Received::Message(message)) if message["type"] == "next" => {
            message["payload"]["errors"][0]["extensions"]["code"].as_str().map(str::to_owned)
        }
        _ => None,
    }
}

fn parsed(block: &Block) -> Value {
    let value = serde_json::from_str(&block.text);
    value.unwrap_or_else(|error| panic!("docs/{} line {}: {error}", block.page, block.line))
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn blocks(page: &'static str) -> Vec<Block> {
    let text = std::fs::read_to_string(docs().join(page)).expect("the page is there");
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                open = Some(Block { page, line: at + 1, language: language.to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "docs/{page}: a block is not closed");
    blocks
}
