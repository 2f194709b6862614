//! Configuration: defaults, then a file, then the environment, then flags; each value knows where it comes from.
//!
//! Every source speaks text, and one table ([`KEYS`]) turns text into values: so a key means the same everywhere, and a
//! wrong value is told in the same words wherever it stands.

mod keys;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::de::{DeTable, DeValue};

pub use keys::KEYS;

use crate::media_node::NodeConfig;

/// What stands before a key's name in the environment.
pub const VARIABLE_PREFIX: &str = "WITAN_";
/// Variables of ours that are no keys: which file to read, and the key that `witan demo` acts with.
const NOT_KEYS: [&str; 2] = ["config", "api_key"];
/// The file that is read when none is named.
pub const FILE_DEFAULT: &str = "witan.toml";
/// A misspelt name is near a real one when at most one in so many of its characters is wrong.
const NEAREST_ONE_IN: usize = 3;

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub data: PathBuf,
    pub listen: SocketAddr,
    /// Where clients reach the server, without a slash at the end; `None`: at `listen`.
    pub public_url: Option<String>,
    pub cors_origins: Vec<String>,
    pub log_format: LogFormat,
    pub log_level: String,
    pub media: Media,
    pub node: NodeConfig,
    pub metrics: bool,
    pub backups: Option<PathBuf>,
    pub connections_max: u32,
    pub body_bytes_max: usize,
    pub header_timeout: Duration,
    pub request_timeout: Duration,
    pub idle_timeout: Duration,
    pub shutdown_grace: Duration,
    pub graphql: GraphqlLimits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Sessions without audio and video.
    None,
    /// An in-process stand-in for a media node: carries nothing, answers as one would. For trying things out.
    Fake,
    /// A media node, which this server starts and watches over.
    Sfu,
}

impl Media {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Fake => "fake",
            Self::Sfu => "sfu",
        }
    }
}

/// What one GraphQL request or connection may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphqlLimits {
    pub depth_max: u32,
    pub selections_max: u32,
    pub aliases_max: u32,
    pub tokens_max: u32,
    pub hello_timeout: Duration,
    pub subscriptions_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./witan-data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 4000)),
            public_url: None,
            cors_origins: Vec::new(),
            log_format: LogFormat::Human,
            log_level: "info".into(),
            media: Media::Sfu,
            node: NodeConfig::default(),
            metrics: true,
            backups: None,
            connections_max: 15_000,
            body_bytes_max: 1 << 20,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            shutdown_grace: Duration::from_secs(20),
            graphql: GraphqlLimits {
                depth_max: 24,
                selections_max: 2_000,
                aliases_max: 100,
                tokens_max: 5_000,
                hello_timeout: Duration::from_secs(5),
                subscriptions_max: 100,
            },
        }
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong and where it stands.
    what: String,
    /// What would be right.
    right: String,
}

/// Everything that is wrong with the configuration: all of it at once, so that it takes one round to mend.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidConfig(pub Vec<Problem>);

impl std::error::Error for InvalidConfig {}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "the configuration is not right:")?,
            count => write!(f, "{count} things in the configuration are not right:")?,
        }
        for problem in &self.0 {
            write!(f, "\n  {}\n    {}", problem.what, problem.right)?;
        }
        Ok(())
    }
}

/// The configuration in force and where each value comes from.
#[derive(Debug)]
pub struct Settled {
    pub config: Config,
    pub sources: BTreeMap<&'static str, Source>,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// What is odd but no reason to stop.
    pub warnings: Vec<String>,
}

/// A flag of the command line that sets a key: the flag as it is written, the key, the value.
#[derive(Clone, Debug)]
pub struct Flag {
    pub flag: String,
    pub key: String,
    pub value: String,
}

/// Puts the layers together. `file` is the one that was asked for (it must exist); without it, [`FILE_DEFAULT`] is read
/// where it exists.
pub fn settle(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    flags: &[Flag],
) -> Result<Settled, InvalidConfig> {
    let mut layers = Layers::new();
    layers.read_file(file);
    for (variable, value) in environment {
        layers.set_variable(&variable, &value);
    }
    for flag in flags {
        layers.set(&flag.key, &flag.value, Source::Flag(flag.flag.clone()), Path::new(""));
    }
    if layers.problems.is_empty() { Ok(layers.settled) } else { Err(InvalidConfig(layers.problems)) }
}

struct Layers {
    settled: Settled,
    problems: Vec<Problem>,
}

impl Layers {
    fn new() -> Self {
        let sources = KEYS.iter().map(|key| (key.name, Source::Default)).collect();
        let settled = Settled { config: Config::default(), sources, file: None, warnings: Vec::new() };
        Self { settled, problems: Vec::new() }
    }

    fn set(&mut self, name: &str, value: &str, source: Source, base: &Path) {
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            let right = format!("there is no such key{}; `witan config` lists them all", nearest(name));
            return self.problems.push(Problem { what: format!("{name} ({source})"), right });
        };
        match (key.set)(&mut self.settled.config, value, base) {
            Ok(()) => {
                self.settled.sources.insert(key.name, source);
            }
            Err(right) => self.problems.push(Problem { what: format!("{name} = {value:?} ({source})"), right }),
        }
    }

    /// An unknown variable is only a warning: an orchestrator may make some that begin alike (a Kubernetes service
    /// named "witan" gives every pod a WITAN_PORT).
    fn set_variable(&mut self, variable: &str, value: &str) {
        let Some(name) = variable.strip_prefix(VARIABLE_PREFIX) else {
            return;
        };
        let name = name.to_lowercase();
        // The flags --config and --api-key have variables of their own.
        if NOT_KEYS.contains(&name.as_str()) {
            return;
        }
        if KEYS.iter().any(|key| key.name == name) {
            self.set(&name, value, Source::Variable(variable.into()), Path::new(""));
        } else {
            self.settled.warnings.push(format!("the variable {variable} is no key of witan{}", nearest(&name)));
        }
    }

    fn read_file(&mut self, asked: Option<&Path>) {
        let path = asked.unwrap_or(Path::new(FILE_DEFAULT));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if asked.is_none() && error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => {
                let right = "name a file that exists and may be read, or leave --config (WITAN_CONFIG) out".into();
                return self.problems.push(Problem { what: format!("can't read {}: {error}", path.display()), right });
            }
        };
        self.settled.file = Some(path.into());
        let table = match DeTable::parse(&text) {
            Ok(table) => table,
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(&text, span.start));
                let what = format!("{}:{line}: {}", path.display(), error.message());
                let right = "the file is TOML: one `key = value` a line, texts in quotes, lists in [ ]".into();
                return self.problems.push(Problem { what, right });
            }
        };
        let base = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let source = Source::File { path: path.into(), line: line_of(&text, name.span().start) };
            let name = name.get_ref().as_ref();
            match as_text(value.get_ref()) {
                Ok(value) => self.set(name, &value, source, &base),
                Err(right) => self.problems.push(Problem { what: format!("{name} ({source})"), right }),
            }
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// A value of the file as the text that the other sources would give.
fn as_text(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().replace('_', "")),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| as_text(item.get_ref())).collect();
            Ok(items?.join(","))
        }
        DeValue::Table(_) => Err("a table can't stand here: keys stand flat, as in `graphql_depth_max = 15`".into()),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) => {
            Err("expected a text in quotes, a whole decimal number, true, false, or a list of texts".into())
        }
    }
}

/// ", did you mean …?", where a name is near enough.
fn nearest(name: &str) -> String {
    let near = KEYS.iter().map(|key| (edits(name, key.name), key.name)).min();
    match near {
        Some((distance, key)) if distance * NEAREST_ONE_IN <= key.len() => {
            format!(" (did you mean `{key}`?)")
        }
        _ => String::new(),
    }
}

/// Levenshtein distance: how many single characters must be changed, added or removed.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests;
