//! A level's policies as they are asked for: with passwords in clear, which are hashed before anything else sees them.

use std::fmt;

use witan_auth::Password;
use witan_domain::policy::{self, Grant, Listing, PolicyLevel, Rules, Who};
use zeroize::Zeroizing;

use crate::{App, Error};

/// What a level is to say of the policies, in place of all that it said before.
#[derive(Default)]
pub struct PoliciesInput {
    pub set: RulesInput,
    pub floor: RulesInput,
}

#[derive(Default)]
pub struct RulesInput {
    pub open: Option<Vec<GrantInput>>,
    pub join: Option<Vec<GrantInput>>,
    pub list: Option<Listing>,
}

pub struct GrantInput {
    pub who: WhoInput,
    pub lobby: bool,
}

pub enum WhoInput {
    Those(Who),
    /// Whoever knows the password: this one, or, where none is given, the one that the same list has already.
    Password(Option<String>),
}

/// A password must not reach a log line by accident.
impl fmt::Debug for WhoInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Those(who) => who.fmt(f),
            Self::Password(_) => f.write_str("who knows the password"),
        }
    }
}

/// The same with every new password hashed.
pub(crate) struct Hashed(PoliciesInput);

impl App {
    /// Hashes the passwords that are new: before the level's turn, since it takes its time.
    pub(crate) async fn hash_passwords(&self, level: &str, mut input: PoliciesInput) -> Result<Hashed, Error> {
        input.check_counts()?;
        let lists = [&mut input.set.open, &mut input.set.join, &mut input.floor.open, &mut input.floor.join];
        for grant in lists.into_iter().flatten().flatten() {
            if let WhoInput::Password(new @ Some(_)) = &mut grant.who
                && let Some(new) = new.take()
            {
                let new = Zeroizing::new(new);
                let password =
                    Password::try_new(&new).map_err(|error| Error::invalid("password", error.to_string()))?;
                let hash = self.passwords.hash(level.to_owned(), password).await?;
                grant.who = WhoInput::Those(Who::Password(hash));
            }
        }
        Ok(Hashed(input))
    }
}

impl PoliciesInput {
    /// A hash costs much: nobody has more of them made than can be set.
    fn check_counts(&self) -> Result<(), Error> {
        for rules in [&self.set, &self.floor] {
            for (field, list) in [("open", &rules.open), ("join", &rules.join)] {
                let grants = list.as_deref().unwrap_or_default();
                let passwords = grants.iter().filter(|grant| matches!(grant.who, WhoInput::Password(_))).count();
                policy::counts_valid(field, grants.len(), passwords).map_err(Error::rejected)?;
            }
        }
        Ok(())
    }

    /// Whether there is something to hash: nobody makes the server do so who may not set the policies.
    pub(crate) fn has_new_password(&self) -> bool {
        let lists = [&self.set.open, &self.set.join, &self.floor.open, &self.floor.join];
        let new = |grant: &GrantInput| matches!(grant.who, WhoInput::Password(Some(_)));
        lists.into_iter().flatten().flatten().any(new)
    }
}

impl Hashed {
    /// The policies, with the passwords that are kept taken from what the level says now.
    pub fn over(self, before: &PolicyLevel) -> Result<PolicyLevel, Error> {
        Ok(PolicyLevel { set: rules(self.0.set, &before.set)?, floor: rules(self.0.floor, &before.floor)? })
    }
}

fn rules(input: RulesInput, before: &Rules) -> Result<Rules, Error> {
    let list = |field, input: Option<Vec<GrantInput>>, before: &Option<Vec<Grant>>| {
        let before = before.as_deref().unwrap_or_default();
        let grants = input.map(|grants| grants.into_iter().map(|one| grant(field, one, before)).collect());
        grants.transpose()
    };
    Ok(Rules {
        open: list("open", input.open, &before.open)?,
        join: list("join", input.join, &before.join)?,
        list: input.list,
    })
}

fn grant(field: &'static str, input: GrantInput, before: &[Grant]) -> Result<Grant, Error> {
    let who = match input.who {
        WhoInput::Those(who) => who,
        WhoInput::Password(_) => {
            let kept = policy::password(before).ok_or_else(|| {
                let message = format!("password is missing: the {field} list has none to keep; expected a new one");
                Error::invalid("password", message)
            })?;
            Who::Password(kept.clone())
        }
    };
    Ok(Grant { who, lobby: input.lobby })
}
