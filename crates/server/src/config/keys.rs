//! The table of all that can be configured, and how each value is read from text.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use super::{Config, LogFormat, Media, VARIABLE_PREFIX};

/// Turns text into a value; a relative path is meant from the folder that is given. The error says what would be right.
type Set = fn(&mut Config, &str, &Path) -> Result<(), String>;

/// One thing that can be configured.
pub struct Key {
    pub name: &'static str,
    /// What it does, in one line.
    pub what: &'static str,
    pub(super) set: Set,
    show: fn(&Config) -> String,
}

impl Key {
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.to_uppercase())
    }

    /// The value as one would write it.
    pub fn show(&self, config: &Config) -> String {
        (self.show)(config)
    }
}

macro_rules! key {
    ($name:literal, $what:literal, $set:expr, $show:expr) => {
        Key { name: $name, what: $what, set: $set, show: $show }
    };
}

/// All that can be configured, in the order in which `witan config` shows it.
pub const KEYS: &[Key] = &[
    key!("data", "the folder that holds everything", |c, v, base| path(v, base).map(|p| c.data = p), |c| {
        c.data.display().to_string()
    }),
    key!("listen", "address and port to listen on", |c, v, _| address(v).map(|v| c.listen = v), |c| {
        c.listen.to_string()
    }),
    key!(
        "public_url",
        "where clients reach the server, if not at `listen` (https behind a proxy that does TLS)",
        |c, v, _| optional(v, origin).map(|v| c.public_url = v),
        |c| c.public_url.clone().unwrap_or_default()
    ),
    key!(
        "cors_origins",
        "web origins whose pages may call the API",
        |c, v, _| list(v).map(origin).collect::<Result<_, _>>().map(|v| c.cors_origins = v),
        |c| c.cors_origins.join(",")
    ),
    key!("log_format", "human or json", |c, v, _| log_format(v).map(|v| c.log_format = v), |c| {
        match c.log_format {
            LogFormat::Human => "human".into(),
            LogFormat::Json => "json".into(),
        }
    }),
    key!("log_level", "error, warn, info, debug or trace", |c, v, _| log_level(v).map(|v| c.log_level = v), |c| {
        c.log_level.clone()
    }),
    key!("media", "sfu, none or fake", |c, v, _| media(v).map(|v| c.media = v), |c| c.media.name().into()),
    key!(
        "media_listen",
        "the IP addresses that participants' audio and video come to",
        |c, v, _| ips(v).map(|v| c.node.listen = v),
        |c| c.node.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    ),
    key!(
        "media_announced_address",
        "how participants reach media_listen, if not by those addresses: one for each family, or a host's name",
        |c, v, _| list(v).map(announced).collect::<Result<_, _>>().map(|v| c.node.announced = v),
        |c| c.node.announced.join(",")
    ),
    key!(
        "media_port",
        "the first worker's port, UDP and TCP; the next one's is one more; 0: any that is free",
        |c, v, _| number(v, 0..=65_535).map(|v| c.node.port = v),
        |c| c.node.port.to_string()
    ),
    key!(
        "media_workers",
        "threads that carry media; 0: one for each core",
        |c, v, _| number(v, 0..=256).map(|v| c.node.workers = v),
        |c| c.node.workers.to_string()
    ),
    key!(
        "media_turn_urls",
        "TURN servers for participants whose network lets no other way",
        |c, v, _| list(v).map(turn_url).collect::<Result<_, _>>().map(|v| c.node.turn_urls = v),
        |c| c.node.turn_urls.join(",")
    ),
    key!(
        "media_turn_secret_file",
        "a file with the secret that is shared with these",
        |c, v, base| optional(v, |v| path(v, base)).map(|v| c.node.turn_secret_file = v),
        |c| c.node.turn_secret_file.as_ref().map(|p| p.display().to_string()).unwrap_or_default()
    ),
    key!(
        "media_idle_seconds",
        "a media node that no server comes back to, and that carries nobody, ends after this",
        |c, v, _| seconds(v, 1..=86_400).map(|v| c.node.idle = v),
        |c| c.node.idle.as_secs().to_string()
    ),
    key!("metrics", "whether /metrics is served", |c, v, _| on_off(v).map(|v| c.metrics = v), |c| {
        c.metrics.to_string()
    }),
    key!(
        "backups",
        "folder for backups; the server keeps the list of erasures there",
        |c, v, base| optional(v, |v| path(v, base)).map(|v| c.backups = v),
        |c| c.backups.as_ref().map(|p| p.display().to_string()).unwrap_or_default()
    ),
    key!(
        "connections_max",
        "connections at a time; more wait to be accepted",
        |c, v, _| number(v, 1..=1_000_000).map(|v| c.connections_max = v),
        |c| c.connections_max.to_string()
    ),
    key!(
        "body_bytes_max",
        "the largest request body, in bytes",
        |c, v, _| number(v, 1024..=(64 << 20)).map(|v| c.body_bytes_max = v),
        |c| c.body_bytes_max.to_string()
    ),
    key!(
        "header_timeout_seconds",
        "a request's headers must be there within this",
        |c, v, _| seconds(v, 1..=300).map(|v| c.header_timeout = v),
        |c| c.header_timeout.as_secs().to_string()
    ),
    key!(
        "request_timeout_seconds",
        "a request must be answered within this (subscriptions excepted)",
        |c, v, _| seconds(v, 1..=3600).map(|v| c.request_timeout = v),
        |c| c.request_timeout.as_secs().to_string()
    ),
    key!(
        "idle_timeout_seconds",
        "a connection on which nothing moves is closed after this",
        |c, v, _| seconds(v, 1..=3600).map(|v| c.idle_timeout = v),
        |c| c.idle_timeout.as_secs().to_string()
    ),
    key!(
        "shutdown_grace_seconds",
        "how long a shutdown waits for requests that are being answered",
        |c, v, _| seconds(v, 0..=600).map(|v| c.shutdown_grace = v),
        |c| c.shutdown_grace.as_secs().to_string()
    ),
    key!(
        "graphql_depth_max",
        "the deepest nesting of fields in a GraphQL document",
        |c, v, _| number(v, 1..=100).map(|v| c.graphql.depth_max = v),
        |c| c.graphql.depth_max.to_string()
    ),
    key!(
        "graphql_selections_max",
        "how many fields a GraphQL document may ask for, fragments expanded",
        |c, v, _| number(v, 1..=1_000_000).map(|v| c.graphql.selections_max = v),
        |c| c.graphql.selections_max.to_string()
    ),
    key!(
        "graphql_aliases_max",
        "how many aliases a GraphQL document may use",
        |c, v, _| number(v, 0..=10_000).map(|v| c.graphql.aliases_max = v),
        |c| c.graphql.aliases_max.to_string()
    ),
    key!(
        "graphql_tokens_max",
        "how many lexical tokens a GraphQL document may have",
        |c, v, _| number(v, 100..=1_000_000).map(|v| c.graphql.tokens_max = v),
        |c| c.graphql.tokens_max.to_string()
    ),
    key!(
        "graphql_hello_timeout_seconds",
        "a WebSocket must say hello (connection_init) within this",
        |c, v, _| seconds(v, 1..=60).map(|v| c.graphql.hello_timeout = v),
        |c| c.graphql.hello_timeout.as_secs().to_string()
    ),
    key!(
        "graphql_subscriptions_max",
        "how many subscriptions one WebSocket may hold",
        |c, v, _| number(v, 1..=10_000).map(|v| c.graphql.subscriptions_max = v),
        |c| c.graphql.subscriptions_max.to_string()
    ),
];

fn path(text: &str, base: &Path) -> Result<PathBuf, String> {
    if text.is_empty() { Err("expected a path, such as /var/lib/witan".into()) } else { Ok(base.join(text)) }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "expected an IP address and a port, such as 127.0.0.1:4000, 0.0.0.0:4000 or [::]:4000".into())
}

fn optional<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// A web origin (RFC 6454, section 6.2): scheme, host, perhaps a port. Comes back in lower case, as browsers send it.
fn origin(text: &str) -> Result<String, String> {
    let right = || "expected an origin: http:// or https://, a host, perhaps a port, and no path, such as https://meet.example.org";
    if text == "*" {
        return Err(format!("any page of the web could then call the API: {}", right()));
    }
    let uri: http::Uri = text.parse().map_err(|_| right())?;
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority))
            if matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains(['@', '*']) =>
        {
            // Browsers leave out the port that the scheme has anyway.
            let default_port = if scheme == "https" { ":443" } else { ":80" };
            let authority = authority.as_str().to_lowercase();
            Ok(format!("{scheme}://{}", authority.strip_suffix(default_port).unwrap_or(&authority)))
        }
        _ => Err(right().into()),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        _ => Err("expected human or json".into()),
    }
}

fn log_level(text: &str) -> Result<String, String> {
    match text {
        "error" | "warn" | "info" | "debug" | "trace" => Ok(text.into()),
        _ => Err("expected error, warn, info, debug or trace".into()),
    }
}

fn media(text: &str) -> Result<Media, String> {
    match text {
        "none" => Ok(Media::None),
        "fake" => Ok(Media::Fake),
        "sfu" => Ok(Media::Sfu),
        _ => Err("expected sfu (a media node), none (sessions without audio and video) or fake (for trying)".into()),
    }
}

fn ips(text: &str) -> Result<Vec<IpAddr>, String> {
    let right = || "expected IP addresses of this machine, such as 127.0.0.1, or 0.0.0.0,:: for all of both families";
    let ips = list(text).map(|ip| ip.parse().map_err(|_| right())).collect::<Result<Vec<IpAddr>, _>>()?;
    if ips.is_empty() { Err(right().into()) } else { Ok(ips) }
}

/// An address, or a host's name (RFC 1123, section 2.1).
fn announced(text: &str) -> Result<String, String> {
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if text.parse::<IpAddr>().is_ok() || (text.len() <= 253 && text.split('.').all(label)) {
        Ok(text.to_owned())
    } else {
        Err("expected an IP address or a host's name, such as 203.0.113.7 or media.example.org".into())
    }
}

/// A TURN server (RFC 7065, section 3.1).
fn turn_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("turn:").or_else(|| text.strip_prefix("turns:"));
    if rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic())) {
        Ok(text.to_owned())
    } else {
        Err("expected a TURN server, such as turn:turn.example.org:3478 or turns:turn.example.org:5349?transport=tcp"
            .into())
    }
}

fn on_off(text: &str) -> Result<bool, String> {
    match text {
        "true" | "on" | "yes" => Ok(true),
        "false" | "off" | "no" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}

fn number<T: FromStr + PartialOrd + fmt::Display>(text: &str, range: RangeInclusive<T>) -> Result<T, String> {
    let right = || format!("expected a whole number from {} to {}", range.start(), range.end());
    text.parse().ok().filter(|value| range.contains(value)).ok_or_else(right)
}

fn seconds(text: &str, range: RangeInclusive<u64>) -> Result<Duration, String> {
    number(text, range).map(Duration::from_secs).map_err(|right| format!("{right} (seconds)"))
}
