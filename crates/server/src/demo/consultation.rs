//! The consultation itself, and what is read back of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    PEOPLE, Story,
    client::{Caller, Connection, text},
    organization::{Invited, Place, Setting},
};
use crate::failure::Failure;

/// How often a state that must come is looked for, and how many times.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOKS_MAX: usize = 150;

/// What was played.
pub struct Played {
    pub session: String,
    /// The moments to travel back to: what to call it, its position, and what was so.
    moments: Vec<(&'static str, String, Value)>,
    /// The live feed of the session, since before it began.
    feed: Connection,
    /// The position of the last event of the session.
    pub end: String,
}

/// Someone at the door, or in.
struct Entered {
    name: &'static str,
    participant: String,
    /// Calls with the resume secret.
    caller: Caller,
    position: String,
}

impl Story {
    pub async fn consultation(&mut self, place: &Place) -> Result<Played, Failure> {
        let (doctor, nobody) = (place.doctor.clone(), self.client.caller(None));
        let session = self.open(place).await?;
        let feed = "subscription($id: ID!, $after: Position) { sessionEvents(sessionId: $id, after: $after) \
             { position type recordedAt } }";
        let after = json!({ "id": session, "after": place.position });
        let feed = self.owner.subscribes("sessionEvents", feed, after).await?;
        let mut moments = Vec::new();

        self.teller.act("The patient knocks");
        let patient = self.knocks(&nobody, &place.patient, "Peter Lang").await?;
        self.status(&session, "The session waits", "WAITING").await?;
        moments.push(("when the patient had knocked", patient.position.clone(), json!(["WAITING", 0, 1])));

        self.teller.act("The doctor comes, and admits");
        let host = self.doctor_joins(&doctor, &session).await?;
        let _host_is_there = host.caller.connects().await?;
        self.status(&session, "The session is in progress", "IN_PROGRESS").await?;
        self.admits(&doctor, &session, &patient).await?;
        let line = patient.caller.connects().await?;
        let companion = self.knocks(&nobody, &place.companion, "Clara Lang").await?;
        self.admits(&doctor, &session, &companion).await?;
        let _companion_is_there = companion.caller.connects().await?;
        let in_now = self.present(&session).await?;
        self.teller.check("Three are in", &json!(3), &in_now["presentCount"])?;
        moments.push(("when all three were in", text(&in_now["position"]).to_owned(), json!(["IN_PROGRESS", 3, 0])));

        self.moderation(&doctor, &session, &patient, &companion).await?;
        drop(line);
        let _line = self.drops_and_returns(&session, &patient).await?;
        self.removes(&doctor, &session, &companion).await?;
        let end = self.ends(&doctor, &session).await?;
        moments.push(("when it had ended", end.clone(), json!(["CLOSED", 0, 0])));
        Ok(Played { session, moments, feed, end })
    }

    async fn open(&mut self, place: &Place) -> Result<String, Failure> {
        self.teller.act("A session is opened");
        let input =
            json!({ "roomId": place.room, "recordId": "patient file 4711", "settings": [{ "layout": "SPEAKER" }] });
        let ask = "session { id status recordId { value } settings { values { layout participantsMax } \
             sources { name locked source { level } } } }";
        let opened = place.doctor.does("openSession", "OpenSessionInput", input, ask).await?;
        let session = &opened["session"];
        self.teller.check("The doctor opens it; it is ready", &json!("READY"), &session["status"])?;
        self.teller.tell("Its settings are a copy of the room's, with one that the opener chose:");
        self.tell_settings(&session["settings"], &COPIED)?;
        let again = json!({ "roomId": place.room });
        let code = place.doctor.rejection("openSession", "OpenSessionInput", again).await?;
        self.teller.check("A second one in the same room is rejected", &json!("SESSION_LIVE"), &json!(code))?;
        Ok(text(&session["id"]).to_owned())
    }

    /// Exchanges the invitation for a join token, and redeems that by a knock.
    async fn knocks(&mut self, nobody: &Caller, invited: &Invited, name: &'static str) -> Result<Entered, Failure> {
        let input = json!({ "invitationId": invited.invitation, "secret": invited.secret });
        let ticket = nobody.does("exchangeInvitation", "ExchangeInvitationInput", input, "joinToken lobby").await?;
        self.teller.check(
            &format!("{name}'s invitation gives a join token, through the lobby"),
            &json!(true),
            &ticket["lobby"],
        )?;
        let input = json!({ "joinToken": ticket["joinToken"], "displayName": name, "device": "a browser" });
        let entered = nobody.does("knock", "KnockInput", input.clone(), "participantId state resumeSecret").await?;
        self.teller.check(&format!("{name} knocks"), &json!("KNOCKING"), &entered["state"])?;
        let code = nobody.rejection("knock", "KnockInput", input).await?;
        let what = "The token lets one in, once: the same knock again is rejected";
        self.teller.check(what, &json!("TOKEN_ALREADY_REDEEMED"), &json!(code))?;
        Ok(self.entered(name, &entered))
    }

    fn entered(&self, name: &'static str, payload: &Value) -> Entered {
        Entered {
            name,
            participant: text(&payload["participantId"]).to_owned(),
            caller: self.client.caller(Some(text(&payload["resumeSecret"]))),
            position: text(&payload["position"]).to_owned(),
        }
    }

    async fn doctor_joins(&mut self, doctor: &Caller, session: &str) -> Result<Entered, Failure> {
        let input = json!({ "sessionId": session });
        let ticket = doctor.does("createJoinToken", "CreateJoinTokenInput", input, "joinToken role").await?;
        let input = json!({ "joinToken": ticket["joinToken"], "displayName": "Dr. Inés Vega" });
        let joined = doctor.does("joinSession", "JoinSessionInput", input, "participantId state resumeSecret").await?;
        let found = json!([ticket["role"], joined["state"]]);
        self.teller.check("The doctor joins as host, without the lobby", &json!(["HOST", "JOINED"]), &found)?;
        Ok(self.entered("Dr. Inés Vega", &joined))
    }

    async fn admits(&mut self, doctor: &Caller, session: &str, who: &Entered) -> Result<(), Failure> {
        let input = json!({ "sessionId": session, "participantId": who.participant });
        doctor.does("admitParticipant", "ParticipantInput", input, "").await?;
        let input = json!({ "sessionId": session });
        let joined = who.caller.does("joinSession", "JoinSessionInput", input, "state").await?;
        self.teller.check(&format!("{} is admitted, and joins", who.name), &json!("JOINED"), &joined["state"])
    }

    async fn moderation(
        &mut self,
        doctor: &Caller,
        session: &str,
        patient: &Entered,
        companion: &Entered,
    ) -> Result<(), Failure> {
        self.teller.act("A mute, and a message");
        let input = json!({ "sessionId": session, "participantId": companion.participant, "source": "MICROPHONE" });
        doctor.does("muteParticipant", "MuteParticipantInput", input, "").await?;
        let seen = self.person(session, companion).await?;
        self.teller.check("The doctor mutes Clara Lang's microphone", &json!(["MICROPHONE"]), &seen["muted"])?;
        let said = "The pain is back since Tuesday.";
        let input = json!({ "sessionId": session, "text": said, "idempotencyKey": "message 1" });
        let sent = patient.caller.does("sendMessage", "SendMessageInput", input.clone(), "messageId").await?;
        let again = patient.caller.does("sendMessage", "SendMessageInput", input, "messageId").await?;
        let what = "Peter Lang writes; sent again with the same key it is the same message";
        self.teller.check(what, &sent["messageId"], &again["messageId"])?;
        let read = "query($id: ID!) { session(id: $id) { messages(first: 10) { edges { node { text { value } } } } } }";
        let chat = doctor.asks(read, json!({ "id": session })).await?;
        let first = &chat["session"]["messages"]["edges"][0]["node"]["text"]["value"];
        self.teller.check(&format!("The doctor reads: {said}"), &json!(said), first)?;
        let refused = self.owner.refusal(read, json!({ "id": session })).await?;
        let what = "The owner, who did not take part, may not read it";
        self.teller.check(what, &json!("FORBIDDEN"), &json!(refused))
    }

    async fn drops_and_returns(&mut self, session: &str, patient: &Entered) -> Result<Connection, Failure> {
        self.teller.act("The patient's line breaks, and comes back");
        self.state(session, patient, "Peter Lang's WebSocket is gone: his seat is kept for 30 s", "RECONNECTING")
            .await?;
        let line = patient.caller.connects().await?;
        let input = json!({ "sessionId": session });
        patient.caller.does("resumeParticipation", "SessionInput", input, "").await?;
        self.state(session, patient, "With his resume secret he is back", "JOINED").await?;
        Ok(line)
    }

    async fn removes(&mut self, doctor: &Caller, session: &str, who: &Entered) -> Result<(), Failure> {
        self.teller.act("One is removed");
        let reason = "Asked to leave for the examination";
        let input = json!({ "sessionId": session, "participantId": who.participant, "ban": true, "reason": reason });
        doctor.does("removeParticipant", "RemoveParticipantInput", input, "").await?;
        self.state(session, who, "The doctor removes Clara Lang, for this session", "REMOVED").await
    }

    async fn ends(&mut self, doctor: &Caller, session: &str) -> Result<String, Failure> {
        self.teller.act("The session ends");
        let input = json!({ "sessionId": session, "idempotencyKey": "end" });
        let ended =
            doctor.does("endSession", "SessionInput", input, "session { status endReason presentCount }").await?;
        let found =
            json!([ended["session"]["status"], ended["session"]["endReason"], ended["session"]["presentCount"]]);
        self.teller.check("The doctor ends it for all", &json!(["CLOSED", "ENDED_BY_HOST", 0]), &found)?;
        Ok(text(&ended["position"]).to_owned())
    }

    async fn present(&self, session: &str) -> Result<Value, Failure> {
        let document = format!("query($id: ID!) {{ session(id: $id) {{ status presentCount position {PEOPLE} }} }}");
        Ok(self.owner.asks(&document, json!({ "id": session })).await?["session"].clone())
    }

    async fn person(&self, session: &str, who: &Entered) -> Result<Value, Failure> {
        let seen = self.present(session).await?;
        let found = seen["participants"].as_array().into_iter().flatten().find(|it| it["id"] == *who.participant);
        found.cloned().ok_or_else(|| Failure::found_wrong(format!("{} is not among the participants", who.name)))
    }

    async fn status(&mut self, session: &str, what: &str, expected: &str) -> Result<(), Failure> {
        let seen = self.present(session).await?;
        self.teller.check(what, &json!(expected), &seen["status"])
    }

    /// Waits for a participant's state that the server notices by itself.
    async fn state(&mut self, session: &str, who: &Entered, what: &str, expected: &str) -> Result<(), Failure> {
        let mut seen = Value::Null;
        for _ in 0..LOOKS_MAX {
            seen = self.person(session, who).await?["state"].clone();
            if seen == expected {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.teller.check(what, &json!(expected), &seen)
    }

    /// Reads the history back, compares it with what the feed has shown, and travels to three moments of it.
    pub async fn history(&mut self, played: &mut Played) -> Result<(), Failure> {
        self.teller.act("The history is read back");
        let events = self.all_events(&played.session).await?;
        for event in &events {
            let at = text(&event["recordedAt"]).get(11..23).unwrap_or_default();
            let who = text(&event["actor"]["kind"]).to_lowercase();
            self.teller.tell(&format!("{:>3}  {at}  {who:12} {}", event["version"], text(&event["type"])));
        }
        let versions: Vec<_> = events.iter().map(|event| event["version"].clone()).collect();
        let gapless: Vec<_> = (0..events.len()).map(|version| json!(version)).collect();
        self.teller.check("Its versions have no gap", &json!(gapless), &json!(versions))?;
        let mut fed = Vec::new();
        for _ in &events {
            fed.push(played.feed.next().await?["position"].clone());
        }
        let positions: Vec<_> = events.iter().map(|event| event["position"].clone()).collect();
        self.teller.check("The live feed has shown each event once, in this order", &json!(positions), &json!(fed))?;

        self.teller.act("Three moments of it");
        for (when, position, expected) in &played.moments {
            let document = "query($id: ID!, $at: Position) { sessionAsOf(id: $id, position: $at) \
                 { status presentCount waitingCount } }";
            let at = json!({ "id": played.session, "at": position });
            let then = &self.owner.asks(document, at).await?["sessionAsOf"];
            let found = json!([then["status"], then["presentCount"], then["waitingCount"]]);
            let (status, present, waiting) = (text(&expected[0]), &expected[1], &expected[2]);
            let line = format!("Position {position}, {when}: {status}, {present} in, {waiting} at the door");
            self.teller.check(&line, expected, &found)?;
        }
        Ok(())
    }

    async fn all_events(&self, session: &str) -> Result<Vec<Value>, Failure> {
        let document = "query($id: ID!, $after: String) { session(id: $id) { history(first: 20, after: $after) \
             { edges { node { version position type recordedAt actor { kind } } } pageInfo { hasNextPage endCursor } } } }";
        let (mut events, mut after) = (Vec::new(), Value::Null);
        loop {
            let page = self.owner.asks(document, json!({ "id": session, "after": after })).await?;
            let page = &page["session"]["history"];
            events.extend(page["edges"].as_array().into_iter().flatten().map(|edge| edge["node"].clone()));
            if page["pageInfo"]["hasNextPage"] != true {
                return Ok(events);
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
    }
}

const COPIED: [Setting; 2] =
    [("participantsMax", "PARTICIPANTS_MAX", "6", "UNIT"), ("layout", "LAYOUT", "\"SPEAKER\"", "SESSION")];
