//! A `witan` process of a test's own, in a data folder of its own, on a port that was free.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::actor::Actor;
use crate::http::Client;

/// A cold start rebuilds read models and reads the journal's tail, on machines that do much else.
const READY_SECONDS_MAX: u64 = 120;
const STOP_SECONDS_MAX: u64 = 60;
/// What Linux counts CPU time in towards programs, whatever the kernel's own rate (proc(5)).
const TICKS_PER_SECOND: u64 = 100;

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    data: Option<PathBuf>,
    wrapper: Vec<String>,
}

impl Options {
    /// Sets a key of the configuration.
    pub fn set(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
        self
    }

    /// Adds a flag of `witan serve`.
    pub fn flag(mut self, flag: &str) -> Self {
        self.arguments.push(flag.to_owned());
        self
    }

    /// Sets a variable of the process's environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps the data in this folder, which outlives the server; otherwise it has a temporary one.
    pub fn data(mut self, folder: &Path) -> Self {
        self.data = Some(folder.to_owned());
        self
    }

    /// Starts the server under another program (`strace -f …`), whose arguments come first.
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|argument| (*argument).to_owned()).collect();
        self
    }
}

/// A running (or killed, or stopped) `witan serve`. Dropping it kills the process and deletes its temporary folder.
pub struct Server {
    options: Options,
    folder: TempDir,
    child: Option<Child>,
    ready: Value,
    api_key: String,
    organization: String,
    owner: String,
}

impl Server {
    /// Starts on an empty data folder and waits until it serves. The first start makes an organization, its owner and
    /// an API key that acts as them.
    pub fn start(options: Options) -> Server {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let empty = String::new;
        let mut server = Server {
            options,
            folder,
            child: None,
            ready: Value::Null,
            api_key: empty(),
            organization: empty(),
            owner: empty(),
        };
        server.launch().expect("the server starts");
        let first = |key: &str| server.ready[key].as_str().unwrap_or_default().to_owned();
        (server.api_key, server.organization, server.owner) = (first("api_key"), first("organization"), first("owner"));
        server
    }

    /// Starts again on the same data folder, with the same options.
    pub fn restart(&mut self) {
        self.try_restart().expect("the server starts again");
    }

    /// Starts again; when the server refuses, gives what it wrote to stderr.
    pub fn try_restart(&mut self) -> Result<(), String> {
        assert!(self.child.is_none(), "the server still runs: kill9() or stop() it first");
        self.launch()
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our own child can be killed");
            child.wait().expect("our own child can be waited for");
        }
    }

    /// SIGTERM, and waits for the graceful end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("our own child can be signalled");
    }

    /// Waits for a process that ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server runs");
        for _ in 0..STOP_SECONDS_MAX * 20 {
            if let Some(status) = child.try_wait().expect("our own child can be waited for") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        child.kill().expect("our own child can be killed");
        panic!("the server did not end within {STOP_SECONDS_MAX} s; its log:\n{}", self.log());
    }

    /// Whether the process is still there.
    pub fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_none()))
    }

    /// The server's process; under a wrapper too, since the server itself says its number.
    pub fn pid(&self) -> Pid {
        assert!(self.child.is_some(), "the server runs");
        let said = self.ready["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        said.and_then(Pid::from_raw).expect("the ready line names the process")
    }

    /// CPU time that the process has used so far, user and system.
    pub fn cpu(&self) -> Duration {
        cpu_of(self.pid().as_raw_nonzero().get().unsigned_abs())
    }

    /// Bytes of memory that the process holds (resident set).
    pub fn memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid().as_raw_nonzero()))
            .expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("the kernel says how much") * 1024
    }

    pub fn url(&self) -> &str {
        self.said("url")
    }

    pub fn graphql_url(&self) -> &str {
        self.said("graphql")
    }

    pub fn websocket_url(&self) -> &str {
        self.said("websocket")
    }

    /// The host and port, for tests that write to the socket themselves.
    pub fn address(&self) -> &str {
        self.url().trim_start_matches("http://")
    }

    /// The position that the log had when it was opened.
    pub fn opened_at(&self) -> u64 {
        self.ready["opened"]["position"].as_u64().expect("the ready line says where the log ends")
    }

    /// The secret of the key that the first start made.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    pub fn organization(&self) -> &str {
        &self.organization
    }

    /// The owner's user id.
    pub fn owner_id(&self) -> &str {
        &self.owner
    }

    /// The owner of the organization that the first start made.
    pub fn owner(&self) -> Actor {
        self.actor("owner", &self.api_key)
    }

    /// Someone with a credential: an API key, a join token or a resume secret.
    pub fn actor(&self, name: &str, credential: &str) -> Actor {
        Actor::new(name, Client::new(self.graphql_url(), self.websocket_url(), Some(credential)))
    }

    /// Someone without any credential.
    pub fn nobody(&self) -> Actor {
        Actor::new("nobody", Client::new(self.graphql_url(), self.websocket_url(), None))
    }

    pub fn data(&self) -> PathBuf {
        self.options.data.clone().unwrap_or_else(|| self.folder.path().join("data"))
    }

    /// A place for the test's own files, deleted with the server.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// All that the server has logged, over all its starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Runs another command of the binary on the same data folder: `server.witan(&["journal", "verify"])`.
    pub fn witan(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("witan"));
        command.args(arguments).arg("--data").arg(self.data()).current_dir(self.scratch()).stdin(Stdio::null());
        command.output().expect("the binary can be started")
    }

    fn said(&self, key: &str) -> &str {
        self.ready[key].as_str().expect("the ready line says where to go")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    fn launch(&mut self) -> Result<(), String> {
        let log =
            std::fs::File::options().create(true).append(true).open(self.log_path()).expect("the log can be written");
        let logged_before = self.log().len();
        let mut child = self.command().stderr(log).spawn().expect("the binary can be started");
        let stdout = child.stdout.take().expect("stdout is piped");
        self.child = Some(child);
        let (sender, receiver) = mpsc::channel();
        // A thread of its own: reading a pipe has no timeout. It ends with the pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        match receiver.recv_timeout(Duration::from_secs(READY_SECONDS_MAX)) {
            Ok(line) => {
                let parsed: Value = serde_json::from_str(&line).expect("the ready line is JSON");
                self.ready = parsed["ready"].clone();
                Ok(())
            }
            Err(ended_or_late) => {
                self.kill9();
                Err(format!("not ready ({ended_or_late}); its log:\n{}", &self.log()[logged_before..]))
            }
        }
    }

    fn command(&self) -> Command {
        let witan = binary("witan");
        let mut command = match self.options.wrapper.split_first() {
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(witan);
                command
            }
            None => Command::new(witan),
        };
        command.args(["serve", "--listen", "127.0.0.1:0", "--ready-json", "--log-format", "json"]);
        // Whoever is about media says so.
        command.args(["--set", "media=none", "--data"]);
        command.arg(self.data()).args(&self.options.arguments);
        // A configuration of the machine must not change what a test sees.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WITAN_")) {
            command.env_remove(name);
        }
        command.envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.scratch()).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Nothing to do about a child that can't be killed, and a panic here would hide the test's own.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

/// CPU time that a process has used so far, user and system, in steps of 10 ms.
pub fn cpu_of(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("the process is there");
    // The second field is the name in parentheses and may hold spaces; utime and stime are the 14th and 15th.
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// A binary of the workspace: beside our own executable, or for a test, which is built a folder further down, above it.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a process has an executable");
    let mut places = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    // A test's own executable is not what is looked for, whatever its name.
    let found = places.find(|place| place.is_file() && *place != own);
    found.unwrap_or_else(|| panic!("{name} is not built: run `cargo build --workspace --bins` first"))
}
