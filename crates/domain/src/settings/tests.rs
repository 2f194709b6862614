use super::*;
use SettingValue as V;

fn level(values: &[SettingValue]) -> Level {
    Level::setting(values.iter().cloned())
}

#[test]
fn each_value_has_the_nearest_level_that_sets_it() {
    let (team, department) = (UnitId(1), UnitId(2));
    let effective = resolve(
        Purpose::Training,
        &level(&[V::Chat(false), V::ParticipantsMax(20), V::Lobby(true)]),
        &[(department, &level(&[V::ParticipantsMax(30), V::Lobby(false)])), (team, &level(&[V::ParticipantsMax(40)]))],
        &level(&[V::Skin("dark".into())]),
    );
    let source = |name| effective.sources[&name];
    assert_eq!(source(SettingName::ScreenShare), Source::BuiltIn);
    assert_eq!(source(SettingName::WaitForHost), Source::Purpose);
    assert_eq!(source(SettingName::Chat), Source::Organization);
    assert_eq!(source(SettingName::Lobby), Source::Unit(department));
    assert_eq!(source(SettingName::ParticipantsMax), Source::Unit(team));
    assert_eq!(source(SettingName::Skin), Source::Room);
    assert_eq!((effective.values.participants_max, effective.values.chat, effective.values.lobby), (40, false, false));
    assert_eq!(effective.sources.len(), SettingName::ALL.len());
}

#[test]
fn a_lock_stops_the_levels_below() {
    let effective = resolve(
        Purpose::Meeting,
        &level(&[V::Chat(false)]).locking([SettingName::Chat]),
        &[(UnitId(1), &level(&[V::Chat(true)]))],
        &level(&[V::Chat(true)]),
    );
    assert!(!effective.values.chat);
    assert_eq!(effective.sources[&SettingName::Chat], Source::Organization);
    assert_eq!(effective.opened_with(&[V::Chat(true)]), Err(SettingRejection::SettingLocked(SettingName::Chat)));
}

#[test]
fn a_lock_without_a_value_keeps_what_is_inherited() {
    let effective = resolve(
        Purpose::Consultation,
        &Level::default().locking([SettingName::Recording]),
        &[],
        &level(&[V::Recording(RecordingMode::Automatic)]),
    );
    assert_eq!(effective.values.recording, RecordingMode::Off);
    assert_eq!(effective.sources[&SettingName::Recording], Source::Purpose);
}

#[test]
fn a_consultation_is_private_and_kept() {
    let settings = resolve(Purpose::Consultation, &Level::default(), &[], &Level::default()).values;
    assert!(settings.lobby && settings.registry);
    assert_eq!((settings.recording, settings.transcription), (RecordingMode::Off, None));
    assert_eq!(settings.retention_class, RETENTION_RECORD_20_YEARS);
}

#[test]
fn a_session_chooses_only_what_is_its_own() {
    let effective = resolve(Purpose::Meeting, &Level::default(), &[], &Level::default());
    assert_eq!(
        effective.clone().opened_with(&[V::Registry(true)]),
        Err(SettingRejection::SettingNotOfSession(SettingName::Registry))
    );
    let opened = effective.opened_with(&[V::Lobby(true)]).unwrap();
    assert_eq!((opened.values.lobby, opened.sources[&SettingName::Lobby]), (true, Source::Session));
}

#[test]
fn values_out_of_range_say_the_range() {
    for value in [
        V::ParticipantsMax(0),
        V::ParticipantsMax(PARTICIPANTS_MAX + 1),
        V::DurationMaxMinutes(DURATION_MINUTES_MAX + 1),
        V::EmptyTimeoutMinutes(0),
        V::WhenHostLeaves(WhenHostLeaves::EndAfter { minutes: 0 }),
        V::Transcription(Some("German".into())),
        V::RetentionClass("Forever!".into()),
    ] {
        let invalid = level(std::slice::from_ref(&value)).validate().unwrap_err();
        assert_eq!(invalid.field, value.name().field());
    }
    for purpose in Purpose::ALL {
        assert_eq!(purpose.template().validate(), Ok(()));
    }
    assert_eq!(
        level(&SettingName::ALL.iter().map(|name| Settings::default().get(*name)).collect::<Vec<_>>()).validate(),
        Ok(())
    );
}

#[test]
fn a_level_is_stored_as_lists() {
    let level = level(&[V::Lobby(true), V::WhenHostLeaves(WhenHostLeaves::EndAfter { minutes: 3 })])
        .locking([SettingName::Chat]);
    let json = serde_json::to_string(&level).unwrap();
    assert_eq!(json, r#"{"set":[{"when_host_leaves":{"end_after":{"minutes":3}}},{"lobby":true}],"locked":["chat"]}"#);
    assert_eq!(serde_json::from_str::<Level>(&json).unwrap(), level);
}

#[test]
fn a_locked_setting_is_refused_only_when_it_changes() {
    let locked = [SettingName::Chat].into();
    let (before, after) = (level(&[V::Chat(true)]), level(&[V::Chat(true), V::Lobby(true)]));
    assert_eq!(after.check_change(&before, &locked), Ok(()));
    assert_eq!(after.check_change(&Level::default(), &locked), Err(SettingRejection::SettingLocked(SettingName::Chat)));
}

#[test]
fn a_value_under_another_name_is_refused() {
    let wrong = Level { set: [(SettingName::Chat, V::Lobby(true))].into(), locked: BTreeSet::new() };
    assert_eq!(wrong.validate().unwrap_err().field, "chat");
}
