//! What participants may send: the first that a client can do is what it sends.

use std::num::{NonZeroU8, NonZeroU32};

use mediasoup::prelude::{
    MimeTypeAudio, MimeTypeVideo, RtcpFeedback, RtpCodecCapability, RtpCodecParametersParameters,
};

const AUDIO_RATE: NonZeroU32 = NonZeroU32::new(48_000).expect("not zero");
const VIDEO_RATE: NonZeroU32 = NonZeroU32::new(90_000).expect("not zero");
const STEREO: NonZeroU8 = NonZeroU8::new(2).expect("not zero");

pub fn codecs() -> Vec<RtpCodecCapability> {
    let none = RtpCodecParametersParameters::default;
    let opus = RtpCodecParametersParameters::from([("useinbandfec", 1_u32.into())]);
    let vp9 = RtpCodecParametersParameters::from([("profile-id", 0_u32.into())]);
    // Constrained baseline, which every browser has.
    let h264 = RtpCodecParametersParameters::from([
        ("level-asymmetry-allowed", 1_u32.into()),
        ("packetization-mode", 1_u32.into()),
        ("profile-level-id", "42e01f".into()),
    ]);
    vec![
        RtpCodecCapability::Audio {
            mime_type: MimeTypeAudio::Opus,
            preferred_payload_type: None,
            clock_rate: AUDIO_RATE,
            channels: STEREO,
            parameters: opus,
            rtcp_feedback: vec![RtcpFeedback::Nack, RtcpFeedback::TransportCc],
        },
        video(MimeTypeVideo::Vp8, none()),
        video(MimeTypeVideo::Vp9, vp9),
        video(MimeTypeVideo::H264, h264),
        video(MimeTypeVideo::AV1, none()),
    ]
}

fn video(mime_type: MimeTypeVideo, parameters: RtpCodecParametersParameters) -> RtpCodecCapability {
    RtpCodecCapability::Video {
        mime_type,
        preferred_payload_type: None,
        clock_rate: VIDEO_RATE,
        parameters,
        rtcp_feedback: vec![
            RtcpFeedback::Nack,
            RtcpFeedback::NackPli,
            RtcpFeedback::CcmFir,
            RtcpFeedback::GoogRemb,
            RtcpFeedback::TransportCc,
        ],
    }
}
