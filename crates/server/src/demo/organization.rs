//! Units, a doctor, a room, and settings from every level.

use serde_json::{Value, json};

use super::{
    Story,
    client::{Caller, text},
};
use crate::{clock, failure::Failure};

/// For how long the invitations are good.
const WINDOW_SECONDS: i64 = 24 * 3600;

/// Where the consultation takes place.
pub struct Place {
    pub organization: String,
    pub room: String,
    pub doctor: Caller,
    /// The position of the last event before the session.
    pub position: String,
    pub patient: Invited,
    pub companion: Invited,
}

/// Someone who has nothing but an invitation.
pub struct Invited {
    pub invitation: String,
    pub secret: String,
}

impl Story {
    pub async fn organization(&mut self) -> Result<Place, Failure> {
        let seen = self.owner.asks("{ viewer { organizationId } }", json!({})).await?;
        let organization = text(&seen["viewer"]["organizationId"]).to_owned();
        self.teller.act("Two units, and a doctor");
        let medicine = self.unit("medicine", "Medicine", None).await?;
        let cardiology = self.unit("cardiology", "Cardiology", Some(&medicine)).await?;
        let doctor = self.doctor(&cardiology).await?;
        let room = self.room(&medicine, &cardiology).await?;
        self.teller.act("Two invitations");
        let patient = self.invitation(&room, "Peter Lang", "PARTICIPANT").await?;
        let companion = self.invitation(&room, "Clara Lang", "GUARDIAN").await?;
        let nobody = self.client.caller(None);
        let early = json!({ "invitationId": patient.invitation, "secret": patient.secret });
        let code = nobody.rejection("exchangeInvitation", "ExchangeInvitationInput", early).await?;
        self.teller.check("Nobody can come in yet: no session is open", &json!("NO_LIVE_SESSION"), &json!(code))?;
        let newest = self.owner.asks("{ auditTrail(last: 1) { edges { node { position } } } }", json!({})).await?;
        let position = text(&newest["auditTrail"]["edges"][0]["node"]["position"]).to_owned();
        Ok(Place { organization, room, doctor, position, patient, companion })
    }

    async fn unit(&mut self, slug: &str, name: &str, parent: Option<&str>) -> Result<String, Failure> {
        let slug = format!("{slug}-{}", self.tag);
        let input = json!({ "slug": slug, "fullName": name, "parentId": parent });
        let payload = self.owner.does("createUnit", "CreateUnitInput", input, "unit { id path { fullName } }").await?;
        let unit = &payload["unit"];
        let path: Vec<&str> = unit["path"].as_array().into_iter().flatten().map(|it| text(&it["fullName"])).collect();
        self.teller.tell(&format!("Unit {}", path.join(" › ")));
        Ok(text(&unit["id"]).to_owned())
    }

    async fn doctor(&mut self, unit: &str) -> Result<Caller, Failure> {
        let input = json!({ "login": format!("vega-{}", self.tag), "name": "Dr. Inés Vega", "unitId": unit });
        let created = self.owner.does("createUser", "CreateUserInput", input, "user { id name { value } }").await?;
        let user = text(&created["user"]["id"]).to_owned();
        let grant = json!({ "userId": user, "role": "HOST", "unitId": unit });
        self.owner.does("grantRole", "GrantRoleInput", grant, "").await?;
        let key = json!({ "userId": user, "name": "The doctor's application" });
        let key = self.owner.does("createApiKey", "CreateApiKeyInput", key, "secret").await?;
        let doctor = self.client.caller(Some(text(&key["secret"])));
        self.teller.tell(&format!(
            "{} gets an account, the role host in Cardiology, and a key",
            text(&created["user"]["name"]["value"])
        ));
        let refused = doctor.refusal(
            "mutation($input: SetOrganizationSettingsInput!) { setOrganizationSettings(input: $input) { position } }",
            json!({ "input": { "settings": {} } }),
        );
        let refused = refused.await?;
        self.teller.check("A host may not change the organization's settings", &json!("FORBIDDEN"), &json!(refused))?;
        Ok(doctor)
    }

    async fn room(&mut self, medicine: &str, cardiology: &str) -> Result<String, Failure> {
        self.teller.act("A room whose settings come from several levels");
        let lock = json!({ "settings": { "set": { "durationMaxMinutes": 60, "chat": true }, "lock": ["CHAT"] } });
        self.owner.does("setOrganizationSettings", "SetOrganizationSettingsInput", lock, "").await?;
        self.teller.tell("The organization sets the maximum duration, and locks chat");
        let settings = json!({ "unitId": medicine, "settings": { "set": { "participantsMax": 6 } } });
        self.owner.does("setUnitSettings", "SetUnitSettingsInput", settings, "").await?;
        self.teller.tell("The unit Medicine sets the maximum of participants");
        let slug = format!("room-{}", self.tag);
        let input = json!({ "unitId": cardiology, "name": "Cardiology consultations", "slug": slug, "purpose": "CONSULTATION" });
        let created = self.owner.does("createRoom", "CreateRoomInput", input, "room { id }").await?;
        let room = text(&created["room"]["id"]).to_owned();
        self.teller.tell("The room's purpose is consultation: by invitation, through a lobby");
        let settings = json!({ "roomId": room, "settings": { "set": { "emptyTimeoutMinutes": 15 } } });
        self.owner.does("setRoomSettings", "SetRoomSettingsInput", settings, "").await?;
        let off = json!({ "roomId": room, "settings": { "set": { "chat": false } } });
        let code = self.owner.rejection("setRoomSettings", "SetRoomSettingsInput", off).await?;
        self.teller.check(
            "The room can't turn chat off: it is locked above",
            &json!("SETTING_LOCKED"),
            &json!(code),
        )?;
        let document = "query($id: ID!) { room(id: $id) { effectiveSettings { \
             values { screenShare lobby durationMaxMinutes participantsMax emptyTimeoutMinutes chat } \
             sources { name locked source { level } } } } }";
        let seen = self.owner.asks(document, json!({ "id": room })).await?;
        self.tell_settings(&seen["room"]["effectiveSettings"], &EFFECTIVE)?;
        Ok(room)
    }

    /// One line for each setting: its value and the level that it comes from.
    pub fn tell_settings(&mut self, settings: &Value, expected: &[Setting]) -> Result<(), Failure> {
        for (field, name, value, level) in expected {
            let found = settings["sources"].as_array().into_iter().flatten().find(|source| source["name"] == *name);
            let source = found.map(|source| &source["source"]["level"]).unwrap_or(&Value::Null);
            let locked = found.is_some_and(|source| source["locked"] == true);
            let lock = if locked { ", locked" } else { "" };
            let shown = &settings["values"][field];
            let line = format!("{field:20} {:6} from {level}{lock}", shown.to_string());
            let expected: Value = serde_json::from_str(value).unwrap_or(Value::Null);
            self.teller.check(&line, &json!([expected, level]), &json!([shown, source]))?;
        }
        Ok(())
    }

    async fn invitation(&mut self, room: &str, name: &str, role: &str) -> Result<Invited, Failure> {
        let until = jiff::Timestamp::from_microsecond(clock::now().micros() as i64)
            .and_then(|now| now.checked_add(jiff::SignedDuration::from_secs(WINDOW_SECONDS)))
            .map_err(|error| Failure::caused("the clock", &error))?;
        let input = json!({ "roomId": room, "displayName": name, "role": role, "notAfter": until.to_string() });
        let made =
            self.owner.does("createInvitation", "CreateInvitationInput", input, "invitation { id } secret").await?;
        self.teller.tell(&format!("{name} is invited as {}; the secret is shown once", role.to_lowercase()));
        let (invitation, secret) = (text(&made["invitation"]["id"]).to_owned(), text(&made["secret"]).to_owned());
        Ok(Invited { invitation, secret })
    }
}

/// A setting's field, its name, its value as JSON, and the level that it comes from.
pub type Setting = (&'static str, &'static str, &'static str, &'static str);

const EFFECTIVE: [Setting; 6] = [
    ("screenShare", "SCREEN_SHARE", "true", "BUILT_IN"),
    ("lobby", "LOBBY", "true", "PURPOSE"),
    ("durationMaxMinutes", "DURATION_MAX_MINUTES", "60", "ORGANIZATION"),
    ("chat", "CHAT", "true", "ORGANIZATION"),
    ("participantsMax", "PARTICIPANTS_MAX", "6", "UNIT"),
    ("emptyTimeoutMinutes", "EMPTY_TIMEOUT_MINUTES", "15", "ROOM"),
];
