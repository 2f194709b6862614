//! Credentials for TURN servers: a name that says when they end, and its HMAC under a secret that is shared with the
//! servers (draft-uberti-behave-turn-rest-00, section 2.2).

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use witan_domain::Timestamp;
use witan_media::IceServer;
use witan_media_protocol::settings::Turn;

/// Longer than a session may be is not needed: a client that must allocate anew has restarted ICE or entered anew.
const VALID_SECONDS: u64 = 12 * 60 * 60;

pub fn ice_servers(turn: Option<&Turn>, now: Timestamp, nonce: [u8; 8]) -> Vec<IceServer> {
    let Some(Turn { urls, secret }) = turn else { return Vec::new() };
    let ends = now.plus_seconds(VALID_SECONDS).micros() / 1_000_000;
    // Nobody's id: the server's operator need not learn who called.
    let username = format!("{ends}:{:016x}", u64::from_be_bytes(nonce));
    let mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).map(|mac| mac.chain_update(&username));
    let Ok(mac) = mac else { return Vec::new() };
    let credential = STANDARD.encode(mac.finalize().into_bytes());
    vec![IceServer { urls: urls.clone(), username: Some(username), credential: Some(credential) }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_the_hmac_of_its_name() {
        let turn = Turn { urls: vec!["turn:turn.example.org".into()], secret: "north".into() };
        let servers = ice_servers(Some(&turn), Timestamp::from_seconds(1_000_000), [0xab; 8]);
        assert_eq!(servers[0].urls, turn.urls);
        assert_eq!(servers[0].username.as_deref(), Some("1043200:abababababababab"));
        // printf 1043200:abababababababab | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(servers[0].credential.as_deref(), Some("PQHcaMR84B5E75G4m2BzYgQ1JmY="));
        assert_eq!(ice_servers(None, Timestamp(0), [0; 8]), []);
    }
}
