//! The web pages of witan: built from `web/` by `cargo xtask`, embedded into the binary, and served with a policy that
//! lets a browser load what is here and nothing else.
//!
//! A build without node has no pages and still compiles; then the address says how to build them.

use std::borrow::Cow;

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY},
};

/// What `npm run build` made. Always embedded, in every profile, so that a test sees what a user gets.
#[derive(rust_embed::Embed)]
#[folder = "web/dist"]
struct Built;

const INDEX: &str = "index.html";
/// Where the page reads whether the server carries audio and video; `npm run build` leaves it as it stands in the source.
const MEDIA_UNKNOWN: &str = "name=\"witan-media\" content=\"unknown\"";
/// The names of assets hold a hash of what is in them: they never change.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// The page names the newest assets: it is asked for each time.
const EACH_TIME: HeaderValue = HeaderValue::from_static("no-cache");
/// The page uses camera, microphone, screen and loudspeaker, and nothing else that a browser could give it.
const PERMISSIONS: HeaderValue = HeaderValue::from_static(
    "camera=(self), microphone=(self), display-capture=(self), speaker-selection=(self), autoplay=(self), \
     fullscreen=(self), geolocation=(), usb=(), serial=(), hid=(), bluetooth=(), payment=(), midi=(), \
     accelerometer=(), gyroscope=(), magnetometer=()",
);
const NOT_BUILT: &str = "\
<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>witan</title>\
<meta name=\"viewport\" content=\"width=device-width\"></head><body><h1>The meet page is not in this build</h1>\
<p>It is built with node and npm, and they were missing when this binary was built. Install them (on Debian: \
<code>sudo apt-get install nodejs npm</code>), then run <code>cargo xtask run</code> again. Everything else works \
without it.</p></body></html>";

/// The pages, ready to be served.
#[derive(Clone)]
pub struct Pages {
    meet: Option<Bytes>,
    policy: HeaderValue,
}

impl Pages {
    /// `websocket` is the URL of subscriptions, as browsers see it; `carries_media`, whether sessions have audio and
    /// video.
    pub fn new(websocket: &str, carries_media: bool) -> Self {
        let index = Built::get(INDEX).and_then(|file| String::from_utf8(file.data.into_owned()).ok());
        let meet = index.map(|html| Bytes::from(told_of_media(&html, carries_media)));
        Self { meet, policy: policy(websocket) }
    }

    /// Whether the pages were there when the binary was built.
    pub const fn are_built(&self) -> bool {
        self.meet.is_some()
    }

    /// The page of a room, whichever room it is: it reads the room from its address.
    pub fn meet(&self) -> Response<Bytes> {
        match &self.meet {
            Some(html) => self.page(StatusCode::OK, html.clone()),
            None => self.page(StatusCode::SERVICE_UNAVAILABLE, Bytes::from_static(NOT_BUILT.as_bytes())),
        }
    }

    /// A script, style sheet or picture of the pages; none when there is no such.
    pub fn asset(&self, name: &str, accept_encoding: &str) -> Option<Response<Bytes>> {
        let kind = media_type(name)?;
        let path = format!("assets/{name}");
        let gzip = accept_encoding.split(',').any(|coding| coding.trim().split(';').next() == Some("gzip"));
        let packed = gzip.then(|| Built::get(&format!("{path}.gz"))).flatten();
        let coding = packed.is_some();
        let file = packed.or_else(|| Built::get(&path))?;
        let mut response = Response::new(bytes(file.data));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, FOR_EVER);
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Some(response)
    }

    fn page(&self, status: StatusCode, html: Bytes) -> Response<Bytes> {
        let mut response = Response::new(html);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert("permissions-policy", PERMISSIONS);
        headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
        headers.insert(CACHE_CONTROL, EACH_TIME);
        response
    }
}

/// Own files, and the server's own API; no inline script or style, no frames, no forms, nobody else.
fn policy(websocket: &str) -> HeaderValue {
    // 'self' means the page's own scheme only, in browsers that are a few years old: the WebSocket is named.
    let origin = websocket.split('/').take(3).collect::<Vec<_>>().join("/");
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; \
         connect-src 'self' {origin}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'self'; frame-ancestors 'none'"))
}

fn told_of_media(html: &str, carries_media: bool) -> String {
    let says =
        if carries_media { "name=\"witan-media\" content=\"sfu\"" } else { "name=\"witan-media\" content=\"none\"" };
    html.replacen(MEDIA_UNKNOWN, says, 1)
}

/// What we serve; other names are none of ours.
fn media_type(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        "wasm" => Some("application/wasm"),
        _ => None,
    }
}

fn bytes(data: Cow<'static, [u8]>) -> Bytes {
    match data {
        Cow::Borrowed(data) => Bytes::from_static(data),
        Cow::Owned(data) => Bytes::from(data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_server_and_nobody_else() {
        let policy = policy("wss://meet.example.org/graphql");
        let policy = policy.to_str().expect("it is text");
        assert!(policy.contains("connect-src 'self' wss://meet.example.org;"), "{policy}");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        for loose in ["unsafe", "*", "http:", "https:"] {
            assert!(!policy.contains(loose), "{loose} in {policy}");
        }
    }

    #[test]
    fn a_build_without_pages_says_how_to_build_them() {
        let pages = Pages { meet: None, policy: policy("ws://127.0.0.1:4000/graphql") };
        let response = pages.meet();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(String::from_utf8_lossy(response.body()).contains("cargo xtask run"));
    }

    #[test]
    fn the_page_is_told_whether_there_is_media() {
        let source = include_str!("../web/index.html");
        assert!(told_of_media(source, false).contains("content=\"none\""));
        assert!(told_of_media(source, true).contains("content=\"sfu\""));
    }

    #[test]
    fn the_built_page_names_assets_that_are_there_and_nobody_else() {
        let pages = Pages::new("ws://127.0.0.1:4000/graphql", true);
        let Some(html) = &pages.meet else { return };
        let html = String::from_utf8_lossy(html);
        assert!(!html.contains("://"), "{html}");
        let named: Vec<&str> = html.split("/assets/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(named.len() >= 3, "{html}");
        for name in named {
            let plain = pages.asset(name, "").expect("it is there");
            assert_eq!(plain.headers()[CACHE_CONTROL], FOR_EVER);
            assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        }
        let script =
            html.split("/assets/").skip(1).filter_map(|rest| rest.split('"').next()).find(|name| name.ends_with(".js"));
        let packed = pages.asset(script.expect("there is a script"), "br, gzip;q=0.8").expect("it is there");
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(packed.body()[..2], [0x1f, 0x8b]);
    }

    #[test]
    fn what_is_not_ours_is_not_served() {
        let pages = Pages::new("ws://127.0.0.1:4000/graphql", true);
        for name in ["../index.html", "nothing.js", "index", ".gitignore", "x.gz", "../../Cargo.toml"] {
            assert!(pages.asset(name, "gzip").is_none(), "{name}");
        }
    }
}
