//! Settings as the schema has them: what a level sets, what is in force, and where it comes from.

use async_graphql::{Enum, ID, InputObject, OneofObject, SimpleObject};
use witan_domain::settings::{self, SettingValue};

use crate::{refusal, scalars::IntoId};

/// What a room is for: it chooses a template of defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "settings::Purpose")]
pub enum Purpose {
    /// People of the organization meet.
    Meeting,
    /// One teaches others.
    Training,
    /// Someone is helped.
    Support,
    /// A patient with a professional: by invitation, lobby on, recording and transcription off, registry on, kept 20
    /// years after the last session of the same record.
    Consultation,
    /// Few speak to many.
    Webinar,
}

/// What happens when someone who is in enters again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "settings::DuplicateEntry")]
pub enum DuplicateEntry {
    /// The second entry takes over, the first is out.
    TakeOver,
    /// The second entry is refused.
    Refuse,
    /// Both are in.
    Allow,
}

/// Whether, and by whom, recording is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "settings::RecordingMode")]
pub enum RecordingMode {
    /// Nothing is recorded.
    Off,
    /// When a host starts it.
    OnDemand,
    /// From the moment the session is in progress.
    Automatic,
}

/// What a recording is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "settings::RecordingForm")]
pub enum RecordingForm {
    /// One file for each media stream.
    PerTrack,
    /// One file for all.
    Composite,
}

/// Who may publish audio, video and screens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "settings::WhoMayPublish")]
pub enum WhoMayPublish {
    /// Everyone but observers.
    Everyone,
    /// Hosts and co-hosts.
    Hosts,
}

/// How people are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "settings::Layout")]
pub enum Layout {
    /// All alike.
    Grid,
    /// Whoever speaks is large.
    Speaker,
}

/// What happens when the last host leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum HostLeaves {
    /// The session goes on without.
    Continue,
    /// Everyone waits until a host is back.
    Hold,
    /// The session ends, unless a host is back within `minutes`.
    EndAfter,
}

/// What happens when the last host leaves, and after how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SimpleObject, InputObject)]
#[graphql(name = "WhenHostLeaves", input_name = "WhenHostLeavesInput")]
pub struct WhenHostLeaves {
    /// What happens.
    then: HostLeaves,
    /// With END_AFTER, and only there: so many minutes, 1 to 240.
    minutes: Option<u32>,
}

impl From<settings::WhenHostLeaves> for WhenHostLeaves {
    fn from(value: settings::WhenHostLeaves) -> Self {
        match value {
            settings::WhenHostLeaves::Continue => Self { then: HostLeaves::Continue, minutes: None },
            settings::WhenHostLeaves::Hold => Self { then: HostLeaves::Hold, minutes: None },
            settings::WhenHostLeaves::EndAfter { minutes } => {
                Self { then: HostLeaves::EndAfter, minutes: Some(minutes) }
            }
        }
    }
}

impl TryFrom<WhenHostLeaves> for settings::WhenHostLeaves {
    type Error = &'static str;

    fn try_from(value: WhenHostLeaves) -> Result<Self, Self::Error> {
        match (value.then, value.minutes) {
            (HostLeaves::Continue, None) => Ok(Self::Continue),
            (HostLeaves::Hold, None) => Ok(Self::Hold),
            (HostLeaves::EndAfter, Some(minutes)) => Ok(Self::EndAfter { minutes }),
            (HostLeaves::EndAfter, None) => Err("whenHostLeaves has END_AFTER without minutes; expected 1 to 240."),
            (HostLeaves::Continue | HostLeaves::Hold, Some(_)) => {
                Err("whenHostLeaves has minutes without END_AFTER; expected them there only.")
            }
        }
    }
}

/// Whether what is said is written down, and in which language.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject, InputObject)]
#[graphql(name = "Transcription", input_name = "TranscriptionInput")]
pub struct Transcription {
    /// The language to transcribe, as a language tag (RFC 5646); null for no transcription.
    language: Option<String>,
}

impl From<Option<String>> for Transcription {
    fn from(language: Option<String>) -> Self {
        Self { language }
    }
}

impl From<Transcription> for Option<String> {
    fn from(transcription: Transcription) -> Self {
        transcription.language
    }
}

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident $field:ident: $type:ident;)*) => {
        /// The name of a setting.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Enum)]
        #[graphql(remote = "settings::SettingName")]
        pub enum SettingName {
            $($(#[$doc])* $name,)*
        }

        /// A value for every setting.
        #[derive(Clone, Debug, PartialEq, SimpleObject)]
        pub struct Settings {
            $($(#[$doc])* $field: $type,)*
        }

        impl From<settings::Settings> for Settings {
            fn from(values: settings::Settings) -> Self {
                Self { $($field: values.$field.into(),)* }
            }
        }

        /// What one level sets: null for what it leaves to the levels above.
        #[derive(Clone, Debug, Default, PartialEq, SimpleObject)]
        pub struct SetSettings {
            $($(#[$doc])* $field: Option<$type>,)*
        }

        impl From<&settings::Level> for SetSettings {
            fn from(level: &settings::Level) -> Self {
                let mut set = Self::default();
                for value in level.set.values().cloned() {
                    match value {
                        $(SettingValue::$name(value) => set.$field = Some(value.into()),)*
                    }
                }
                set
            }
        }

        /// What one level sets: what is absent is left to the levels above.
        #[derive(Clone, Debug, Default, PartialEq, InputObject)]
        pub struct SettingsInput {
            $($(#[$doc])* $field: Option<$type>,)*
        }

        impl SettingsInput {
            fn into_domain(self) -> async_graphql::Result<Vec<SettingValue>> {
                let mut values = Vec::new();
                $(if let Some(value) = self.$field {
                    values.push(SettingChoice::$name(value).into_domain()?);
                })*
                Ok(values)
            }
        }

        /// One setting with its value: exactly one field.
        #[derive(Clone, Debug, PartialEq, OneofObject)]
        pub enum SettingChoice {
            $($(#[$doc])* $name($type),)*
        }

        impl SettingChoice {
            /// # Errors
            /// INVALID_INPUT where two parts of the value contradict each other. Ranges are the domain's to check.
            pub fn into_domain(self) -> async_graphql::Result<SettingValue> {
                Ok(match self {
                    $(Self::$name(value) => SettingValue::$name(value.try_into().map_err(contradiction)?),)*
                })
            }
        }
    };
}

settings! {
    /// The most people in the session at once: 1 to 1,000.
    ParticipantsMax participants_max: u32;
    /// After how many minutes the session ends: 1 to 1,440. A host may extend it.
    DurationMaxMinutes duration_max_minutes: u32;
    /// After how many minutes with nobody in it the session ends: 1 to 1,440.
    EmptyTimeoutMinutes empty_timeout_minutes: u32;
    /// Whether the session waits until a host is in.
    WaitForHost wait_for_host: bool;
    /// What happens when the last host leaves.
    WhenHostLeaves when_host_leaves: WhenHostLeaves;
    /// Whether everyone but hosts knocks and waits to be admitted. Off, those do whose join grant says so.
    Lobby lobby: bool;
    /// What happens when someone who is in enters again.
    DuplicateEntry duplicate_entry: DuplicateEntry;
    /// Whether, and by whom, recording is started.
    Recording recording: RecordingMode;
    /// One file for each media stream, or one for all.
    RecordingForm recording_form: RecordingForm;
    /// Whether everyone must have consented before anything is recorded.
    ConsentBeforeRecording consent_before_recording: bool;
    /// Whether what is said is written down, and in which language.
    Transcription transcription: Transcription;
    /// Whether people may write messages.
    Chat chat: bool;
    /// Whether people may share their screen.
    ScreenShare screen_share: bool;
    /// Who may publish audio, video and screens.
    WhoMayPublish who_may_publish: WhoMayPublish;
    /// How people are shown, and a composite recording is laid out.
    Layout layout: Layout;
    /// Whether the manifest is anchored on a chain.
    Registry registry: bool;
    /// How long what was recorded is kept: the name of a class, in lower-case ASCII letters, digits and `-`.
    RetentionClass retention_class: String;
    /// The media profile: a name, in lower-case ASCII letters, digits and `-`.
    Profile profile: String;
    /// The look of the pages: a name, in lower-case ASCII letters, digits and `-`.
    Skin skin: String;
}

pub fn contradiction(error: impl std::fmt::Display) -> async_graphql::Error {
    refusal("INVALID_INPUT", error.to_string())
}

/// What one level (an organization, a unit, a room) says of the settings.
#[derive(Clone, Debug, PartialEq, SimpleObject)]
pub struct LevelSettings {
    /// What it sets.
    set: SetSettings,
    /// What levels below may not set; the value is the one in force at this level.
    locked: Vec<SettingName>,
}

impl From<&settings::Level> for LevelSettings {
    fn from(level: &settings::Level) -> Self {
        Self { set: level.into(), locked: level.locked.iter().map(|name| (*name).into()).collect() }
    }
}

/// What one level is to say of the settings, in place of all that it said before.
#[derive(Clone, Debug, Default, PartialEq, InputObject)]
pub struct LevelSettingsInput {
    /// What it sets. What is absent is left to the levels above.
    set: Option<SettingsInput>,
    /// What levels below may not set.
    #[graphql(default)]
    lock: Vec<SettingName>,
}

impl LevelSettingsInput {
    pub fn into_domain(self) -> async_graphql::Result<settings::Level> {
        let names = self.lock.into_iter().map(Into::into);
        Ok(settings::Level::setting(self.set.unwrap_or_default().into_domain()?).locking(names))
    }
}

/// A level of the inheritance, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum SourceLevel {
    /// What witan sets where nobody does.
    BuiltIn,
    /// The template of the room's purpose.
    Purpose,
    /// The organization.
    Organization,
    /// One of the units above the room.
    Unit,
    /// The room.
    Room,
    /// The session itself: its opener chose, or a host changed it.
    Session,
}

/// The level that an effective value comes from.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
pub struct Source {
    /// Which kind of level.
    level: SourceLevel,
    /// The unit's id, where the level is a unit.
    unit_id: Option<ID>,
}

impl From<settings::Source> for Source {
    fn from(source: settings::Source) -> Self {
        let (level, unit_id) = match source {
            settings::Source::BuiltIn => (SourceLevel::BuiltIn, None),
            settings::Source::Purpose => (SourceLevel::Purpose, None),
            settings::Source::Organization => (SourceLevel::Organization, None),
            settings::Source::Unit(unit) => (SourceLevel::Unit, Some(unit.into_id())),
            settings::Source::Room => (SourceLevel::Room, None),
            settings::Source::Session => (SourceLevel::Session, None),
        };
        Self { level, unit_id }
    }
}

/// Where one setting's value comes from.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
pub struct SettingSource {
    /// The setting.
    name: SettingName,
    /// The level that its value comes from.
    source: Source,
    /// Whether no level below may set it.
    locked: bool,
}

/// The settings in force, and where each comes from.
#[derive(Clone, Debug, PartialEq, SimpleObject)]
pub struct EffectiveSettings {
    /// A value for every setting.
    values: Settings,
    /// Where each value comes from: every setting once.
    sources: Vec<SettingSource>,
}

impl From<&settings::EffectiveSettings> for EffectiveSettings {
    fn from(effective: &settings::EffectiveSettings) -> Self {
        let source = |(name, source): (&settings::SettingName, &settings::Source)| SettingSource {
            name: (*name).into(),
            source: (*source).into(),
            locked: effective.locked.contains(name),
        };
        Self { values: effective.values.clone().into(), sources: effective.sources.iter().map(source).collect() }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::InputType;
    use witan_domain::{UnitId, settings::SettingValue as V};

    use super::*;

    fn every_value() -> Vec<V> {
        let mut values: Vec<V> =
            settings::SettingName::ALL.iter().map(|name| settings::Settings::default().get(*name)).collect();
        for value in &mut values {
            match value {
                V::WhenHostLeaves(when) => *when = settings::WhenHostLeaves::EndAfter { minutes: 7 },
                V::Transcription(language) => *language = Some("pt-BR".into()),
                V::ParticipantsMax(max) => *max = 3,
                V::Lobby(on) | V::Registry(on) => *on = true,
                _ => {}
            }
        }
        values
    }

    /// What a level shows, given back as input, makes the same level.
    #[test]
    fn a_level_comes_back_as_it_went() {
        let locked = [settings::SettingName::Lobby, settings::SettingName::Skin];
        let level = settings::Level::setting(every_value()).locking(locked);
        let shown = LevelSettings::from(&level);
        assert_eq!(shown.set.when_host_leaves, Some(WhenHostLeaves { then: HostLeaves::EndAfter, minutes: Some(7) }));
        let set = shown.set;
        let input = SettingsInput {
            participants_max: set.participants_max,
            duration_max_minutes: set.duration_max_minutes,
            empty_timeout_minutes: set.empty_timeout_minutes,
            wait_for_host: set.wait_for_host,
            when_host_leaves: set.when_host_leaves,
            lobby: set.lobby,
            duplicate_entry: set.duplicate_entry,
            recording: set.recording,
            recording_form: set.recording_form,
            consent_before_recording: set.consent_before_recording,
            transcription: set.transcription,
            chat: set.chat,
            screen_share: set.screen_share,
            who_may_publish: set.who_may_publish,
            layout: set.layout,
            registry: set.registry,
            retention_class: set.retention_class,
            profile: set.profile,
            skin: set.skin,
        };
        let again = LevelSettingsInput { set: Some(input), lock: shown.locked }.into_domain().unwrap();
        assert_eq!(again, level);
        assert_eq!(LevelSettings::from(&settings::Level::default()).set, SetSettings::default());
        assert_eq!(LevelSettingsInput::default().into_domain().unwrap(), settings::Level::default());
    }

    #[test]
    fn every_effective_setting_has_a_source() {
        let unit = UnitId(5);
        let level = settings::Level::setting([V::Lobby(true)]).locking([settings::SettingName::Lobby]);
        let effective = settings::resolve(
            settings::Purpose::Meeting,
            &settings::Level::default(),
            &[(unit, &level)],
            &settings::Level::setting([V::Lobby(false), V::Chat(false)]),
        );
        let shown = EffectiveSettings::from(&effective);
        assert_eq!(shown.sources.len(), settings::SettingName::ALL.len());
        assert!(shown.values.lobby && !shown.values.chat);
        let of = |name| shown.sources.iter().find(|source| source.name == name).unwrap();
        let lobby = of(SettingName::Lobby);
        assert_eq!(lobby.source, Source { level: SourceLevel::Unit, unit_id: Some(unit.into_id()) });
        assert!(lobby.locked);
        assert_eq!(of(SettingName::Chat).source.level, SourceLevel::Room);
        assert!(!of(SettingName::Chat).locked);
    }

    #[test]
    fn one_choice_is_one_value_and_contradictions_are_refused() {
        let parse = |text: &str| {
            let value = async_graphql::Value::from_json(serde_json::from_str(text).unwrap()).unwrap();
            SettingChoice::parse(Some(value)).map_err(|_| ()).and_then(|choice| choice.into_domain().map_err(|_| ()))
        };
        assert_eq!(parse(r#"{"participantsMax": 9}"#), Ok(V::ParticipantsMax(9)));
        assert_eq!(parse(r#"{"transcription": {}}"#), Ok(V::Transcription(None)));
        let hold = V::WhenHostLeaves(settings::WhenHostLeaves::Hold);
        assert_eq!(parse(r#"{"whenHostLeaves": {"then": "HOLD"}}"#), Ok(hold));
        for wrong in [
            r#"{}"#,
            r#"{"lobby": true, "chat": true}"#,
            r#"{"participantsMax": -1}"#,
            r#"{"whenHostLeaves": {"then": "END_AFTER"}}"#,
            r#"{"whenHostLeaves": {"then": "HOLD", "minutes": 3}}"#,
        ] {
            assert_eq!(parse(wrong), Err(()), "{wrong}");
        }
    }
}
