//! What a server and its media nodes say to each other (`proto/media.proto`), and [`RemoteMedia`], the adapter of the
//! port `Media` that says it.

mod client;
pub mod convert;
mod observe;
pub mod settings;
pub mod status;

pub use client::{AttachError, Attached, RemoteMedia};

/// Grows when a node of another version would be misunderstood.
pub const PROTOCOL: u32 = 1;

/// The messages and the service, made of the protocol's file.
#[expect(clippy::allow_attributes, reason = "generated code says so of itself")]
pub mod wire {
    tonic::include_proto!("witan.media.v1");
}
