//! How the server stands: alive at all, and ready to serve.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use crate::{edge::json, media_node::NodeStanding};

/// A follower that is further behind than this keeps the server from being ready: what it shows is old.
const LAG_EVENTS_MAX: u64 = 10_000;

#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// The position of the newest durable event.
    pub position: u64,
    pub journal: Part,
    pub vault: Part,
    pub followers: Vec<FollowerStanding>,
    pub media: &'static str,
    /// Where `media` is sfu. Without it nobody is heard or seen, and the rest of the API serves.
    pub media_node: Option<NodeStanding>,
    pub shutting_down: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct Part {
    pub ok: bool,
    /// Why not, where it is not.
    pub why: Option<String>,
}

impl Part {
    pub fn new(trouble: Option<String>) -> Self {
        Self { ok: trouble.is_none(), why: trouble }
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct FollowerStanding {
    pub name: String,
    /// The position that it has got to.
    pub cursor: u64,
    /// How many events it is behind.
    pub lag: u64,
    /// Why it has stopped, where it has.
    pub stopped: Option<String>,
    /// How many things it tries again and again in vain, while the rest goes on: the log says which.
    pub failing: usize,
}

impl Standing {
    /// Why the server is not ready; empty when it is.
    pub fn why_not_ready(&self) -> Vec<String> {
        let mut why = Vec::new();
        if self.shutting_down {
            why.push("shutting down".to_owned());
        }
        for (name, part) in [("journal", &self.journal), ("vault", &self.vault)] {
            if let Some(reason) = &part.why {
                why.push(format!("{name}: {reason}"));
            }
        }
        for follower in &self.followers {
            match &follower.stopped {
                Some(reason) => why.push(format!("{} has stopped: {reason}", follower.name)),
                None if follower.lag > LAG_EVENTS_MAX => {
                    why.push(format!("{} is {} events behind", follower.name, follower.lag));
                }
                None => {}
            }
        }
        why
    }

    pub fn response(&self) -> Response {
        let why = self.why_not_ready();
        let ready = why.is_empty();
        let mut body = serde_json::json!({ "status": if ready { "ready" } else { "not ready" }, "why": why });
        if let (Some(body), Ok(serde_json::Value::Object(standing))) =
            (body.as_object_mut(), serde_json::to_value(self))
        {
            body.extend(standing);
        }
        json(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
    }
}

/// Whoever can answer is alive.
pub async fn live() -> Response {
    json(StatusCode::OK, &serde_json::json!({ "status": "live" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing() -> Standing {
        let follower = FollowerStanding { name: "projections".into(), cursor: 40, lag: 2, stopped: None, failing: 0 };
        Standing {
            position: 42,
            journal: Part::new(None),
            vault: Part::new(None),
            followers: vec![follower],
            media: "none",
            media_node: None,
            shutting_down: false,
        }
    }

    #[test]
    fn ready_when_nothing_is_wrong() {
        assert!(standing().why_not_ready().is_empty());
        assert_eq!(standing().response().status(), StatusCode::OK);
    }

    #[test]
    fn each_trouble_is_named() {
        let mut standing = standing();
        standing.journal = Part::new(Some("the disk is full".into()));
        standing.followers[0].lag = LAG_EVENTS_MAX + 1;
        standing.followers.push(FollowerStanding {
            name: "deadlines".into(),
            cursor: 7,
            lag: 35,
            stopped: Some("an event that it can't handle".into()),
            failing: 0,
        });
        standing.shutting_down = true;
        assert_eq!(
            standing.why_not_ready(),
            [
                "shutting down",
                "journal: the disk is full",
                "projections is 10001 events behind",
                "deadlines has stopped: an event that it can't handle"
            ]
        );
        assert_eq!(standing.response().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
