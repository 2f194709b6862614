//! People, whatever they are known as: the right to be forgotten.

use async_graphql::{Context, Enum, ID, Object};
use witan_domain::{PersonId, person::Ground as DomainGround};

use crate::{
    call::{Call, id},
    mutation::{inputs, payloads},
    scalars::IntoId,
};

/// The ground of an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum Ground {
    /// The person asked (GDPR Art. 17; LGPD Art. 18 VI).
    Request,
    /// What it was kept for is over.
    PurposeEnded,
    /// It should never have been recorded.
    Unlawful,
}

impl From<Ground> for DomainGround {
    fn from(ground: Ground) -> Self {
        match ground {
            Ground::Request => Self::Request,
            Ground::PurposeEnded => Self::PurposeEnded,
            Ground::Unlawful => Self::Unlawful,
        }
    }
}

inputs! {
    /// Destroys the key under which everything personal of a person is encrypted.
    new ErasePersonInput {
        /// The person: `personId` of a user, an invitation or a participant.
        person_id: ID,
        /// Why: the ground in law.
        ground: Ground,
    }
}

payloads! {
    /// What erasing a person answers.
    ErasePersonPayload {
        /// The person who is erased now; null when nothing was done.
        person_id: ID,
    }
}

/// Mutations of people.
#[derive(Default)]
pub struct PersonMutation;

#[Object]
impl PersonMutation {
    /// Destroys the key under which everything personal of a person is encrypted: from then on everybody sees "erased".
    /// Hashes and proofs stay valid. There is no way back.
    async fn erase_person(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and on which ground.")] input: ErasePersonInput,
    ) -> async_graphql::Result<ErasePersonPayload> {
        let call = Call::mutation(ctx)?;
        let person: PersonId = id("personId", &input.person_id)?;
        let result = call.app().erase_person(&call.request, person, input.ground.into()).await;
        let (done, told) = call.told(result, |outcome| outcome.position).await?;
        Ok(ErasePersonPayload::new(done.map(|_| person.into_id()), told))
    }
}
