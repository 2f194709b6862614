//! Entry: from a join token into the lobby or straight in, and back after a drop.

use subtle::ConstantTimeEq;
use witan_auth::{JoinToken, Operation, Resource, ResourceKind, ResumeSecret, TokenError};
use witan_domain::{
    Actor, Aggregate, OrganizationId, ParticipantId, Private, SessionId, Timestamp,
    participant::Arrival,
    policy::Access,
    private::Ciphertext,
    session::{Entry, JoinSession, Knock, Session, SessionCommand, SessionRejection},
    text::{self, SecretHash},
};

use crate::{App, Error, Outcome, Request, execute::Task, personal::Text, sessions::SESSION, sources::derived_id};

pub const DISPLAY_NAME_CHARS_MAX: usize = 100;
pub const DEVICE_CHARS_MAX: usize = 300;

/// What the person who comes says of themselves.
#[derive(Clone, Debug, Default)]
pub struct Introduction {
    pub display_name: String,
    /// The person's browser or device.
    pub device: Option<String>,
}

impl Introduction {
    /// The name and the device, fit to be protected.
    pub(crate) fn checked(&self) -> Result<(Text<'_>, Option<Text<'_>>), Error> {
        // One line, and nothing in it that would make it look like another's.
        text::name("displayName", self.display_name.trim()).map_err(Error::rejected)?;
        let name = Text::required("displayName", self.display_name.trim(), DISPLAY_NAME_CHARS_MAX)?;
        let device = self.device.as_deref().filter(|device| !device.trim().is_empty());
        let device = device.map(|device| Text::required("device", device, DEVICE_CHARS_MAX)).transpose()?;
        Ok((name, device))
    }
}

/// Someone is at the door, or in.
pub struct Entered {
    pub organization: OrganizationId,
    pub session: SessionId,
    pub participant: ParticipantId,
    /// By which the participant acts from now on, and comes back after a drop. Shown to them alone.
    pub resume_secret: String,
    pub outcome: Outcome<Session>,
}

/// A redeemed token on its way into the session.
struct Arriving<'a> {
    task: Task<'a, Session>,
    command: SessionCommand,
    participant: ParticipantId,
    resume_secret: String,
    token: JoinToken,
}

impl App {
    /// Redeems a join token by a knock: into the lobby, or admitted at once where no lobby applies.
    pub async fn knock(&self, request: &Request, token: &str, who: &Introduction) -> Result<Entered, Error> {
        let token = self.verify_join_token(token)?;
        let request = arriving_request(request, &token);
        let command = |arrival, lobby, now| Knock { arrival, lobby, now }.into();
        self.arrive(&request, token, Operation::Knock, who, command).await?.finish().await
    }

    /// Redeems a join token by coming straight in: for whoever needs no lobby, or was admitted before.
    pub async fn join_by_token(&self, request: &Request, token: &str, who: &Introduction) -> Result<Entered, Error> {
        let token = self.verify_join_token(token)?;
        let request = arriving_request(request, &token);
        let command = |arrival, lobby, now| {
            let entry = Entry::Token { arrival: Box::new(arrival), lobby };
            JoinSession { entry, now }.into()
        };
        let arriving = self.arrive(&request, token, Operation::JoinSession, who, command).await?;
        let place = (arriving.token.organization, arriving.token.session, arriving.participant);
        self.presence.heard(place, self.sources.now());
        arriving.finish().await
    }

    /// Comes in after an admission: the actor is the participant who knocked.
    pub async fn join_by_admission(&self, request: &Request, session: SessionId) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::JoinSession).await?;
        let participant = crate::sessions::own_participant(request, task.state())?;
        let now = task.now();
        task.finish(&JoinSession { entry: Entry::Admission { participant }, now }.into()).await
    }

    fn verify_join_token(&self, token: &str) -> Result<JoinToken, Error> {
        self.tokens.verify(token, self.sources.now()).map_err(|error| {
            let message = match error {
                TokenError::Expired => "This join token is older than it may be: ask for a new one.",
                _ => "This is not a join token of this server.",
            };
            Error::Rejected { code: "JOIN_TOKEN_INVALID", field: Some("joinToken".into()), message: message.into() }
        })
    }

    async fn arrive<'a>(
        &'a self,
        request: &'a Request,
        token: JoinToken,
        operation: Operation,
        who: &Introduction,
        command: fn(Arrival, bool, Timestamp) -> SessionCommand,
    ) -> Result<Arriving<'a>, Error> {
        let (name, device) = who.checked()?;
        let (organization, session) = (token.organization, token.session);
        // The signed token is the right to come to this session's door: by what, is asked below.
        let resource = move |_: &_| Resource {
            kind: ResourceKind::Session,
            organization: Some(organization),
            id: session.to_string(),
            own: true,
            grant: true,
            ..Resource::default()
        };
        let task =
            self.begin::<Session>(request, Some(organization), token.session, operation, SESSION, resource).await?;
        // Its answer holds a secret: whoever got hold of a redeemed token gets nothing by it. A retry says so by its key.
        let redeemed = task.state().record().is_some_and(|record| record.redeemed_tokens.contains_key(&token.id));
        let answered = task.answered()?.is_some();
        if redeemed && !answered {
            return Err(Error::rejected(SessionRejection::TokenAlreadyRedeemed));
        }
        // A retry is told what was decided then.
        let access = if answered { Access { role: token.role, lobby: token.lobby } } else { self.access_now(&token)? };
        let participant = participant_of(&token);
        let secret = self.tokens.derived_secret(&format!("resume {}", token.id));
        let resume = ResumeSecret::new(token.session, participant, secret);
        let arrival = |display_name, device| Arrival {
            participant,
            person: token.person,
            user: token.user,
            invitation: token.invitation,
            role: access.role,
            display_name,
            external_id: None,
            device,
            token: token.id,
            resume_secret_sha256: SecretHash(resume.sha256()),
            moved: token.moved,
        };
        let now = task.now();
        if token.user.is_none() && token.invitation.is_none() && !answered {
            // A stranger becomes a person by coming in: whoever would be refused anyway leaves no key in the vault.
            let nothing = Private { person: token.person, ciphertext: Ciphertext(Vec::new()) };
            Session::decide(task.state(), &command(arrival(nothing, None), access.lobby, now))
                .map_err(Error::rejected)?;
            self.vault.create_person(organization, token.person).await?;
        }
        let stream = task.stream().to_owned();
        let protect = |field, text| self.protect(organization, token.person, &stream, field, text);
        let device = device.map(|device| protect("device", device)).transpose()?;
        let command = command(arrival(protect("display_name", name)?, device), access.lobby, now);
        Ok(Arriving { task, command, participant, resume_secret: resume.text(), token })
    }

    /// The participant whose resume secret this is, unless they came by an account that is deactivated.
    pub async fn participant_by_resume_secret(&self, text: &str) -> Result<Option<Actor>, Error> {
        let Ok(secret) = ResumeSecret::parse(text) else { return Ok(None) };
        let loaded = self.streams.load::<Session>(&Session::stream(secret.session))?;
        let (Some(record), Some(organization)) = (loaded.state.record(), loaded.organization) else { return Ok(None) };
        let Some(participant) = record.participant(secret.participant) else { return Ok(None) };
        let same: bool = participant.resume_secret_sha256.0.ct_eq(&secret.sha256()).into();
        if !same {
            return Ok(None);
        }
        if let Some(user) = participant.user {
            self.knows_newest_grants().await?;
            if !self.is_active(organization, user)? {
                return Ok(None);
            }
        }
        self.presence.heard((organization, secret.session, secret.participant), self.sources.now());
        Ok(Some(Actor::Participant { organization, session: secret.session, participant: secret.participant }))
    }
}

impl Arriving<'_> {
    async fn finish(self) -> Result<Entered, Error> {
        let outcome = self.task.finish(&self.command).await?;
        Ok(Entered {
            organization: self.token.organization,
            session: self.token.session,
            participant: self.participant,
            resume_secret: self.resume_secret,
            outcome,
        })
    }
}

/// One token, one participant: a retry names the same one.
fn participant_of(token: &JoinToken) -> ParticipantId {
    ParticipantId(derived_id(&token.id.to_string(), "participant"))
}

/// Who comes by a token acts as the participant that they are about to be.
fn arriving_request(request: &Request, token: &JoinToken) -> Request {
    let actor = Actor::Participant {
        organization: token.organization,
        session: token.session,
        participant: participant_of(token),
    };
    let idempotency = request.idempotency.as_ref().map(|key| key.within(&token.id.to_string()));
    Request { actor, scopes: None, idempotency, ..request.clone() }
}
