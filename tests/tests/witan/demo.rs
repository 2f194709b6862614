//! `witan demo`: a whole consultation, told by the binary through the public API.

use serde_json::Value;
use witan_tests::server::{Options, Server};

#[tokio::test]
async fn the_demo_tells_a_consultation_and_all_is_as_told() {
    let server = Server::start(Options::default().set("log_level", "trace"));
    let bundle = server.scratch().join("bundle.json");
    let bundle = bundle.to_str().expect("a temporary path is UTF-8");

    let told = server.witan(&["demo", "--url", server.url(), "--bundle", bundle, "--json"]);

    let said = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success(), "{}\n{}\n{said}", told.status, String::from_utf8_lossy(&told.stderr));
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert!(lines.iter().all(|line| line["holds"] != false), "{said}");
    let done = &lines.last().expect("it ends with what it leaves behind")["done"];
    assert!(done["checked"].as_u64().is_some_and(|checked| checked > 30), "{done}");
    assert!(std::fs::read_to_string(bundle).is_ok_and(|text| text.contains("\"inclusion\"")));
    for personal in ["Lang", "Vega", "vega-", "a browser"] {
        assert!(!server.log().contains(personal), "the log holds {personal:?}");
    }
}

#[tokio::test]
async fn the_demo_can_be_played_in_an_organization_that_is_there() {
    let server = Server::start(Options::default());
    let key = server.api_key();

    for _ in 0..2 {
        let told = server.witan(&["demo", "--url", server.url(), "--api-key", key]);

        let said = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.status.success(), "{}\n{said}", String::from_utf8_lossy(&told.stderr));
        assert!(said.contains("All as told"), "{said}");
    }
}

#[tokio::test]
async fn without_a_server_the_demo_says_how_to_start_one() {
    let mut server = Server::start(Options::default());
    server.stop();

    let told = server.witan(&["demo"]);

    assert_eq!(told.status.code(), Some(1));
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(said.contains("cargo xtask run"), "{said}");
}
