//! Ad-hoc sessions: opened in a hidden room that is made for them, in one append of the room's stream. What follows is as
//! for any session (`opening.rs`); the room is archived when its session has ended.

use witan_auth::Operation;
use witan_domain::{
    OrganizationId, RoomId, SessionId, UnitId, UserId,
    room::{CreateRoom, OpenAdHocSession, OpenSession, Room, RoomDetails, SessionOpened, ad_hoc_slug},
    session::{Opener, Session},
    settings::{Level, Purpose, SettingValue},
};

use crate::{
    App, Error, Outcome, Request,
    access::LevelsAbove,
    execute::{Presence, Task},
    rooms::acting_user,
    units::unit_resource,
};

/// What a hidden room is called when nobody says.
const NAME_DEFAULT: &str = "Ad-hoc session";

/// An ad-hoc session as it is asked for.
#[derive(Clone, Debug)]
pub struct AdHocInput {
    pub purpose: Purpose,
    pub name: Option<String>,
    /// The record that the session belongs to: a patient's file, say.
    pub record_id: Option<String>,
    pub settings: Vec<SettingValue>,
}

impl App {
    /// Opens a session in a hidden room of the unit, which is the opener's.
    pub async fn open_ad_hoc_session(
        &self,
        request: &Request,
        unit: UnitId,
        input: &AdHocInput,
    ) -> Result<(SessionId, Outcome<Session>), Error> {
        let organization = request.organization()?;
        let room = RoomId(self.id_for(request, "ad-hoc room"));
        let session = SessionId(self.id_for(request, "session"));
        let task = self.begin_ad_hoc(request, organization, unit, room).await?;
        if task.answered()?.is_some()
            && let Some(prepared) = self.prepared(organization, session)?
        {
            drop(task);
            return self.opened(request, organization, session, prepared).await;
        }
        let owner = acting_user(request)?;
        let above = self.levels_in(organization, unit)?;
        let record = self.protect_record(request, organization, room, session, input.record_id.as_deref()).await?;
        let settings = above.settings(input.purpose, &Level::default()).opened_with(&input.settings);
        let open = OpenSession {
            session,
            organization_active: above.organization_active(),
            settings: settings.map_err(Error::rejected)?,
            opened_by: Opener::User(owner),
            record,
            continues: None,
            now: task.now(),
        };
        let opened = SessionOpened {
            session,
            settings: Box::new(open.settings.clone()),
            opened_by: open.opened_by,
            record: open.record.clone(),
            continues: None,
        };
        let create = self.hidden_room(organization, room, unit, &above, owner, input)?;
        let made = self
            .finish_grant(task, &OpenAdHocSession { create: Box::new(create), open: Box::new(open) }.into())
            .await?;
        let facts = made.state.facts().map_err(Error::rejected)?;
        let prepared = self.prepare_session(&request.step(), facts, &opened).await?;
        Ok((session, Outcome { position: self.prepared_position(session)?, ..prepared }))
    }

    async fn begin_ad_hoc<'a>(
        &'a self,
        request: &'a Request,
        organization: OrganizationId,
        unit: UnitId,
        room: RoomId,
    ) -> Result<Task<'a, Room>, Error> {
        let (operation, presence) = (Operation::OpenAdHocSession, Presence::Optional);
        let resource = move |_: &_| unit_resource(organization, Some(unit));
        self.begin::<Room>(request, Some(organization), room, operation, presence, resource).await
    }

    fn hidden_room(
        &self,
        organization: OrganizationId,
        room: RoomId,
        unit: UnitId,
        above: &LevelsAbove,
        owner: UserId,
        input: &AdHocInput,
    ) -> Result<CreateRoom, Error> {
        let details = RoomDetails {
            name: input.name.clone().unwrap_or_else(|| NAME_DEFAULT.into()),
            slug: ad_hoc_slug(room),
            description: String::new(),
            purpose: input.purpose,
            owner,
            logo_url: None,
            not_before: None,
            not_after: None,
        };
        let owner_active = self.user_state(organization, owner)?.is_active();
        Ok(CreateRoom { organization, room, unit, unit_living: above.unit_living(), details, owner_active })
    }
}
