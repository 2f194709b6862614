//! What a client sends is read into the engine's own types and bounded before any of it reaches C++.

use mediasoup::prelude::{DtlsParameters, MediaKind, RtpCapabilities, RtpParameters};
use serde::de::DeserializeOwned;
use serde_json::Value;
use witan_domain::participant::StreamKind;
use witan_media::MediaError;

const JSON_BYTES_MAX: usize = 64 << 10;
const CODECS_MAX: usize = 64;
const HEADER_EXTENSIONS_MAX: usize = 64;
const ENCODINGS_MAX: usize = 8;
const FINGERPRINTS_MAX: usize = 8;
/// What stands in a packet or a report and names something: a mid, a rid, a cname.
const NAME_BYTES_MAX: usize = 256;

pub fn kind(kind: StreamKind) -> MediaKind {
    match kind {
        StreamKind::Audio => MediaKind::Audio,
        StreamKind::Video => MediaKind::Video,
    }
}

fn invalid(field: &'static str, message: impl Into<String>) -> MediaError {
    MediaError::Invalid { field, message: message.into() }
}

fn read<T: DeserializeOwned>(field: &'static str, value: Value) -> Result<T, MediaError> {
    if !value.is_object() {
        return Err(invalid(field, "expected an object, as mediasoup-client makes it"));
    }
    if value.to_string().len() > JSON_BYTES_MAX {
        return Err(invalid(field, format!("is longer than {JSON_BYTES_MAX} bytes")));
    }
    serde_json::from_value(value).map_err(|error| invalid(field, error.to_string()))
}

fn at_most(field: &'static str, what: &str, count: usize, most: usize) -> Result<(), MediaError> {
    if count <= most {
        Ok(())
    } else {
        Err(invalid(field, format!("has {count} {what}, and at most {most} are taken")))
    }
}

pub fn dtls_parameters(value: Value) -> Result<DtlsParameters, MediaError> {
    const FIELD: &str = "dtlsParameters";
    // The engine's reader cuts a fingerprint at fixed places, and would panic within a letter of several bytes.
    let fingerprints = value.get("fingerprints").and_then(Value::as_array);
    let mut values = fingerprints.into_iter().flatten().filter_map(|one| one.get("value").and_then(Value::as_str));
    if values.any(|text| !text.is_ascii()) {
        return Err(invalid(FIELD, "a fingerprint's value is hexadecimal, with colons"));
    }
    let parameters: DtlsParameters = read(FIELD, value)?;
    if parameters.fingerprints.is_empty() {
        return Err(invalid(FIELD, "needs a fingerprint"));
    }
    at_most(FIELD, "fingerprints", parameters.fingerprints.len(), FINGERPRINTS_MAX)?;
    Ok(parameters)
}

pub fn rtp_capabilities(value: Value) -> Result<RtpCapabilities, MediaError> {
    const FIELD: &str = "rtpCapabilities";
    let capabilities: RtpCapabilities = read(FIELD, value)?;
    if capabilities.codecs.is_empty() {
        return Err(invalid(FIELD, "needs a codec"));
    }
    at_most(FIELD, "codecs", capabilities.codecs.len(), CODECS_MAX)?;
    at_most(FIELD, "header extensions", capabilities.header_extensions.len(), HEADER_EXTENSIONS_MAX)?;
    Ok(capabilities)
}

pub fn rtp_parameters(value: Value) -> Result<RtpParameters, MediaError> {
    const FIELD: &str = "rtpParameters";
    let parameters: RtpParameters = read(FIELD, value)?;
    if parameters.codecs.is_empty() {
        return Err(invalid(FIELD, "needs a codec"));
    }
    if parameters.encodings.is_empty() {
        return Err(invalid(FIELD, "needs an encoding"));
    }
    at_most(FIELD, "codecs", parameters.codecs.len(), CODECS_MAX)?;
    at_most(FIELD, "header extensions", parameters.header_extensions.len(), HEADER_EXTENSIONS_MAX)?;
    at_most(FIELD, "encodings", parameters.encodings.len(), ENCODINGS_MAX)?;
    let rids = parameters.encodings.iter().filter_map(|encoding| encoding.rid.as_deref());
    let names = rids.chain(parameters.mid.as_deref()).chain(parameters.rtcp.cname.as_deref());
    for name in names {
        let well_formed =
            !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !well_formed {
            return Err(invalid(FIELD, "a mid, rid or cname must be printable ASCII, at most 256 bytes"));
        }
    }
    if let Some(id) =
        parameters.header_extensions.iter().map(|extension| extension.id).find(|id| !(1..=255).contains(id))
    {
        return Err(invalid(FIELD, format!("a header extension's id is from 1 to 255, not {id}")));
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message<T>(result: Result<T, MediaError>) -> String {
        match result {
            Err(MediaError::Invalid { message, .. }) => message,
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it was taken"),
        }
    }

    #[test]
    fn what_a_client_sends_is_taken() {
        assert!(rtp_parameters(witan_media::contract::camera_parameters()).is_ok());
        assert!(rtp_capabilities(witan_media::contract::rtp_capabilities()).is_ok());
        assert!(dtls_parameters(witan_media::contract::dtls_parameters()).is_ok());
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let mut camera = witan_media::contract::camera_parameters();
        camera["encodings"] = json!(vec![json!({ "rid": "a" }); ENCODINGS_MAX + 1]);
        assert!(message(rtp_parameters(camera.clone())).contains("at most 8"));
        camera["encodings"] = json!([{ "rid": "x".repeat(NAME_BYTES_MAX + 1) }]);
        assert!(message(rtp_parameters(camera.clone())).contains("256 bytes"));
        camera["encodings"] = json!([]);
        assert!(message(rtp_parameters(camera.clone())).contains("needs an encoding"));
        camera["mid"] = json!("x".repeat(JSON_BYTES_MAX));
        assert!(message(rtp_parameters(camera)).contains("65536 bytes"));
    }

    #[test]
    fn a_fingerprint_of_letters_of_several_bytes_is_refused() {
        // As long as 32 bytes in hexadecimal are, and cut within a letter.
        let value = format!("a{}", "\u{e9}".repeat(47));
        let parameters = json!({ "role": "client", "fingerprints": [{ "algorithm": "sha-256", "value": value }] });
        assert!(message(dtls_parameters(parameters)).contains("hexadecimal"));
    }
}
