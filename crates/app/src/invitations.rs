//! Invitations: one person, one room, one role, one secret, shown once; exchanged for join tokens in its window.

use witan_auth::{InvitationSecret, Operation, Resource, ResourceKind};
use witan_domain::{
    Aggregate, InvitationId, PersonId, RoomId, SessionRole, Timestamp, TokenId,
    invitation::{
        CreateInvitation, ExchangeInvitation, Invitation, InvitationDetails, InvitationState, RevokeInvitation,
    },
    text::{self, SecretHash},
};

use crate::{
    App, Error, Outcome, Request, access::Invited, execute::Presence, join_tokens::Ticket, personal::Text,
    rooms::room_resource,
};

/// An invitation as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationInput {
    pub display_name: String,
    pub email: Option<String>,
    pub external_id: Option<String>,
    pub role: SessionRole,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// An invitation that was made; its secret is shown this once.
pub struct CreatedInvitation {
    pub invitation: InvitationId,
    pub secret: String,
    pub outcome: Outcome<Invitation>,
}

impl App {
    pub async fn create_invitation(
        &self,
        request: &Request,
        room: RoomId,
        input: &InvitationInput,
    ) -> Result<CreatedInvitation, Error> {
        let organization = request.organization()?;
        let state = self.room_state(organization, room)?;
        let resource = Resource { kind: ResourceKind::Invitation, ..room_resource(organization, &state) };
        let invitation = InvitationId(self.id_for(request, "invitation"));
        let of_room = resource.clone();
        let task = self
            .begin::<Invitation>(
                request,
                Some(organization),
                invitation,
                Operation::CreateInvitation,
                Presence::Optional,
                move |_| of_room.clone(),
            )
            .await?;
        if task.answered()?.is_none() {
            self.check_external_id(request, organization, input.external_id.as_deref(), None).await?;
        }
        let details = self.invitation_details(request, task.stream(), input).await?;
        let secret = match &request.idempotency {
            Some(idempotency) => {
                let derived = self.tokens.derived_secret(&format!("invitation {invitation} {}", idempotency.key));
                let mut secret = [0; 16];
                secret.copy_from_slice(&derived[..16]);
                secret
            }
            None => self.sources.random::<16>(),
        };
        let secret = InvitationSecret::new(secret);
        let command = CreateInvitation {
            organization,
            invitation,
            room,
            room_living: state.is_living(),
            details,
            secret_sha256: SecretHash(secret.sha256()),
            now: task.now(),
        };
        let outcome = task.finish(&command.into()).await?;
        Ok(CreatedInvitation { invitation, secret: secret.text(), outcome })
    }

    async fn invitation_details(
        &self,
        request: &Request,
        stream: &str,
        input: &InvitationInput,
    ) -> Result<InvitationDetails, Error> {
        let organization = request.organization()?;
        text::name("displayName", &input.display_name).map_err(Error::rejected)?;
        if let Some(email) = &input.email {
            text::email("email", email).map_err(Error::rejected)?;
        }
        if let Some(external_id) = &input.external_id {
            text::external_id("externalId", external_id).map_err(Error::rejected)?;
        }
        let fresh = PersonId(self.id_for(request, "invitee"));
        let person = self.person_for(organization, input.external_id.as_deref(), fresh).await?;
        let protect = |field: &'static str, spelling: &str, value: &str| {
            let text = Text::required(spelling, value, text::EMAIL_BYTES_MAX)?;
            self.protect(organization, person, stream, field, text)
        };
        let external_id = input.external_id.as_deref();
        Ok(InvitationDetails {
            person,
            display_name: protect("display_name", "displayName", &input.display_name)?,
            email: input.email.as_deref().map(|email| protect("email", "email", email)).transpose()?,
            external_id: external_id.map(|id| protect("external_id", "externalId", id)).transpose()?,
            role: input.role,
            not_before: input.not_before,
            not_after: input.not_after,
        })
    }

    pub async fn revoke_invitation(
        &self,
        request: &Request,
        invitation: InvitationId,
    ) -> Result<Outcome<Invitation>, Error> {
        let organization = request.organization()?;
        let state = self.load_own::<Invitation>(Some(organization), &Invitation::stream(invitation))?.state.clone();
        let InvitationState::Present(facts) = state else { return Err(Error::NotFound { what: "invitation" }) };
        let room = self.room_state(organization, facts.room)?;
        let resource = Resource {
            kind: ResourceKind::Invitation,
            id: invitation.to_string(),
            ..room_resource(organization, &room)
        };
        let task = self
            .begin::<Invitation>(
                request,
                Some(organization),
                invitation,
                Operation::RevokeInvitation,
                Presence::Needed("invitation"),
                move |_| resource.clone(),
            )
            .await?;
        task.finish(&RevokeInvitation {}.into()).await
    }

    /// Exchanges the secret for a join token: no account is needed, the secret is the right.
    pub async fn exchange_invitation(
        &self,
        request: &Request,
        invitation: InvitationId,
        secret: &str,
    ) -> Result<Ticket, Error> {
        let idempotency = request.idempotency.as_ref().map(|key| key.within(&invitation.to_string()));
        let request = &Request { idempotency, ..request.clone() };
        let wrong = || Error::Rejected {
            code: "INVITATION_NOT_FOUND",
            field: Some("secret".into()),
            message: "There is no such invitation.".into(),
        };
        let secret = InvitationSecret::parse(secret).map_err(|_| wrong())?;
        let stream = Invitation::stream(invitation);
        let loaded = self.streams.load::<Invitation>(&stream)?;
        let organization = loaded.organization.ok_or_else(wrong)?;
        let InvitationState::Present(facts) = &loaded.state else { return Err(wrong()) };
        // Whatever else is answered differs by what the invitation is: it is only for those who know the secret.
        if facts.secret_sha256 != SecretHash(secret.sha256()) {
            return Err(wrong());
        }
        let (room, invited) = (facts.room, Invited::at(facts, self.sources.now()));
        drop(loaded);
        let token = TokenId(self.id_for(request, "join token"));
        // Who has the secret has the right: it is compared where the exchange is decided.
        let resource = Resource {
            kind: ResourceKind::Invitation,
            organization: Some(organization),
            id: invitation.to_string(),
            room: Some(room),
            grant: true,
            ..Resource::default()
        };
        let task = self
            .begin::<Invitation>(
                request,
                Some(organization),
                invitation,
                Operation::ExchangeInvitation,
                Presence::Needed("invitation"),
                move |_| resource.clone(),
            )
            .await?;
        let command = ExchangeInvitation { secret_sha256: SecretHash(secret.sha256()), token, now: task.now() };
        // Checked before the exchange is recorded: a room that has no session now costs no exchange.
        Invitation::decide(task.state(), &command.clone().into()).map_err(Error::rejected)?;
        let room = self.room_state(organization, room)?;
        let ticket = self.invited_ticket(request, room.facts().map_err(Error::rejected)?, invited, token)?;
        task.finish(&command.into()).await?;
        Ok(ticket)
    }
}
