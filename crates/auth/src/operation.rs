//! Everything that can be asked of witan, as one table: the operation's name, what it is asked of, and the scope that an
//! API key needs for it. The Cedar schema's actions and the table in the docs are made from it.

use std::collections::BTreeSet;

/// Where an operation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    Mutation,
    Query,
    Subscription,
    CommandLine,
}

/// What an operation is asked of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// The server itself and its public log: no tenant's.
    #[default]
    Deployment,
    Organization,
    Unit,
    User,
    /// A role that a user gets or loses.
    Role,
    ApiKey,
    Room,
    Invitation,
    Session,
}

impl ResourceKind {
    pub const ALL: [Self; 9] = [
        Self::Deployment,
        Self::Organization,
        Self::Unit,
        Self::User,
        Self::Role,
        Self::ApiKey,
        Self::Room,
        Self::Invitation,
        Self::Session,
    ];

    /// The name of its entity type in the policies. `User` there is the one who acts.
    pub const fn entity_type(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::Organization => "Organization",
            Self::Unit => "Unit",
            Self::User => "Account",
            Self::Role => "Role",
            Self::ApiKey => "ApiKey",
            Self::Room => "Room",
            Self::Invitation => "Invitation",
            Self::Session => "Session",
        }
    }
}

macro_rules! scopes {
    ($($scope:ident $name:literal;)*) => {
        /// A part of the operations that an API key can be limited to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scope {
            $($scope,)*
        }

        impl Scope {
            pub const ALL: &'static [Self] = &[$(Self::$scope,)*];

            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$scope => $name,)*
                }
            }
        }
    };
}

scopes! {
    OrganizationRead "organization:read";
    OrganizationWrite "organization:write";
    UsersRead "users:read";
    UsersWrite "users:write";
    KeysRead "keys:read";
    KeysWrite "keys:write";
    RoomsRead "rooms:read";
    RoomsWrite "rooms:write";
    SessionsRead "sessions:read";
    SessionsWrite "sessions:write";
    ContentRead "content:read";
    ContentWrite "content:write";
    AuditRead "audit:read";
    PrivacyWrite "privacy:write";
}

/// What an API key may do of what its user may: no scope at all stands for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

/// A scope that there is none of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no scope like this; the scopes are {}", Scope::ALL.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", "))]
pub struct UnknownScope;

impl Scopes {
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self(scopes.into_iter().collect())
    }

    /// # Errors
    /// [`UnknownScope`], which lists the scopes that there are.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownScope> {
        let scope = |name: &str| Scope::ALL.iter().find(|scope| scope.name() == name).copied().ok_or(UnknownScope);
        names.into_iter().map(scope).collect::<Result<_, _>>().map(Self)
    }

    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|scope| scope.name())
    }

    /// Whether these scopes lead to the operation.
    pub fn allow(&self, operation: Operation) -> bool {
        self.0.is_empty() || operation.scope().is_none_or(|scope| self.0.contains(&scope))
    }

    /// Whether these scopes lead to all that a participant of a session may ask of it.
    pub fn hold_participation(&self) -> bool {
        Self::of_participation().within(self)
    }

    /// What a participant may ask of their session.
    pub fn of_participation() -> Self {
        let of_session = Operation::ALL.iter().filter(|operation| operation.resource() == ResourceKind::Session);
        Self(of_session.filter_map(|operation| operation.scope()).collect())
    }

    /// Whether these scopes lead to nothing that `other` doesn't lead to.
    pub fn within(&self, other: &Self) -> bool {
        other.0.is_empty() || (!self.0.is_empty() && self.0.is_subset(&other.0))
    }
}

macro_rules! operations {
    ($($operation:ident $name:literal $kind:ident $resource:ident $scope:tt;)*) => {
        /// Something that an actor may ask for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $($operation,)*
        }

        impl Operation {
            pub const ALL: &'static [Self] = &[$(Self::$operation,)*];

            /// The name in the API, in the policies and in the audit trail.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$operation => $name,)*
                }
            }

            pub const fn kind(self) -> OperationKind {
                match self {
                    $(Self::$operation => OperationKind::$kind,)*
                }
            }

            /// What it is asked of: another kind of resource is refused.
            pub const fn resource(self) -> ResourceKind {
                match self {
                    $(Self::$operation => ResourceKind::$resource,)*
                }
            }

            /// The scope that an API key needs for it; `None` where any key will do.
            pub const fn scope(self) -> Option<Scope> {
                match self {
                    $(Self::$operation => operations!(@scope $scope),)*
                }
            }
        }
    };
    (@scope _) => { None };
    (@scope $scope:ident) => { Some(Scope::$scope) };
}

operations! {
    UpdateOrganization "updateOrganization" Mutation Organization OrganizationWrite;
    SetOrganizationSettings "setOrganizationSettings" Mutation Organization OrganizationWrite;
    SetOrganizationPolicies "setOrganizationPolicies" Mutation Organization OrganizationWrite;
    CreateUnit "createUnit" Mutation Unit OrganizationWrite;
    UpdateUnit "updateUnit" Mutation Unit OrganizationWrite;
    MoveUnit "moveUnit" Mutation Unit OrganizationWrite;
    ArchiveUnit "archiveUnit" Mutation Unit OrganizationWrite;
    SetUnitSettings "setUnitSettings" Mutation Unit OrganizationWrite;
    SetUnitPolicies "setUnitPolicies" Mutation Unit OrganizationWrite;
    CreateUser "createUser" Mutation User UsersWrite;
    UpdateUser "updateUser" Mutation User UsersWrite;
    DeactivateUser "deactivateUser" Mutation User UsersWrite;
    ReactivateUser "reactivateUser" Mutation User UsersWrite;
    GrantRole "grantRole" Mutation Role UsersWrite;
    RevokeRole "revokeRole" Mutation Role UsersWrite;
    CreateApiKey "createApiKey" Mutation ApiKey KeysWrite;
    RevokeApiKey "revokeApiKey" Mutation ApiKey KeysWrite;
    CreateRoom "createRoom" Mutation Room RoomsWrite;
    UpdateRoom "updateRoom" Mutation Room RoomsWrite;
    SetRoomSettings "setRoomSettings" Mutation Room RoomsWrite;
    SetRoomPolicies "setRoomPolicies" Mutation Room RoomsWrite;
    AddRoomPerson "addRoomPerson" Mutation Room RoomsWrite;
    RemoveRoomPerson "removeRoomPerson" Mutation Room RoomsWrite;
    DisableRoom "disableRoom" Mutation Room RoomsWrite;
    EnableRoom "enableRoom" Mutation Room RoomsWrite;
    ArchiveRoom "archiveRoom" Mutation Room RoomsWrite;
    CreateInvitation "createInvitation" Mutation Invitation RoomsWrite;
    RevokeInvitation "revokeInvitation" Mutation Invitation RoomsWrite;
    ExchangeInvitation "exchangeInvitation" Mutation Invitation SessionsWrite;
    WaitAtDesk "waitAtDesk" Mutation Invitation SessionsWrite;
    LeaveDesk "leaveDesk" Mutation Invitation SessionsWrite;
    CreateJoinToken "createJoinToken" Mutation Session SessionsWrite;
    OpenSession "openSession" Mutation Room SessionsWrite;
    OpenAdHocSession "openAdHocSession" Mutation Unit SessionsWrite;
    Knock "knock" Mutation Session SessionsWrite;
    WithdrawKnock "withdrawKnock" Mutation Session SessionsWrite;
    AdmitParticipant "admitParticipant" Mutation Session SessionsWrite;
    AdmitAll "admitAll" Mutation Session SessionsWrite;
    DenyParticipant "denyParticipant" Mutation Session SessionsWrite;
    JoinSession "joinSession" Mutation Session SessionsWrite;
    LeaveSession "leaveSession" Mutation Session SessionsWrite;
    ResumeParticipation "resumeParticipation" Mutation Session SessionsWrite;
    MuteParticipant "muteParticipant" Mutation Session SessionsWrite;
    UnmuteParticipant "unmuteParticipant" Mutation Session SessionsWrite;
    MuteAll "muteAll" Mutation Session SessionsWrite;
    HoldParticipant "holdParticipant" Mutation Session SessionsWrite;
    ReleaseParticipant "releaseParticipant" Mutation Session SessionsWrite;
    MoveParticipant "moveParticipant" Mutation Session SessionsWrite;
    RemoveParticipant "removeParticipant" Mutation Session SessionsWrite;
    ChangeParticipantRole "changeParticipantRole" Mutation Session SessionsWrite;
    LockSession "lockSession" Mutation Session SessionsWrite;
    UnlockSession "unlockSession" Mutation Session SessionsWrite;
    ExtendSession "extendSession" Mutation Session SessionsWrite;
    ChangeSessionSetting "changeSessionSetting" Mutation Session SessionsWrite;
    EndSession "endSession" Mutation Session SessionsWrite;
    GiveConsent "giveConsent" Mutation Session SessionsWrite;
    WithdrawConsent "withdrawConsent" Mutation Session SessionsWrite;
    SendMessage "sendMessage" Mutation Session ContentWrite;
    RemoveMessage "removeMessage" Mutation Session ContentWrite;
    EnterMedia "enterMedia" Mutation Session SessionsWrite;
    ConnectTransport "connectTransport" Mutation Session SessionsWrite;
    RestartIce "restartIce" Mutation Session SessionsWrite;
    PublishStream "publishStream" Mutation Session SessionsWrite;
    SetStreamPaused "setStreamPaused" Mutation Session SessionsWrite;
    UnpublishStream "unpublishStream" Mutation Session SessionsWrite;
    AcknowledgeOffer "acknowledgeOffer" Mutation Session SessionsWrite;
    SetPreferredLayers "setPreferredLayers" Mutation Session SessionsWrite;
    RequestKeyFrame "requestKeyFrame" Mutation Session SessionsWrite;
    ErasePerson "erasePerson" Mutation Organization PrivacyWrite;

    Viewer "viewer" Query Deployment _;
    ReadOrganization "readOrganization" Query Organization OrganizationRead;
    ReadUnit "readUnit" Query Unit OrganizationRead;
    ListUnits "listUnits" Query Organization OrganizationRead;
    ReadUser "readUser" Query User UsersRead;
    ListUsers "listUsers" Query Organization UsersRead;
    ReadApiKey "readApiKey" Query ApiKey KeysRead;
    ListApiKeys "listApiKeys" Query Organization KeysRead;
    ReadRoom "readRoom" Query Room RoomsRead;
    ListRooms "listRooms" Query Organization RoomsRead;
    ReadInvitation "readInvitation" Query Invitation RoomsRead;
    ListInvitations "listInvitations" Query Room RoomsRead;
    DeskWait "deskWait" Query Invitation SessionsRead;
    WaitingDesk "waitingDesk" Query Unit SessionsRead;
    ReadSession "readSession" Query Session SessionsRead;
    ListSessions "listSessions" Query Organization SessionsRead;
    ReadParticipants "readParticipants" Query Session SessionsRead;
    ReadHistory "readHistory" Query Session AuditRead;
    ReadChat "readChat" Query Session ContentRead;
    ReadAuditTrail "readAuditTrail" Query Organization AuditRead;
    ReadInclusionProof "readInclusionProof" Query Organization AuditRead;
    ReadCheckpoint "readCheckpoint" Query Deployment _;
    ReadConsistencyProof "readConsistencyProof" Query Deployment _;

    WaitingDeskChanged "waitingDeskChanged" Subscription Unit SessionsRead;
    SessionChanged "sessionChanged" Subscription Session SessionsRead;
    SessionEvents "sessionEvents" Subscription Session AuditRead;
    SessionSignals "sessionSignals" Subscription Session SessionsRead;
    OrganizationActivity "organizationActivity" Subscription Organization AuditRead;

    CreateOrganization "createOrganization" CommandLine Deployment _;
    SuspendOrganization "suspendOrganization" CommandLine Organization _;
    ReactivateOrganization "reactivateOrganization" CommandLine Organization _;
    Backup "backup" CommandLine Deployment _;
    Restore "restore" CommandLine Deployment _;
    Replay "replay" CommandLine Deployment _;
    VerifyJournal "verifyJournal" CommandLine Deployment _;
}
