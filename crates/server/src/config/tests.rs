use super::*;

fn variables(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> + use<> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect::<Vec<_>>().into_iter()
}

fn flag(flag: &str, key: &str, value: &str) -> Flag {
    Flag { flag: flag.into(), key: key.into(), value: value.into() }
}

/// A configuration file of its own folder; the folder lives as long as the first value.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("witan.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// The error's text, with the folder of the file taken out.
fn complaint(text: &str) -> String {
    let (folder, path) = file(text);
    let error = settle(Some(&path), variables(&[]), &[]).unwrap_err();
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn later_layers_win_and_sources_are_told() {
    let (_folder, path) = file("# mine\nlisten = \"127.0.0.1:1\"\nlog_level = \"warn\"\nidle_timeout_seconds = 1_00\n");
    let environment = [("WITAN_LISTEN", "127.0.0.1:2"), ("WITAN_LOG_LEVEL", "debug"), ("HOME", "/")];
    let settled = settle(Some(&path), variables(&environment), &[flag("--listen", "listen", "127.0.0.1:3")]).unwrap();
    assert_eq!(settled.config.listen.port(), 3);
    assert_eq!(settled.config.log_level, "debug");
    assert_eq!(settled.config.idle_timeout, Duration::from_secs(100));
    assert_eq!(settled.config.body_bytes_max, Config::default().body_bytes_max);
    assert_eq!(settled.sources["listen"], Source::Flag("--listen".into()));
    assert_eq!(settled.sources["log_level"], Source::Variable("WITAN_LOG_LEVEL".into()));
    assert_eq!(settled.sources["idle_timeout_seconds"], Source::File { path, line: 4 });
    assert_eq!(settled.sources["body_bytes_max"], Source::Default);
    assert!(settled.warnings.is_empty());
}

#[test]
fn every_default_can_be_written_as_it_is_shown() {
    for key in KEYS {
        let mut config = Config::default();
        (key.set)(&mut config, &key.show(&Config::default()), Path::new("")).unwrap();
        assert_eq!(config, Config::default(), "{}", key.name);
    }
}

#[test]
fn keys_have_names_of_their_own_that_fit_a_variable() {
    for (i, key) in KEYS.iter().enumerate() {
        assert!(KEYS[i + 1..].iter().all(|other| other.name != key.name), "{} twice", key.name);
        assert!(key.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", key.name);
    }
}

#[test]
fn a_path_in_a_file_is_meant_from_that_file() {
    let (folder, path) = file("data = \"mine\"\nbackups = \"/elsewhere\"\n");
    let config = settle(Some(&path), variables(&[]), &[]).unwrap().config;
    assert_eq!(config.data, folder.path().join("mine"));
    assert_eq!(config.backups, Some("/elsewhere".into()));
}

#[test]
fn a_wrong_value_names_the_key_the_place_and_what_would_be_right() {
    assert_eq!(
        complaint("log_level = \"info\"\nlisten = 4000\n"),
        "the configuration is not right:\n  listen = \"4000\" (witan.toml:2)\n    expected an IP address and a port, \
         such as 127.0.0.1:4000, 0.0.0.0:4000 or [::]:4000"
    );
    let error = settle(None, variables(&[("WITAN_MEDIA", "beamer")]), &[flag("--set metrics=…", "metrics", "maybe")]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "2 things in the configuration are not right:\n  media = \"beamer\" (variable WITAN_MEDIA)\n    expected \
         sfu (a media node), none (sessions without audio and video) or fake (for trying)\n  metrics = \
         \"maybe\" (flag --set metrics=…)\n    expected true or false"
    );
}

#[test]
fn an_unknown_key_offers_the_nearest() {
    assert_eq!(
        complaint("lsten = \"127.0.0.1:4000\"\nbananas = 1\n"),
        "2 things in the configuration are not right:\n  lsten (witan.toml:1)\n    there is no such key (did you mean \
         `listen`?); `witan config` lists them all\n  bananas (witan.toml:2)\n    there is no such key; `witan config` \
         lists them all"
    );
}

#[test]
fn what_is_not_toml_names_the_line() {
    let text = complaint("listen = \"127.0.0.1:4000\"\ndata = /var/lib/witan\n");
    assert!(text.contains("witan.toml:2: "), "{text}");
    assert!(text.contains("one `key = value` a line"), "{text}");
    assert!(complaint("[graphql]\ndepth_max = 3\n").contains("keys stand flat"));
    assert!(complaint("idle_timeout_seconds = 1.5\n").contains("whole decimal number"));
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let error = settle(Some(Path::new("/nowhere/witan.toml")), variables(&[]), &[]).unwrap_err().to_string();
    assert!(error.contains("can't read /nowhere/witan.toml"), "{error}");
}

#[test]
fn an_unknown_variable_warns() {
    let settled = settle(None, variables(&[("WITAN_PORT", "tcp://10.0.0.1:1"), ("WITAN_LISTN", "x")]), &[]).unwrap();
    assert_eq!(settled.warnings.len(), 2);
    assert!(settled.warnings[1].contains("did you mean `listen`?"), "{:?}", settled.warnings);
}

#[test]
fn origins() {
    let read = |value: &str| {
        settle(None, variables(&[("WITAN_CORS_ORIGINS", value)]), &[]).map(|settled| settled.config.cors_origins)
    };
    assert_eq!(read("https://Meet.Example.org/").unwrap(), ["https://meet.example.org"]);
    assert_eq!(read("http://127.0.0.1:3000, https://x").unwrap(), ["http://127.0.0.1:3000", "https://x"]);
    for wrong in ["*", "meet.example.org", "ftp://x", "https://x/path", "https://x?q", "https://u:p@x"] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn numbers_have_bounds() {
    for (key, value) in [("body_bytes_max", "0"), ("idle_timeout_seconds", "-1"), ("graphql_depth_max", "1000000")] {
        let error = settle(None, variables(&[]), &[flag("--set", key, value)]).unwrap_err().to_string();
        assert!(error.contains("expected a whole number from"), "{error}");
    }
}

#[test]
fn the_documented_table_is_the_real_one() {
    let docs = include_str!("../../../../docs/operations.md");
    for key in KEYS {
        let default = key.show(&Config::default());
        let rows = [format!("| `{}` | `{default}` | ", key.name), format!("| `{}` | {default} | ", key.name)];
        let none = format!("| `{}` | – | ", key.name);
        let there = rows.iter().any(|row| docs.contains(row)) || default.is_empty() && docs.contains(&none);
        assert!(there, "docs/operations.md has no row for {} = {default:?}", key.name);
    }
}
