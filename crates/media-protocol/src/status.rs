//! Failures as gRPC statuses, and back.

use tonic::{Code, Status};
use witan_media::MediaError;

/// What can't be there, and which fields can be invalid: a name that comes over the wire is one of these.
const NAMES: [&str; 10] = [
    "session",
    "participant",
    "transport",
    "stream",
    "offer",
    "source",
    "dtlsParameters",
    "rtpParameters",
    "rtpCapabilities",
    "spatialLayer",
];
/// What a newer node may mean.
const UNKNOWN: &str = "input";

pub fn to_status(error: MediaError) -> Status {
    match error {
        MediaError::NoNode => Status::unavailable("no media node can be reached"),
        MediaError::Node(why) => Status::failed_precondition(why),
        MediaError::Invalid { field, message } => Status::invalid_argument(format!("{field}: {message}")),
        MediaError::NotThere(what) => Status::not_found(what),
    }
}

pub fn from_status(status: &Status) -> MediaError {
    match status.code() {
        Code::NotFound => MediaError::NotThere(name(status.message())),
        Code::InvalidArgument => {
            let (field, message) = status.message().split_once(": ").unwrap_or((UNKNOWN, status.message()));
            MediaError::Invalid { field: name(field), message: message.to_owned() }
        }
        // A connection that broke in the middle is told as one of these.
        Code::Unavailable | Code::Unknown | Code::Cancelled => MediaError::NoNode,
        Code::Ok
        | Code::DeadlineExceeded
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => MediaError::Node(status.message().to_owned()),
    }
}

fn name(text: &str) -> &'static str {
    NAMES.into_iter().find(|name| *name == text).unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for error in [
            MediaError::NoNode,
            MediaError::Node("it burns".into()),
            MediaError::Invalid { field: "rtpParameters", message: "no codecs: none at all".into() },
            MediaError::NotThere("offer"),
        ] {
            assert_eq!(from_status(&to_status(error.clone())), error);
        }
        assert_eq!(from_status(&Status::not_found("unicorn")), MediaError::NotThere("input"));
    }
}
