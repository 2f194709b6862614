//! The page at `/`: where things are. It asks no other server for anything. And where the pages of `witan-dashboard` are.

use axum::{
    Router,
    body::Body,
    extract::Path,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_SECURITY_POLICY},
};
use sha2::{Digest, Sha256};
use witan_dashboard::Pages;

use crate::{
    config::{Config, Media},
    urls::Urls,
};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b2430;--soft:#5c6878;--paper:#fbfaf7;--line:#dcd8cf;--accent:#0b6e5f}\
@media(prefers-color-scheme:dark){:root{--ink:#e8e6e1;--soft:#9aa4b1;--paper:#14181e;--line:#2c333d;--accent:#5cc9b5}}\
body{margin:0;background:var(--paper);color:var(--ink);font:17px/1.55 ui-sans-serif,system-ui,sans-serif}\
main{max-width:40rem;margin:12vh auto;padding:0 1.5rem}\
h1{font-size:2.6rem;letter-spacing:-.03em;margin:0}\
p{margin:.4rem 0 2rem;color:var(--soft)}\
dl{border-top:1px solid var(--line);margin:0}\
div{display:flex;gap:1rem;padding:.8rem 0;border-bottom:1px solid var(--line)}\
dt{flex:0 0 8rem;color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}\
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}\
code{font:15px ui-monospace,monospace}footer{margin-top:2rem;color:var(--soft);font-size:.85rem}";

/// The page, with a policy that lets the browser load its one inline style and nothing else.
#[derive(Clone)]
pub struct Home {
    html: String,
    policy: HeaderValue,
}

impl Home {
    pub fn new(urls: &Urls, metrics: bool) -> Self {
        let digest = base64_standard(&Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        // Made of base64 and constants: always a header value.
        let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Self { html: html(urls, metrics), policy }
    }

    pub fn response(&self) -> Response {
        ([(CONTENT_SECURITY_POLICY, self.policy.clone())], Html(self.html.clone())).into_response()
    }
}

/// The meet page at `/meet/<room>`, and what it is made of at `/assets/…`.
pub fn meet(config: &Config, urls: &Urls) -> Router {
    let carries_media = match config.media {
        Media::None | Media::Fake => false,
        Media::Sfu => true,
    };
    let pages = Pages::new(&urls.websocket, carries_media);
    let assets = pages.clone();
    let page = move || async move { pages.meet().map(Body::from) };
    let asset = move |Path(name): Path<String>, headers: HeaderMap| async move {
        let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match assets.asset(&name, accepted) {
            Some(response) => response.map(Body::from),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    };
    Router::new().route("/meet/{room}", get(page)).route("/assets/{name}", get(asset))
}

fn html(urls: &Urls, metrics: bool) -> String {
    let Urls { url, graphql, websocket, health, metrics: metrics_url } = urls;
    let metrics = if metrics {
        format!("<div><dt>Metrics</dt><dd><a href=\"/metrics\"><code>{metrics_url}</code></a></dd></div>")
    } else {
        String::new()
    };
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>witan</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body><main>\
         <h1>witan</h1><p>Video conferences whose history can be proved.</p><dl>\
         <div><dt>GraphQL</dt><dd><code>POST {graphql}</code></dd></div>\
         <div><dt>Subscriptions</dt><dd><code>{websocket}</code><br>graphql-transport-ws</dd></div>\
         <div><dt>Meet</dt><dd><code>{url}/meet/</code> and a room's id</dd></div>\
         <div><dt>Health</dt><dd><a href=\"/health/ready\"><code>{health}</code></a></dd></div>{metrics}\
         <div><dt>Sign in</dt><dd>with an API key: <code>Authorization: Bearer …</code></dd></div>\
         <div><dt>Documentation</dt><dd>in the folder <code>docs/</code>, from <code>getting-started.md</code> on; \
         <code>witan schema</code> prints the whole API</dd></div></dl>\
         <footer>witan {}</footer></main></body></html>",
        env!("CARGO_PKG_VERSION")
    )
}

fn base64_standard(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_nobody_else() {
        let urls = Urls::new("https://witan.example.org");
        let html = html(&urls, true);
        assert!(html.contains("wss://witan.example.org/graphql") && html.contains("/health/ready"));
        for asking in ["src=", "@import", "url(", "<link", "<script"] {
            assert!(!html.contains(asking), "{asking}");
        }
    }
}
