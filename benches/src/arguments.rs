//! The command line of `witan-bench`.

use std::path::PathBuf;

pub(crate) const HELP: &str = "\
Usage: cargo xtask bench [journal|replay|graphql|feed]… [--json] [--rounds N]

  journal   append throughput and p99 at 1, 16 and 256 writers, catching up, opening
  replay    rebuilding the read models
  graphql   a session by id, a durable mutation alone and at 256
  feed      from an event to 1,000 subscribers, the memory of 10,000 idle ones

      --json      one line of JSON a figure
      --rounds N  interleaved rounds, 10 if not said; with fewer a figure is not worth quoting";

/// Rounds below which a median says little.
pub(crate) const ROUNDS_MIN: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Journal,
    Replay,
    Graphql,
    Feed,
}

impl Group {
    const ALL: [Group; 4] = [Group::Journal, Group::Replay, Group::Graphql, Group::Feed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Group::Journal => "journal",
            Group::Replay => "replay",
            Group::Graphql => "graphql",
            Group::Feed => "feed",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) groups: Vec<Group>,
    pub(crate) json: bool,
    pub(crate) rounds: usize,
    /// Be the bare server that answers what this file holds: how the benchmark starts its own baseline.
    pub(crate) bare: Option<PathBuf>,
    /// Be the process that opens this journal once.
    pub(crate) open: Option<PathBuf>,
}

impl Arguments {
    /// `None` when help was asked for.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
        let mut parsed = Arguments { groups: Vec::new(), json: false, rounds: ROUNDS_MIN, bare: None, open: None };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--json" => parsed.json = true,
                "--rounds" => parsed.rounds = parse_rounds(arguments.next())?,
                "--bare" => parsed.bare = Some(arguments.next().ok_or("--bare needs a file")?.into()),
                "--open" => parsed.open = Some(arguments.next().ok_or("--open needs a folder")?.into()),
                name => match Group::ALL.into_iter().find(|group| group.name() == name) {
                    Some(group) => parsed.groups.push(group),
                    None => return Err(format!("there is no group and no flag `{name}`")),
                },
            }
        }
        if parsed.groups.is_empty() {
            parsed.groups = Group::ALL.to_vec();
        }
        if parsed.rounds < ROUNDS_MIN {
            eprintln!("witan-bench: fewer than {ROUNDS_MIN} rounds: don't quote these figures");
        }
        Ok(Some(parsed))
    }
}

fn parse_rounds(value: Option<String>) -> Result<usize, String> {
    let value = value.ok_or("--rounds needs a number")?;
    match value.parse() {
        Ok(rounds) if rounds > 0 => Ok(rounds),
        _ => Err(format!("--rounds takes a number from 1, not `{value}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Arguments>, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn everything_is_measured_unless_groups_are_named() {
        assert_eq!(parse("").unwrap().unwrap().groups, Group::ALL);
        let two = parse("journal feed --json --rounds 20").unwrap().unwrap();
        assert_eq!((two.groups, two.json, two.rounds), (vec![Group::Journal, Group::Feed], true, 20));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for line in ["jounral", "--rounds", "--rounds 0", "--rounds ten", "--jsn"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
