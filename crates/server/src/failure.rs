//! Why a command of the command line did not do what it should: a sentence and an exit code.

use std::fmt;

use crate::{config::InvalidConfig, data_folder::DataFolderError};

pub const FAILED: u8 = 1;
pub const WRONG_USE: u8 = 2;
pub const FOUND_WRONG: u8 = 3;
pub const DATA_FOLDER: u8 = 4;

#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: u8,
    pub text: String,
}

impl Failure {
    pub fn new(text: impl Into<String>) -> Self {
        Self { code: FAILED, text: text.into() }
    }

    /// An error with all that led to it: `what: error: its source: …`.
    pub fn caused(what: &str, error: &dyn std::error::Error) -> Self {
        let mut text = format!("{what}: {error}");
        let mut source = error.source();
        while let Some(error) = source {
            let next = error.to_string();
            // Transparent errors say what their source says.
            if !text.ends_with(&next) {
                text = format!("{text}: {next}");
            }
            source = error.source();
        }
        Self::new(text)
    }

    pub fn found_wrong(text: impl Into<String>) -> Self {
        Self { code: FOUND_WRONG, text: text.into() }
    }

    /// The data folder can't be used as it is.
    pub fn in_use(text: impl Into<String>) -> Self {
        Self { code: DATA_FOLDER, text: text.into() }
    }

    pub fn wrong_use(text: impl Into<String>) -> Self {
        Self { code: WRONG_USE, text: text.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<InvalidConfig> for Failure {
    fn from(error: InvalidConfig) -> Self {
        Self::wrong_use(error.to_string())
    }
}

impl From<DataFolderError> for Failure {
    fn from(error: DataFolderError) -> Self {
        Self { code: DATA_FOLDER, text: error.to_string() }
    }
}
