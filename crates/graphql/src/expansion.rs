//! What a document costs when its fragments are expanded, without expanding them.

use std::collections::HashMap;

use crate::scan::Refused;

/// An operation or a fragment, with what stands in its own text.
#[derive(Default)]
pub(crate) struct Definition<'a> {
    /// `None` for an operation, whatever its name.
    pub(crate) fragment: Option<&'a str>,
    pub(crate) own: Cost,
    pub(crate) spreads: Vec<Spread<'a>>,
}

pub(crate) struct Spread<'a> {
    pub(crate) name: &'a str,
    /// Selection sets, and lists of an introspection, that are open around it.
    pub(crate) depth: u64,
    pub(crate) lists: u64,
    pub(crate) root: bool,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) selections: u64,
    pub(crate) roots: u64,
    pub(crate) depth: u64,
    pub(crate) lists: u64,
}

/// How far the walk through a fragment has come.
#[derive(Clone, Copy)]
enum Walk {
    NotYet,
    Begun,
    Done(Cost),
}

/// The cost of all operations together with their fragments expanded, each fragment counted once and then remembered.
pub(crate) fn expand(definitions: &[Definition<'_>]) -> Result<Cost, Refused> {
    let fragments: HashMap<&str, usize> =
        definitions.iter().enumerate().filter_map(|(index, one)| Some((one.fragment?, index))).collect();
    let mut walks = vec![Walk::NotYet; definitions.len()];
    let mut total = Cost::default();
    for (index, definition) in definitions.iter().enumerate() {
        let cost = cost_of(index, definitions, &fragments, &mut walks)?;
        total.depth = total.depth.max(cost.depth);
        total.lists = total.lists.max(cost.lists);
        if definition.fragment.is_none() {
            total.roots = total.roots.max(cost.roots);
            total.selections = total.selections.saturating_add(cost.selections);
        }
    }
    Ok(total)
}

/// Depth first with a stack of our own: a chain of fragments may be as long as the document.
fn cost_of(
    start: usize,
    definitions: &[Definition<'_>],
    fragments: &HashMap<&str, usize>,
    walks: &mut [Walk],
) -> Result<Cost, Refused> {
    let mut stack = vec![(start, 0_usize, definitions[start].own)];
    let mut result = Cost::default();
    while let Some((index, next, cost)) = stack.last_mut() {
        if *next == 0
            && let Walk::Done(known) = walks[*index]
        {
            result = known;
            stack.pop();
            continue;
        }
        walks[*index] = Walk::Begun;
        let Some(spread) = definitions[*index].spreads.get(*next) else {
            result = *cost;
            walks[*index] = Walk::Done(result);
            stack.pop();
            continue;
        };
        // An unknown fragment costs nothing; the validator names it.
        match fragments.get(spread.name).map(|&inner| (inner, walks[inner])) {
            None => *next += 1,
            Some((_, Walk::Begun)) => return Err(Refused::FragmentCycle { name: spread.name.to_owned() }),
            Some((_, Walk::Done(inner))) => {
                cost.selections = cost.selections.saturating_add(inner.selections);
                cost.depth = cost.depth.max(spread.depth.saturating_add(inner.depth));
                cost.lists = cost.lists.max(spread.lists.saturating_add(inner.lists));
                if spread.root {
                    cost.roots = cost.roots.saturating_add(inner.roots);
                }
                *next += 1;
            }
            Some((inner, Walk::NotYet)) => stack.push((inner, 0, definitions[inner].own)),
        }
    }
    Ok(result)
}
