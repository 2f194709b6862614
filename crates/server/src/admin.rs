//! The operator's way to a running server: a socket in the data folder that only its owner can open. One line of JSON
//! asks; lines that tell how far it is may follow; one line answers. Where no server runs, the command line opens the
//! folder itself and does the same.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::watch,
};

const SOCKET: &str = "admin.sock";
/// How long a question or an answer may be. A list of 10,000 organizations fits.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// How long a socket's path may be (the kernel's `sun_path`, with its terminating zero).
const PATH_BYTES_MAX: usize = 107;

/// What an operator may ask.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Question {
    CreateOrganization(NewOrganization),
    ListOrganizations,
    /// By slug or id.
    SuspendOrganization {
        organization: String,
    },
    /// By slug or id.
    ReactivateOrganization {
        organization: String,
    },
    Checkpoint,
    /// By id (event_…) or position.
    ProveEvent {
        event: String,
    },
    /// That the log of `new` events (those of the newest checkpoint where it is none) continues the one of `old`.
    ProveConsistency {
        old: u64,
        new: Option<u64>,
    },
    /// The folder's absolute path.
    Backup {
        folder: PathBuf,
    },
    Replay,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct NewOrganization {
    pub slug: String,
    pub name: String,
    pub owner_login: String,
    pub owner_name: String,
    pub owner_email: Option<String>,
}

/// The answers, one for each question.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    OrganizationCreated(CreatedOrganization),
    Organizations {
        organizations: Vec<OrganizationRow>,
    },
    OrganizationChanged(OrganizationRow),
    Checkpoint {
        note: String,
        size: u64,
    },
    Proof {
        proof: serde_json::Value,
    },
    BackedUp(BackedUp),
    Replayed(Replayed),
    /// Not yet the answer: how far it is.
    Step(Step),
    /// Why not: a sentence for the operator.
    Refused {
        why: String,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreatedOrganization {
    pub organization: String,
    pub slug: String,
    pub owner: String,
    /// The secret, shown only here.
    pub api_key: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OrganizationRow {
    pub organization: String,
    pub slug: String,
    pub status: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackedUp {
    pub folder: PathBuf,
    /// The position of the newest event in it.
    pub position: u64,
    pub events: u64,
    pub persons: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Replayed {
    /// The position at which live and replayed rows were compared.
    pub position: u64,
    pub rows: u64,
    /// Empty when they are equal.
    pub differences: Vec<String>,
    pub seconds: f64,
}

/// How far something long is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Step {
    pub what: String,
    pub done: u64,
    pub total: u64,
}

/// Where steps are told.
pub type Steps = watch::Sender<Step>;

/// Answers questions.
#[async_trait::async_trait]
pub trait Answers: Send + Sync + 'static {
    async fn answer(&self, question: Question, steps: Steps) -> Answer;
}

/// Opens the socket. The caller holds the folder's lock, so one that is there already is left from a process that is
/// gone.
pub fn listen(data: &Path) -> io::Result<UnixListener> {
    let path = data.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = with_short_path(data, UnixListener::bind)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Takes the socket away. One that stays is no harm: nobody answers there.
pub fn unlisten(data: &Path) {
    let _ = std::fs::remove_file(data.join(SOCKET));
}

/// Answers whoever connects, until the future is dropped.
pub async fn serve(listener: UnixListener, answers: Arc<dyn Answers>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let answers = answers.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve_one(stream, &*answers).await {
                        tracing::warn!(%error, "the operator's socket");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "can't accept on the operator's socket");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_one(mut stream: UnixStream, answers: &dyn Answers) -> io::Result<()> {
    let (reading, mut writing) = stream.split();
    let mut lines = BufReader::new(reading);
    let line = read_line(&mut lines).await?;
    let question = match serde_json::from_str(&line) {
        Ok(question) => question,
        // serde's own words would repeat what was sent, and that may be personal.
        Err(_) => {
            let why = "the server does not know this question: is it another version?".into();
            return writing.write_all(&line_of(&Answer::Refused { why })?).await;
        }
    };
    let (steps, mut told) = watch::channel(Step::default());
    let mut answer = answers.answer(question, steps);
    loop {
        tokio::select! {
            answer = &mut answer => return writing.write_all(&line_of(&answer)?).await,
            Ok(()) = told.changed() => {
                let step = told.borrow_and_update().clone();
                writing.write_all(&line_of(&Answer::Step(step))?).await?;
            }
        }
    }
}

/// Asks a running server. `None`: no server runs on this data folder.
pub async fn ask(data: &Path, question: &Question, steps: &Steps) -> io::Result<Option<Answer>> {
    let connected = with_short_path(data, std::os::unix::net::UnixStream::connect);
    let stream = match connected {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.set_nonblocking(true)?;
    let mut stream = UnixStream::from_std(stream)?;
    let (reading, mut writing) = stream.split();
    writing.write_all(&line_of(question)?).await?;
    let mut lines = BufReader::new(reading);
    loop {
        let line = read_line(&mut lines).await?;
        if line.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server went away before it answered"));
        }
        match serde_json::from_str(&line)? {
            Answer::Step(step) => {
                steps.send_replace(step);
            }
            answer => return Ok(Some(answer)),
        }
    }
}

async fn read_line(lines: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = String::new();
    lines.take(LINE_BYTES_MAX).read_line(&mut line).await?;
    Ok(line)
}

fn line_of(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// Calls with the socket's path, or with a short one that leads there: the kernel takes no long ones.
fn with_short_path<T>(data: &Path, call: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    use std::os::fd::AsRawFd;
    let path = data.join(SOCKET);
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return call(path);
    }
    let folder = std::fs::File::open(data)?;
    call(PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd())))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    #[async_trait::async_trait]
    impl Answers for Echo {
        async fn answer(&self, question: Question, steps: Steps) -> Answer {
            match question {
                Question::SuspendOrganization { organization } => Answer::Refused { why: format!("no {organization}") },
                Question::Replay => {
                    steps.send_replace(Step { what: "replaying".into(), done: 1, total: 2 });
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    Answer::Replayed(Replayed { position: 2, rows: 3, differences: Vec::new(), seconds: 0.05 })
                }
                _ => Answer::Checkpoint { note: "note\n".into(), size: 7 },
            }
        }
    }

    async fn asked(data: &Path) {
        let listener = listen(data).unwrap();
        let mode = std::fs::metadata(data.join(SOCKET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let server = tokio::spawn(serve(listener, Arc::new(Echo)));
        let (steps, told) = watch::channel(Step::default());
        let question = Question::SuspendOrganization { organization: "north".into() };
        let answer = ask(data, &question, &steps).await.unwrap().unwrap();
        assert!(matches!(answer, Answer::Refused { why } if why == "no north"));
        let answer = ask(data, &Question::Replay, &steps).await.unwrap().unwrap();
        assert!(matches!(answer, Answer::Replayed(Replayed { rows: 3, .. })));
        assert_eq!((told.borrow().done, told.borrow().total), (1, 2));
        server.abort();
        assert!(server.await.is_err());
        assert!(ask(data, &Question::Checkpoint, &steps).await.unwrap().is_none(), "no server runs");
        drop(listen(data).unwrap());
    }

    #[tokio::test]
    async fn one_line_asks_and_one_answers() {
        let folder = tempfile::tempdir().unwrap();
        let (steps, _told) = watch::channel(Step::default());
        assert!(ask(folder.path(), &Question::Checkpoint, &steps).await.unwrap().is_none());
        asked(folder.path()).await;
    }

    #[tokio::test]
    async fn a_long_path_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        asked(&deep).await;
    }

    #[tokio::test]
    async fn an_unknown_question_is_refused_without_repeating_it() {
        let folder = tempfile::tempdir().unwrap();
        let server = tokio::spawn(serve(listen(folder.path()).unwrap(), Arc::new(Echo)));
        let mut stream = UnixStream::connect(folder.path().join(SOCKET)).await.unwrap();
        stream.write_all(b"{\"ask\":\"erase_anna\"}\n").await.unwrap();
        let line = read_line(&mut BufReader::new(stream)).await.unwrap();
        assert!(line.contains("does not know this question") && !line.contains("anna"), "{line}");
        server.abort();
    }
}
