//! Invitations: one person, one room, one role, one secret, shown once; exchanged for join tokens in its window.

use witan_auth::{InvitationSecret, Operation, Resource, ResourceKind};
use witan_domain::{
    Aggregate, InvitationId, OrganizationId, PersonId, RoomId, SessionRole, Timestamp, TokenId,
    invitation::{
        CreateInvitation, ExchangeInvitation, Invitation, InvitationCommand, InvitationDetails, InvitationFacts,
        InvitationState, RevokeInvitation,
    },
    text::{self, SecretHash},
};

use crate::{
    App, Error, Outcome, Request,
    access::Invited,
    execute::{Presence, Task},
    join_tokens::Ticket,
    personal::Text,
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
        let shown = self.shown_invitation(invitation, secret)?;
        let request = &shown.within(request);
        let token = TokenId(self.id_for(request, "join token"));
        let task = self.begin_shown(request, &shown, Operation::ExchangeInvitation).await?;
        let command = ExchangeInvitation { secret_sha256: shown.facts.secret_sha256, token, now: task.now() };
        // Checked before the exchange is recorded: a room that has no session now costs no exchange.
        Invitation::decide(task.state(), &command.clone().into()).map_err(Error::rejected)?;
        let room = self.room_state(shown.organization, shown.facts.room)?;
        let invited = Invited::at(&shown.facts, self.sources.now());
        let ticket = self.invited_ticket(request, room.facts().map_err(Error::rejected)?, invited, token)?;
        task.finish(&command.into()).await?;
        Ok(ticket)
    }

    /// The invitation whose secret someone shows; to whoever doesn't know it there is none.
    pub(crate) fn shown_invitation(&self, invitation: InvitationId, secret: &str) -> Result<Shown, Error> {
        let wrong = || Error::Rejected {
            code: "INVITATION_NOT_FOUND",
            field: Some("secret".into()),
            message: "There is no such invitation.".into(),
        };
        let secret = InvitationSecret::parse(secret).map_err(|_| wrong())?;
        let loaded = self.streams.load::<Invitation>(&Invitation::stream(invitation))?;
        let organization = loaded.organization.ok_or_else(wrong)?;
        let facts = loaded.state.shown(SecretHash(secret.sha256())).map_err(|_| wrong())?;
        Ok(Shown { organization, facts: facts.clone() })
    }

    /// Begins a command of whoever has the secret: that is the right.
    pub(crate) async fn begin_shown<'a>(
        &'a self,
        request: &'a Request,
        shown: &Shown,
        operation: Operation,
    ) -> Result<Task<'a, Invitation>, Error> {
        let (organization, invitation, resource) = (shown.organization, shown.facts.invitation, shown.resource());
        let presence = Presence::Needed("invitation");
        self.begin::<Invitation>(request, Some(organization), invitation, operation, presence, move |_| {
            resource.clone()
        })
        .await
    }

    /// A command of witan itself.
    pub(crate) async fn command_invitation(
        &self,
        request: &Request,
        organization: OrganizationId,
        invitation: InvitationId,
        command: InvitationCommand,
    ) -> Result<Outcome<Invitation>, Error> {
        let (operation, presence) = (Operation::RevokeInvitation, Presence::Needed("invitation"));
        let task = self
            .begin::<Invitation>(request, Some(organization), invitation, operation, presence, |_| Resource::default())
            .await?;
        task.finish(&command).await
    }
}

/// An invitation whose secret was shown, and whose it is.
pub(crate) struct Shown {
    pub organization: OrganizationId,
    pub facts: InvitationFacts,
}

impl Shown {
    /// Two invitees may choose the same idempotency key.
    pub fn within(&self, request: &Request) -> Request {
        let within = self.facts.invitation.to_string();
        Request { idempotency: request.idempotency.as_ref().map(|key| key.within(&within)), ..request.clone() }
    }

    pub fn resource(&self) -> Resource {
        Resource {
            kind: ResourceKind::Invitation,
            organization: Some(self.organization),
            id: self.facts.invitation.to_string(),
            room: Some(self.facts.room),
            grant: true,
            ..Resource::default()
        }
    }
}
