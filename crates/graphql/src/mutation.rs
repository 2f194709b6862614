//! What all mutations have: inputs, payloads, and patches that are applied anew where another change came between.

use async_graphql::MaybeUndefined;
use witan_app::{Error, Request};
use witan_domain::{OrganizationId, Private};

use crate::call::Call;

/// How often a patch is applied anew because another change came between.
const PATCH_ATTEMPTS_MAX: usize = 5;

/// Defines the inputs of mutations: what each has of its own, then what all have. `new` makes something, so that there is
/// no version of it yet.
macro_rules! inputs {
    ($($(#[$doc:meta])* $kind:ident $name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* })*) => {
        $($crate::mutation::inputs!(@$kind $(#[$doc])* $name { $($(#[$meta])* $field: $type,)* });)*
    };
    (@new $(#[$doc:meta])* $name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(async_graphql::InputObject)]
        pub struct $name {
            $($(#[$meta])* $field: $type,)*
            /// The same key again gets the same answer: 1 to 255 bytes.
            #[graphql(name = "idempotencyKey")]
            _idempotency_key: Option<String>,
        }
    };
    (@change $(#[$doc:meta])* $name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(async_graphql::InputObject)]
        pub struct $name {
            $($(#[$meta])* $field: $type,)*
            /// The same key again gets the same answer: 1 to 255 bytes.
            #[graphql(name = "idempotencyKey")]
            _idempotency_key: Option<String>,
            /// The `version` that the changed object is expected to have; otherwise nothing is done (VERSION_CONFLICT).
            #[graphql(name = "expectedVersion")]
            _expected_version: Option<u64>,
        }
    };
}
pub(crate) use inputs;

/// Defines what mutations answer: what each has of its own, then what all have.
macro_rules! payloads {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(async_graphql::SimpleObject)]
        pub struct $name {
            $($(#[$field_doc])* $field: Option<$type>,)*
            /// Why nothing was done; empty when it was.
            user_errors: Vec<$crate::call::UserError>,
            /// The position of what was recorded; null when it held already, or nothing was done.
            position: Option<$crate::scalars::Position>,
            /// Whether the read models show it yet; false when they did not come after within 2 s.
            projected: bool,
        }

        impl $name {
            pub fn new($($field: Option<$type>,)* told: $crate::call::Told) -> Self {
                let $crate::call::Told { user_errors, position, projected } = told;
                Self { $($field,)* user_errors, position, projected }
            }
        }
    )*};
}
pub(crate) use payloads;

/// Applies a patch to what is there now, and again where another change came between. A caller who said which version
/// they expect is told of it instead.
pub(crate) async fn patched<I, T, F: Future<Output = Result<T, Error>>>(
    call: &Call<'_>,
    patch: impl Fn() -> Result<(I, Option<u64>), Error>,
    apply: impl Fn(Request, I) -> F,
) -> Result<T, Error> {
    for _ in 0..PATCH_ATTEMPTS_MAX {
        let (input, version) = patch()?;
        let mut request = call.request.clone();
        request.expected_version = request.expected_version.or(version);
        match apply(request, input).await {
            Err(Error::VersionConflict { .. }) if call.request.expected_version.is_none() => {}
            result => return result,
        }
    }
    Err(Error::Contention)
}

/// What a patch makes of a value that may be null: absent leaves it, null takes it away.
pub(crate) fn patch<T>(wanted: MaybeUndefined<T>, now: Option<T>) -> Option<T> {
    match wanted {
        MaybeUndefined::Undefined => now,
        MaybeUndefined::Null => None,
        MaybeUndefined::Value(value) => Some(value),
    }
}

/// What a private value says now, for a patch that leaves it: an erased person's record can't change.
pub(crate) fn revealed(
    call: &Call<'_>,
    organization: OrganizationId,
    stream: &str,
    field: &str,
    private: &Private,
) -> Result<String, Error> {
    call.app().reveal(organization, stream, field, private)?.ok_or_else(|| Error::Rejected {
        code: "PERSON_ERASED",
        field: None,
        message: "This person's data was erased: nothing more can be recorded about them.".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_leaves_takes_away_or_sets() {
        assert_eq!(patch(MaybeUndefined::Undefined, Some(1)), Some(1));
        assert_eq!(patch(MaybeUndefined::Null, Some(1)), None);
        assert_eq!(patch(MaybeUndefined::Value(2), Some(1)), Some(2));
    }
}
