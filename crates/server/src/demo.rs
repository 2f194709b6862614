//! `witan demo`: plays a consultation against a running server, through its public API only, and tells it line by line.
//! What is not as told ends it with an exit code.

mod client;
mod consultation;
mod organization;
mod proof;
mod teller;

use std::path::PathBuf;

use client::{Caller, Client, text};
use serde_json::json;
use teller::Teller;
use tokio::sync::watch;

use crate::{
    admin::{self, Answer, NewOrganization, Question, Step},
    clock,
    config::Config,
    data_folder,
    failure::Failure,
};

/// What the command line says.
pub struct Options {
    pub url: Option<String>,
    pub api_key: Option<String>,
    pub bundle: Option<PathBuf>,
    pub json: bool,
}

/// Who tells, who plays, and what they have made so far.
struct Story {
    teller: Teller,
    client: Client,
    owner: Caller,
    /// Tells this story's names from those of an earlier one.
    tag: String,
}

pub async fn demo(config: &Config, options: Options) -> Result<(), Failure> {
    let url = options.url.unwrap_or_else(|| format!("http://{}", config.listen));
    let client = Client::try_new(&url)?;
    let mut teller = Teller::new(options.json);
    let tag = format!("{:06x}", u32::from_be_bytes(clock::random()) >> 8);
    teller.act("An organization");
    let api_key = match options.api_key {
        Some(api_key) => api_key,
        None => new_organization(config, &client, &mut teller, &tag).await?,
    };
    let owner = client.caller(Some(&api_key));
    let mut story = Story { teller, client, owner, tag };
    let kept = story.greeting().await?;
    let place = story.organization().await?;
    let mut played = story.consultation(&place).await?;
    story.history(&mut played).await?;
    let bundle = story.proofs(&played, &kept, options.bundle).await?;
    story.teller.end(&[
        ("organization", place.organization.clone()),
        ("session", played.session.clone()),
        ("api key", api_key),
        ("bundle", bundle.display().to_string()),
    ]);
    Ok(())
}

/// Asks the running server, by its operator's socket, for an organization of the story's own.
async fn new_organization(config: &Config, client: &Client, teller: &mut Teller, tag: &str) -> Result<String, Failure> {
    data_folder::check(&config.data)?;
    let failed = |error| Failure::caused("the running server did not answer", &error);
    let (steps, _told) = watch::channel(Step::default());
    if admin::ask(&config.data, &Question::ListOrganizations, &steps).await.map_err(failed)?.is_none() {
        let data = config.data.display();
        return Err(Failure::new(format!(
            "no server runs on the data folder {data}: start one with `witan serve` (or `cargo xtask run`) in another \
             terminal, name its folder with --data, or give an owner's key with --api-key"
        )));
    }
    // Before anything is made: an organization that nobody can call for would stay in the log.
    client.caller(None).asks("{ __typename }", json!({})).await?;
    let new = NewOrganization {
        slug: format!("north-clinic-{tag}"),
        name: "North Clinic".into(),
        owner_login: "anna".into(),
        owner_name: "Anna Keller".into(),
        owner_email: None,
    };
    let answer = admin::ask(&config.data, &Question::CreateOrganization(new), &steps).await;
    match answer.map_err(failed)? {
        Some(Answer::OrganizationCreated(created)) => {
            teller.tell(&format!(
                "The operator makes {} ({}), its owner, and an API key",
                created.slug, created.organization
            ));
            Ok(created.api_key)
        }
        Some(Answer::Refused { why }) => Err(Failure::new(why)),
        Some(_) => Err(Failure::new("the server answered another question: is it another version?")),
        None => Err(Failure::new("the server has just stopped: start it again, and then the demo")),
    }
}

impl Story {
    /// Who we are, and a checkpoint to keep from before.
    async fn greeting(&mut self) -> Result<proof::Kept, Failure> {
        let seen = self.owner.asks("{ viewer { kind organization { slug status } } }", json!({})).await?;
        let viewer = &seen["viewer"];
        self.teller.check("Its owner calls with the key, and is a user", &json!("USER"), &viewer["kind"])?;
        let slug = text(&viewer["organization"]["slug"]).to_owned();
        self.teller.check(&format!("{slug} is active"), &json!("ACTIVE"), &viewer["organization"]["status"])?;
        let kept = self.keep_checkpoint().await?;
        self.teller.tell(&format!("An auditor keeps the log's signed checkpoint: {} events so far", kept.size));
        Ok(kept)
    }
}

/// What each session document asks of participants.
const PEOPLE: &str = "participants { id role state displayName { value } muted timeline { step detail } }";
