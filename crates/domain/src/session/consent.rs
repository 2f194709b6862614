//! Consent: to which text, for what, in which language, and by whom.

use crate::{
    ParticipantId, SessionRole,
    participant::Participant,
    text::{self, Invalid},
};

use super::{
    CONSENT_TEXT_VERSION_BYTES_MAX, CONSENTS_MAX, ConsentGiven, ConsentWithdrawn, Decision, GiveConsent, NOTHING,
    SessionRecord, SessionRejection, WithdrawConsent, lobby::get,
};

pub(super) fn give_consent(session: &SessionRecord, command: &GiveConsent) -> Decision {
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
    if participant.consents.len() >= CONSENTS_MAX {
        return Err(SessionRejection::ConsentsExhausted);
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

pub(super) fn withdraw_consent(session: &SessionRecord, command: &WithdrawConsent) -> Decision {
    let participant = get_active(session, command.participant)?;
    may_consent_for(session, participant, command.withdrawn_by)?;
    if participant.consent(command.purpose).is_none() {
        return NOTHING;
    }
    Ok(vec![ConsentWithdrawn { participant: command.participant, purpose: command.purpose }.into()])
}

/// Consent can be given at the door already; what someone consented to before they left is not changed afterwards.
fn get_active(session: &SessionRecord, id: ParticipantId) -> Result<&Participant, SessionRejection> {
    let participant = get(session, id)?;
    if participant.state.is_final() { Err(SessionRejection::ParticipantNotIn) } else { Ok(participant) }
}

fn may_consent_for(
    session: &SessionRecord,
    participant: &Participant,
    given_by: ParticipantId,
) -> Result<(), SessionRejection> {
    // A guardian speaks for someone who can't decide alone: never for those who lead, interpret or observe.
    let ward = participant.role == SessionRole::Participant;
    let guardian = |giver: &Participant| ward && giver.role == SessionRole::Guardian && giver.state.is_in();
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
    Err(Invalid::new("textVersion", "is not the name of a version", expected))
}

#[cfg(test)]
mod tests {
    use super::super::{scene::*, *};
    use super::*;
    use crate::{
        PersonId,
        SessionRole::{Guardian, Host, Participant as Guest},
        participant::ConsentPurpose,
    };

    fn consent(n: u128, given_by: u128) -> GiveConsent {
        GiveConsent {
            participant: ParticipantId(n),
            purpose: ConsentPurpose::Recording,
            text_version: "2026-03.1".to_owned(),
            language: "de-CH".to_owned(),
            given_by: ParticipantId(given_by),
            now: crate::Timestamp(0),
        }
    }

    fn withdraw(n: u128, withdrawn_by: u128) -> WithdrawConsent {
        WithdrawConsent {
            participant: ParticipantId(n),
            purpose: ConsentPurpose::Recording,
            withdrawn_by: ParticipantId(withdrawn_by),
            now: crate::Timestamp(0),
        }
    }

    fn three() -> Scene {
        let mut scene = Scene::ready(&[]);
        scene.joins(1, DOCTOR, Host);
        scene.joins(2, PATIENT, Guest);
        scene.joins(3, SISTER, Guardian);
        scene
    }

    #[test]
    fn consent_is_given_and_withdrawn() {
        let mut scene = three();
        scene.does(consent(2, 2));
        scene.adds_nothing(consent(2, 2));
        assert!(scene.participant(2).consent(ConsentPurpose::Recording).is_some());
        assert!(scene.participant(2).consent(ConsentPurpose::Transcription).is_none());
        scene.after(60);
        scene.does(withdraw(2, 2));
        scene.adds_nothing(withdraw(2, 2));
        let consents = &scene.participant(2).consents;
        assert_eq!((consents.len(), consents[0].withdrawn_at), (1, Some(scene.now)));
    }

    #[test]
    fn a_new_version_replaces_the_old_consent() {
        let mut scene = three();
        scene.does(consent(2, 2));
        scene.does(GiveConsent { text_version: "2026-04".to_owned(), ..consent(2, 2) });
        let consents = &scene.participant(2).consents;
        assert_eq!(consents.iter().map(|consent| consent.stands()).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_guardian_who_is_in_consents_for_another() {
        let mut scene = three();
        scene.refuses(consent(2, 1), SessionRejection::GuardianNeeded);
        scene.refuses(consent(2, 9), SessionRejection::GuardianNeeded);
        scene.refuses(consent(1, 3), SessionRejection::GuardianNeeded);
        scene.does(consent(2, 3));
        assert_eq!(scene.participant(2).consents[0].given_by, ParticipantId(3));
        scene.does(scene.leave(3));
        scene.refuses(consent(2, 3), SessionRejection::GuardianNeeded);
    }

    #[test]
    fn a_guardian_who_is_in_withdraws_for_another() {
        let mut scene = three();
        scene.does(consent(2, 3));
        scene.refuses(withdraw(2, 1), SessionRejection::GuardianNeeded);
        scene.does(withdraw(2, 3));
        assert!(scene.participant(2).consent(ConsentPurpose::Recording).is_none());
        scene.does(consent(2, 3));
        scene.does(scene.leave(3));
        scene.refuses(withdraw(2, 3), SessionRejection::GuardianNeeded);
        scene.does(withdraw(2, 2));
    }

    #[test]
    fn consents_come_to_an_end_and_withdrawing_does_not() {
        let mut scene = three();
        for n in 0..CONSENTS_MAX {
            scene.does(GiveConsent { text_version: format!("v{n}"), ..consent(2, 2) });
        }
        let one_more = GiveConsent { text_version: "one-more".to_owned(), ..consent(2, 2) };
        scene.refuses(one_more, SessionRejection::ConsentsExhausted);
        scene.does(withdraw(2, 2));
    }

    #[test]
    fn who_has_left_changes_nothing_afterwards() {
        let mut scene = three();
        scene.does(consent(2, 2));
        scene.does(scene.leave(2));
        scene.refuses(withdraw(2, 2), SessionRejection::ParticipantNotIn);
        scene.refuses(consent(2, 2), SessionRejection::ParticipantNotIn);
        scene.joins(4, PersonId(2), Guest);
        assert!(scene.participant(4).consents.is_empty());
    }

    #[test]
    fn the_text_and_its_language_are_named() {
        let scene = three();
        for version in ["", "two words", "\u{e9}", &"v".repeat(CONSENT_TEXT_VERSION_BYTES_MAX + 1)] {
            let rejected = scene.decide(GiveConsent { text_version: version.to_owned(), ..consent(2, 2) });
            assert!(matches!(rejected, Err(SessionRejection::Invalid(invalid)) if invalid.field == "textVersion"));
        }
        let rejected = scene.decide(GiveConsent { language: "German".to_owned(), ..consent(2, 2) });
        assert!(matches!(rejected, Err(SessionRejection::Invalid(invalid)) if invalid.field == "language"));
    }
}
