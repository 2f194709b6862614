//! The command line, as clap reads it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Flag;

const EXAMPLES: &str = "\
Examples:
  witan serve                              Serve from ./witan-data at http://127.0.0.1:4000
  witan serve --data /var/lib/witan --listen 0.0.0.0:4000 --public-url https://witan.example.org
  witan organization create --slug north-clinic --name 'North Clinic' --owner-login anna
  witan journal verify                     Read the whole journal; also beside a running server
  witan backup /backups/monday             Back up; also beside a running server
  witan restore /backups/monday --data ./restored --erasures ./witan-data
  witan demo                               Play a consultation against the running server
  witan config                             Every value and where it comes from

Configuration: defaults, then witan.toml (or --config FILE), then variables WITAN_<KEY>, then flags.

Exit codes:
  0  done, or whole, or equal
  1  failed: the reason is on stderr
  2  wrong command line or configuration
  3  checked and found wrong: a damaged journal or backup, read models that differ
  4  the data folder can't be used: in use, made by a newer witan, or not a data folder";

/// Video conferences whose history can be proved.
///
/// witan records every change as an event, serves it over GraphQL, and keeps a Merkle log over all events, so that
/// anyone can check what happened.
#[derive(Debug, Parser)]
#[command(name = "witan", version, after_help = EXAMPLES, max_term_width = 120)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub configuration: ConfigurationFlags,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigurationFlags {
    /// The configuration file [default: witan.toml, where there is one]
    #[arg(long, global = true, value_name = "FILE", env = "WITAN_CONFIG", hide_env = true)]
    pub config: Option<PathBuf>,
    /// The folder that holds everything [default: ./witan-data]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data: Option<String>,
    /// human or json; on stderr
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Set any key of the configuration; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Args, Debug, Default)]
pub struct ServeFlags {
    /// Address and port to listen on [default: 127.0.0.1:4000]; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Where clients reach the server, if not there
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Web origins whose pages may call the API, separated by commas
    #[arg(long, value_name = "ORIGINS")]
    pub cors_origins: Option<String>,
    /// none or fake
    #[arg(long, value_name = "MEDIA")]
    pub media: Option<String>,
    /// Whether /metrics is served: true or false
    #[arg(long, value_name = "BOOL")]
    pub metrics: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API; the first start makes an organization, its owner and an API key
    Serve {
        #[command(flatten)]
        flags: ServeFlags,
        /// Write one line of JSON to stdout when ready (URLs; on the first start the API key)
        #[arg(long)]
        ready_json: bool,
    },
    /// Make, list, suspend and reactivate organizations; also beside a running server
    #[command(subcommand, arg_required_else_help = true)]
    Organization(OrganizationCommand),
    /// Look after the journal
    #[command(subcommand, arg_required_else_help = true)]
    Journal(JournalCommand),
    /// Rebuild all read models beside the live ones and compare; exit code 3 if they differ
    Replay {
        /// One JSON object on stdout instead of text
        #[arg(long)]
        json: bool,
    },
    /// Copy journal, keys, vault and ledger to a new folder and verify the copy; also beside a running server
    Backup {
        /// A folder that does not exist yet, or is empty
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
        /// One JSON object on stdout instead of text
        #[arg(long)]
        json: bool,
    },
    /// Make a data folder (--data) from a backup, and erase again whoever was erased since
    #[command(group = clap::ArgGroup::new("since").required(true))]
    Restore {
        /// The folder that `witan backup` made
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
        /// The newest list of erasures: the old data folder, or the file `erasures.jsonl` beside the backups
        #[arg(long, value_name = "PATH", group = "since")]
        erasures: Option<PathBuf>,
        /// Say that nobody was erased since the backup, or that the list is lost
        #[arg(long, group = "since")]
        no_erasures: bool,
        /// One JSON object on stdout instead of text
        #[arg(long)]
        json: bool,
    },
    /// Print the newest checkpoint, the signed head of the Merkle log
    Checkpoint {
        /// One JSON object on stdout instead of the signed note
        #[arg(long)]
        json: bool,
    },
    /// Print a proof that something is in the log
    #[command(subcommand, arg_required_else_help = true)]
    Proof(ProofCommand),
    /// Show every value of the configuration and where it comes from
    Config {
        #[command(flatten)]
        flags: ServeFlags,
        /// One JSON object on stdout instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Play a consultation against a running server through its public API, and tell it line by line
    ///
    /// Without an API key it asks the server on this machine, by its data folder, for an organization of its own. Exit
    /// code 3 when anything is not as told.
    Demo {
        /// Where the server is [default: http:// and the address that it listens on by the configuration]
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        /// The key of an organization's owner, in whose organization to play
        #[arg(long, value_name = "KEY", env = "WITAN_API_KEY", hide_env_values = true)]
        api_key: Option<String>,
        /// Where to write the proof that it ends with [default: a file in the temporary folder]
        #[arg(long, value_name = "FILE")]
        bundle: Option<PathBuf>,
        /// One JSON object a line instead of text
        #[arg(long)]
        json: bool,
    },
    /// Print the GraphQL schema
    Schema {
        /// The reference of the API, in Markdown
        #[arg(long)]
        markdown: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum OrganizationCommand {
    /// Make an organization, its owner, and an API key that acts as them
    Create {
        /// Its name in URLs: lower-case ASCII letters, digits and "-"
        #[arg(long)]
        slug: String,
        /// Its full name
        #[arg(long)]
        name: String,
        /// The owner's login
        #[arg(long)]
        owner_login: String,
        /// The owner's display name [default: the login]
        #[arg(long)]
        owner_name: Option<String>,
        /// The owner's e-mail address
        #[arg(long)]
        owner_email: Option<String>,
        /// One JSON object on stdout instead of text
        #[arg(long)]
        json: bool,
    },
    /// List the organizations of this deployment
    List {
        /// One JSON object on stdout instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Stop new sessions in an organization; what is live goes on
    Suspend {
        /// The organization's slug or id
        organization: String,
        /// One JSON object on stdout instead of text
        #[arg(long)]
        json: bool,
    },
    /// Take a suspension back
    Reactivate {
        /// The organization's slug or id
        organization: String,
        /// One JSON object on stdout instead of text
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Read every byte and say "whole", or what is wrong where (exit code 3); also beside a running server
    Verify {
        /// One JSON object on stdout instead of text
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum ProofCommand {
    /// That one event is in the log: for `witan-verify`
    Event {
        /// The event's id (event_…) or its position
        event: String,
    },
    /// That nothing was rewritten since an earlier checkpoint: for `witan-verify`
    Consistency {
        /// How many events the earlier checkpoint covers (the second line of its note)
        old: u64,
        /// How many the later one covers [default: those of the newest checkpoint]
        new: Option<u64>,
    },
}

impl ConfigurationFlags {
    /// The flags as keys and values. The error is a sentence for the command line.
    pub fn flags(&self, serve: Option<&ServeFlags>) -> Result<Vec<Flag>, String> {
        let mut flags = Vec::new();
        for pair in &self.set {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(format!("--set {pair}: expected KEY=VALUE, such as --set log_level=debug"));
            };
            flags.push(Flag { flag: "--set".into(), key: key.trim().into(), value: value.trim().into() });
        }
        let mut add = |flag: &str, key: &str, value: &Option<String>| {
            if let Some(value) = value {
                flags.push(Flag { flag: flag.into(), key: key.into(), value: value.clone() });
            }
        };
        add("--data", "data", &self.data);
        add("--log-format", "log_format", &self.log_format);
        add("--log-level", "log_level", &self.log_level);
        if let Some(serve) = serve {
            add("--listen", "listen", &serve.listen);
            add("--public-url", "public_url", &serve.public_url);
            add("--cors-origins", "cors_origins", &serve.cors_origins);
            add("--media", "media", &serve.media);
            add("--metrics", "metrics", &serve.metrics);
        }
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn is_sound() {
        Cli::command().debug_assert();
    }

    /// The help is what an operator reads first: it changes only on purpose. `WITAN_BLESS=1 cargo test` writes it anew.
    #[test]
    fn help_reads_as_agreed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/help.txt");
        let mut text = String::new();
        let mut root = Cli::command().term_width(110);
        root.build();
        text += &root.render_long_help().to_string();
        for name in ["serve", "organization", "restore"] {
            let command = root.find_subcommand_mut(name).unwrap();
            text += &format!("\n$ witan {name} --help\n{}", command.render_long_help());
        }
        if std::env::var_os("WITAN_BLESS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(path).unwrap(), "WITAN_BLESS=1 writes {path} anew");
    }

    #[test]
    fn flags_become_keys() {
        let cli =
            Cli::parse_from(["witan", "serve", "--listen", "127.0.0.1:0", "--set", "metrics=false", "--data", "x"]);
        let Command::Serve { flags, .. } = &cli.command else { panic!("not serve") };
        let flags = cli.configuration.flags(Some(flags)).unwrap();
        let keys: Vec<_> =
            flags.iter().map(|flag| (flag.flag.as_str(), flag.key.as_str(), flag.value.as_str())).collect();
        assert_eq!(
            keys,
            [("--set", "metrics", "false"), ("--data", "data", "x"), ("--listen", "listen", "127.0.0.1:0")]
        );
        let cli = Cli::parse_from(["witan", "schema", "--set", "metrics"]);
        assert!(cli.configuration.flags(None).unwrap_err().contains("expected KEY=VALUE"));
    }
}
