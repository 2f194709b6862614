//! Settings of a room's sessions, where each value comes from, and what stops it from being changed.
//!
//! built-in < purpose < organization < units, root first < room < session. A level may *set* a value or *lock* it; a lock
//! stops the levels below. When a session is opened its effective settings are copied into it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    UnitId,
    aggregate::Rejection,
    text::{self, Invalid},
};

pub const PARTICIPANTS_MAX: u32 = 1_000;
pub const DURATION_MINUTES_MAX: u32 = 24 * 60;
pub const EMPTY_TIMEOUT_MINUTES_MAX: u32 = 24 * 60;
pub const HOST_GONE_MINUTES_MAX: u32 = 4 * 60;

/// The retention class of consultations: kept 20 years after the last session of the same record.
pub const RETENTION_RECORD_20_YEARS: &str = "record-20-years";

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident $field:ident $spelling:literal: $type:ty = $built_in:expr;)*) => {
        /// A value for every setting. The default is what is built in.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Settings {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($field: $built_in,)* }
            }
        }

        impl Settings {
            pub fn get(&self, name: SettingName) -> SettingValue {
                match name {
                    $(SettingName::$name => SettingValue::$name(self.$field.clone()),)*
                }
            }

            pub fn set(&mut self, value: SettingValue) {
                match value {
                    $(SettingValue::$name(value) => self.$field = value,)*
                }
            }
        }

        /// One setting.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum SettingName {
            $($(#[$doc])* $name,)*
        }

        impl SettingName {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its spelling in the schema.
            pub const fn field(self) -> &'static str {
                match self {
                    $(Self::$name => $spelling,)*
                }
            }
        }

        /// One setting and its value. Read models store it in a binary form too, which no tag beside the value survives.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum SettingValue {
            $($(#[$doc])* $name($type),)*
        }

        impl SettingValue {
            pub const fn name(&self) -> SettingName {
                match self {
                    $(Self::$name(_) => SettingName::$name,)*
                }
            }
        }
    };
}

settings! {
    /// The most people in the session at once, from 1 to [`PARTICIPANTS_MAX`].
    ParticipantsMax participants_max "participantsMax": u32 = 50;
    /// After how many minutes the session ends, from 1 to [`DURATION_MINUTES_MAX`]. A host may extend it.
    DurationMaxMinutes duration_max_minutes "durationMaxMinutes": u32 = 240;
    /// After how many minutes with nobody in it the session ends, from 1 to [`EMPTY_TIMEOUT_MINUTES_MAX`].
    EmptyTimeoutMinutes empty_timeout_minutes "emptyTimeoutMinutes": u32 = 10;
    /// Whether the session waits until a host is in.
    WaitForHost wait_for_host "waitForHost": bool = false;
    /// What happens when the last host leaves.
    WhenHostLeaves when_host_leaves "whenHostLeaves": WhenHostLeaves = WhenHostLeaves::Continue;
    /// Whether everyone but hosts knocks and waits to be admitted. Off, those do whose join grant says so.
    Lobby lobby "lobby": bool = false;
    /// What happens when someone who is in enters again.
    DuplicateEntry duplicate_entry "duplicateEntry": DuplicateEntry = DuplicateEntry::TakeOver;
    /// Whether, and by whom, recording is started.
    Recording recording "recording": RecordingMode = RecordingMode::Off;
    /// One file for each media stream, or one for all.
    RecordingForm recording_form "recordingForm": RecordingForm = RecordingForm::PerTrack;
    /// Whether everyone must have consented before anything is recorded.
    ConsentBeforeRecording consent_before_recording "consentBeforeRecording": bool = true;
    /// The language to transcribe, as a language tag (RFC 5646); none for no transcription.
    Transcription transcription "transcription": Option<String> = None;
    /// Whether people may write messages.
    Chat chat "chat": bool = true;
    /// Whether people may share their screen.
    ScreenShare screen_share "screenShare": bool = true;
    /// Who may publish audio, video and screens.
    WhoMayPublish who_may_publish "whoMayPublish": WhoMayPublish = WhoMayPublish::Everyone;
    /// How people are shown, and a composite recording is laid out.
    Layout layout "layout": Layout = Layout::Grid;
    /// Whether the manifest is anchored on a chain.
    Registry registry "registry": bool = false;
    /// How long what was recorded is kept: the name of a class.
    RetentionClass retention_class "retentionClass": String = "standard".to_owned();
    /// The media profile: a name.
    Profile profile "profile": String = "standard".to_owned();
    /// The look of the pages: a name.
    Skin skin "skin": String = "standard".to_owned();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenHostLeaves {
    /// The session goes on without.
    Continue,
    /// Everyone waits until a host is back.
    Hold,
    /// The session ends, unless a host is back within `minutes`, from 1 to [`HOST_GONE_MINUTES_MAX`].
    EndAfter { minutes: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateEntry {
    /// The second entry takes over, the first is out.
    TakeOver,
    Refuse,
    /// Both are in.
    Allow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingMode {
    Off,
    /// When a host starts it.
    OnDemand,
    /// From the moment the session is in progress.
    Automatic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingForm {
    PerTrack,
    Composite,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhoMayPublish {
    Everyone,
    /// Hosts and co-hosts.
    Hosts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    Grid,
    Speaker,
}

impl SettingName {
    /// Whether the opener of a session may choose it for that session, and a host change it during it. What a record's
    /// evidence rests on (registry, retention) is not for the session to say.
    pub const fn changes_in_session(self) -> bool {
        match self {
            Self::ParticipantsMax
            | Self::DurationMaxMinutes
            | Self::EmptyTimeoutMinutes
            | Self::WaitForHost
            | Self::WhenHostLeaves
            | Self::Lobby
            | Self::Recording
            | Self::Transcription
            | Self::Chat
            | Self::ScreenShare
            | Self::WhoMayPublish
            | Self::Layout => true,
            Self::DuplicateEntry
            | Self::RecordingForm
            | Self::ConsentBeforeRecording
            | Self::Registry
            | Self::RetentionClass
            | Self::Profile
            | Self::Skin => false,
        }
    }
}

impl SettingValue {
    /// Whether the value is in its range; the error says what the range is.
    pub fn validate(&self) -> Result<(), Invalid> {
        let field = self.name().field();
        let range = |value: u32, max: u32| {
            if (1..=max).contains(&value) {
                return Ok(());
            }
            Err(Invalid::new(field, format!("is {value}"), format!("a number from 1 to {max}")))
        };
        match self {
            Self::ParticipantsMax(value) => range(*value, PARTICIPANTS_MAX),
            Self::DurationMaxMinutes(value) => range(*value, DURATION_MINUTES_MAX),
            Self::EmptyTimeoutMinutes(value) => range(*value, EMPTY_TIMEOUT_MINUTES_MAX),
            Self::WhenHostLeaves(WhenHostLeaves::EndAfter { minutes }) => range(*minutes, HOST_GONE_MINUTES_MAX),
            Self::Transcription(Some(language)) => text::locale(field, language),
            Self::RetentionClass(word) | Self::Profile(word) | Self::Skin(word) => text::word(field, word),
            Self::WhenHostLeaves(WhenHostLeaves::Continue | WhenHostLeaves::Hold)
            | Self::WaitForHost(_)
            | Self::Lobby(_)
            | Self::DuplicateEntry(_)
            | Self::Recording(_)
            | Self::RecordingForm(_)
            | Self::ConsentBeforeRecording(_)
            | Self::Transcription(None)
            | Self::Chat(_)
            | Self::ScreenShare(_)
            | Self::WhoMayPublish(_)
            | Self::Layout(_)
            | Self::Registry(_) => Ok(()),
        }
    }
}

/// What a room is for: it chooses a template of defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    Meeting,
    Training,
    Support,
    /// A patient with a professional: by invitation, lobby on, recording and transcription off, registry on, kept 20 years
    /// after the last session of the same record.
    Consultation,
    Webinar,
}

impl Purpose {
    pub const ALL: [Self; 5] = [Self::Meeting, Self::Training, Self::Support, Self::Consultation, Self::Webinar];

    /// The settings of its template.
    pub fn template(self) -> Level {
        use SettingValue as V;
        match self {
            Self::Meeting => Level::default(),
            Self::Training => Level::setting([
                V::WaitForHost(true),
                V::WhenHostLeaves(WhenHostLeaves::EndAfter { minutes: 15 }),
                V::Layout(Layout::Speaker),
            ]),
            Self::Support => Level::setting([
                V::ParticipantsMax(10),
                V::DurationMaxMinutes(120),
                V::WaitForHost(true),
                V::Lobby(true),
                V::WhenHostLeaves(WhenHostLeaves::Hold),
            ]),
            Self::Consultation => Level::setting([
                V::ParticipantsMax(10),
                V::DurationMaxMinutes(120),
                V::WaitForHost(true),
                V::WhenHostLeaves(WhenHostLeaves::Hold),
                V::Lobby(true),
                V::Recording(RecordingMode::Off),
                V::Transcription(None),
                V::Registry(true),
                V::RetentionClass(RETENTION_RECORD_20_YEARS.to_owned()),
            ]),
            Self::Webinar => Level::setting([
                V::ParticipantsMax(500),
                V::WaitForHost(true),
                V::WhenHostLeaves(WhenHostLeaves::EndAfter { minutes: 5 }),
                V::WhoMayPublish(WhoMayPublish::Hosts),
                V::ScreenShare(true),
                V::Layout(Layout::Speaker),
            ]),
        }
    }
}

/// What one level says of the settings. Stored as two lists, so that no name stands beside another name's value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredLevel", into = "StoredLevel")]
pub struct Level {
    pub set: BTreeMap<SettingName, SettingValue>,
    /// What levels below may not set; the value is the one in force at this level.
    pub locked: BTreeSet<SettingName>,
}

#[derive(Serialize, Deserialize)]
struct StoredLevel {
    set: Vec<SettingValue>,
    locked: BTreeSet<SettingName>,
}

impl From<StoredLevel> for Level {
    fn from(stored: StoredLevel) -> Self {
        Self { set: stored.set.into_iter().map(|value| (value.name(), value)).collect(), locked: stored.locked }
    }
}

impl From<Level> for StoredLevel {
    fn from(level: Level) -> Self {
        Self { set: level.set.into_values().collect(), locked: level.locked }
    }
}

impl Level {
    /// A level that sets these values and locks none.
    pub fn setting(values: impl IntoIterator<Item = SettingValue>) -> Self {
        StoredLevel { set: values.into_iter().collect(), locked: BTreeSet::new() }.into()
    }

    /// The same level, which locks these settings too.
    #[must_use]
    pub fn locking(mut self, names: impl IntoIterator<Item = SettingName>) -> Self {
        self.locked.extend(names);
        self
    }

    /// Whether a level may change from `before` to this where these settings are locked above it. A value that doesn't
    /// change isn't asked: a lock that came later must not stand in the way of another change.
    pub fn check_change(&self, before: &Self, locked_above: &BTreeSet<SettingName>) -> Result<(), SettingRejection> {
        self.validate()?;
        let locked = |(name, value): &(&SettingName, &SettingValue)| {
            locked_above.contains(name) && before.set.get(name) != Some(value)
        };
        match self.set.iter().find(locked) {
            Some((name, _)) => Err(SettingRejection::SettingLocked(*name)),
            None => Ok(()),
        }
    }

    /// Whether each value is in its range and stands under its own name.
    pub fn validate(&self) -> Result<(), Invalid> {
        for (name, value) in &self.set {
            if *name != value.name() {
                let problem = format!("has a value of {}", value.name().field());
                return Err(Invalid::new(name.field(), problem, "a value of that setting"));
            }
            value.validate()?;
        }
        Ok(())
    }
}

/// The level that an effective value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    BuiltIn,
    Purpose,
    Organization,
    Unit(UnitId),
    Room,
    Session,
}

/// The settings in force, and where each comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectiveSettings {
    pub values: Settings,
    /// Has every setting.
    pub sources: BTreeMap<SettingName, Source>,
    /// What no level below may set.
    pub locked: BTreeSet<SettingName>,
}

/// Only what is built in.
impl Default for EffectiveSettings {
    fn default() -> Self {
        Self {
            values: Settings::default(),
            sources: SettingName::ALL.iter().map(|name| (*name, Source::BuiltIn)).collect(),
            locked: BTreeSet::new(),
        }
    }
}

/// Why a session can't have a setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingRejection {
    #[error("{} is locked by a level above", .0.field())]
    SettingLocked(SettingName),
    #[error("{} can't be chosen for one session: set it on the room", .0.field())]
    SettingNotOfSession(SettingName),
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl Rejection for SettingRejection {
    fn code(&self) -> &'static str {
        match self {
            Self::SettingLocked(_) => "SETTING_LOCKED",
            Self::SettingNotOfSession(_) => "SETTING_NOT_OF_SESSION",
            Self::Invalid(invalid) => invalid.code(),
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::SettingLocked(name) | Self::SettingNotOfSession(name) => Some(name.field()),
            Self::Invalid(invalid) => invalid.field(),
        }
    }
}

impl EffectiveSettings {
    /// Takes over what a level sets (except what is locked already), then what it locks.
    fn apply(&mut self, source: Source, level: &Level) {
        for (name, value) in &level.set {
            if !self.locked.contains(name) {
                self.sources.insert(*name, source);
                self.values.set(value.clone());
            }
        }
        self.locked.extend(&level.locked);
    }

    /// Whether a session may set this value, at its opening or during it.
    pub fn check_in_session(&self, value: &SettingValue) -> Result<(), SettingRejection> {
        let name = value.name();
        if self.locked.contains(&name) {
            return Err(SettingRejection::SettingLocked(name));
        }
        if !name.changes_in_session() {
            return Err(SettingRejection::SettingNotOfSession(name));
        }
        Ok(value.validate()?)
    }

    /// The value, as a session's own. Check it first with [`check_in_session`](Self::check_in_session).
    pub fn set_in_session(&mut self, value: SettingValue) {
        self.sources.insert(value.name(), Source::Session);
        self.values.set(value);
    }

    /// These settings with what the opener of a session chooses.
    pub fn opened_with(mut self, chosen: &[SettingValue]) -> Result<Self, SettingRejection> {
        for value in chosen {
            self.check_in_session(value)?;
            self.set_in_session(value.clone());
        }
        Ok(self)
    }
}

/// The settings in force in a room. `units` are the room's unit and those above it, the root first.
pub fn resolve(purpose: Purpose, organization: &Level, units: &[(UnitId, &Level)], room: &Level) -> EffectiveSettings {
    let mut effective = EffectiveSettings::default();
    effective.apply(Source::Purpose, &purpose.template());
    effective.apply(Source::Organization, organization);
    for (unit, level) in units {
        effective.apply(Source::Unit(*unit), level);
    }
    effective.apply(Source::Room, room);
    effective
}

#[cfg(test)]
mod tests;
