//! Consent: to which text, for what, in which language, and by whom.

use crate::{
    ParticipantId, SessionRole,
    participant::Participant,
    text::{self, Invalid},
};

use super::{
    CONSENT_TEXT_VERSION_BYTES_MAX, ConsentGiven, ConsentWithdrawn, Decision, GiveConsent, NOTHING,
    SessionFacts, SessionRejection, WithdrawConsent, lobby::get,
};

pub(super) fn give_consent(session: &SessionFacts, command: &GiveConsent) -> Decision {
    let participant = get_active(session, command.participant)?;
    may_consent_for(session, participant, command.given_by)?;
    text_version(&command.text_version)?;
    text::locale("language", &command.language)?;
    let standing = participant.consent(command.purpose).is_some_and(|consent| {
        consent.text_version == command.text_version
            && consent.language == command.language
            && consent.given_by == command.given_by
    });
    if standing {
        return NOTHING;
    }
    let given = ConsentGiven {
        participant: command.participant,
        purpose: command.purpose,
        text_version: command.text_version.clone(),
        language: command.language.clone(),
        given_by: command.given_by,
    };
    Ok(vec![given.into()])
}

pub(super) fn withdraw_consent(session: &SessionFacts, command: &WithdrawConsent) -> Decision {
    let participant = get_active(session, command.participant)?;
    if participant.consent(command.purpose).is_none() {
        return NOTHING;
    }
    Ok(vec![
        ConsentWithdrawn {
            participant: command.participant,
            purpose: command.purpose,
        }
        .into(),
    ])
}

/// Consent can be given at the door already; what someone consented to before they left is not changed afterwards.
fn get_active(session: &SessionFacts, id: ParticipantId) -> Result<&Participant, SessionRejection> {
    let participant = get(session, id)?;
    if participant.state.is_final() {
        Err(SessionRejection::ParticipantNotIn)
    } else {
        Ok(participant)
    }
}

fn may_consent_for(
    session: &SessionFacts,
    participant: &Participant,
    given_by: ParticipantId,
) -> Result<(), SessionRejection> {
    let guardian = |giver: &Participant| giver.role == SessionRole::Guardian && giver.state.is_in();
    if given_by == participant.participant || session.participant(given_by).is_some_and(guardian) {
        return Ok(());
    }
    Err(SessionRejection::GuardianNeeded)
}

fn text_version(version: &str) -> Result<(), Invalid> {
    let shaped = (1..=CONSENT_TEXT_VERSION_BYTES_MAX).contains(&version.len())
        && version.bytes().all(|byte| byte.is_ascii_graphic());
    if shaped {
        return Ok(());
    }
    let expected = format!("1 to {CONSENT_TEXT_VERSION_BYTES_MAX} visible ASCII characters");
    Err(Invalid::new(
        "textVersion",
        "is not the name of a version",
        expected,
    ))
}
