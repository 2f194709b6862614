//! Where things are, as clients see it.

use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub struct Urls {
    pub url: String,
    pub graphql: String,
    pub websocket: String,
    pub health: String,
    pub metrics: String,
}

impl Urls {
    /// `base` is an origin: scheme and authority, no slash at the end.
    pub fn new(base: &str) -> Self {
        // http becomes ws, https becomes wss.
        let websocket = base.replacen("http", "ws", 1);
        Self {
            url: base.into(),
            graphql: format!("{base}/graphql"),
            websocket: format!("{websocket}/graphql"),
            health: format!("{base}/health/ready"),
            metrics: format!("{base}/metrics"),
        }
    }
}
