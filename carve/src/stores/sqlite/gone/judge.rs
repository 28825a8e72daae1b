//! What became of each candidate: a copy of a live row, an older version of one, or a row that is gone.

use super::kin;
use super::live::Live;
use super::{Dead, Search};
use crate::model::{State, Transaction};
use mudlark_parsers::sqlite::freed::RowidLeft;
use std::collections::{HashMap, HashSet};

/// A version of a row that is not live, with all places where it was seen.
#[derive(Debug)]
pub(super) struct Judged {
    pub state: State,
    pub transaction: Transaction,
    pub dead: Dead,
    /// Further places: page and candidate.
    pub also: Vec<Dead>,
}

/// What tells one row from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Identity {
    Rowid(i64),
    Key(u64),
    /// Nothing but its cells.
    Content(u64),
    /// Not even those: a part of a row.
    Part(u32, u32),
}

pub(super) fn judge(search: &Search<'_, '_>, live: &Live<'_, '_, '_>, dead: Vec<Dead>) -> Vec<Judged> {
    // A row id that was not read, or that VACUUM may have changed, is no proof against a live row with the same cells.
    let renumbered = search.layout.alias().is_none();
    let is_copy = |dead: &Dead| {
        let sure = matches!(dead.freed.rowid, RowidLeft::Whole(_)) && !renumbered;
        search.tree.rowids
            && !sure
            && dead.content.is_some_and(|content| live.holds(content))
            && dead.rowid.is_none_or(|rowid| live.find(rowid).is_none())
    };
    let mut groups: HashMap<Identity, Vec<Dead>> = HashMap::new();
    let mut known_contents: HashSet<u64> = HashSet::new();
    for dead in dead.into_iter().filter(|dead| !is_copy(dead)) {
        let identity = match (dead.rowid, dead.key, dead.content) {
            (Some(rowid), _, _) if search.tree.rowids => Identity::Rowid(rowid),
            (_, Some(key), _) => Identity::Key(key),
            (_, _, Some(content)) => Identity::Content(content),
            _ => Identity::Part(dead.page, dead.freed.cell.at),
        };
        if !matches!(identity, Identity::Content(_) | Identity::Part(..)) {
            known_contents.extend(dead.content);
        }
        groups.entry(identity).or_default().push(dead);
    }
    let mut groups: Vec<(Identity, Vec<Dead>)> = groups.into_iter().collect();
    groups.sort_by_key(|(identity, _)| *identity);
    let mut judged = Vec::new();
    for (identity, mut group) in groups {
        // The latest first; a whole row before a part of it.
        group.sort_by_key(|dead| {
            let place = (dead.page, dead.freed.cell.at);
            (dead.content.is_none(), std::cmp::Reverse(dead.newness), dead.claims.bits(), place)
        });
        let standing = match identity {
            Identity::Rowid(rowid) => live.content_of(rowid),
            Identity::Key(key) => live.by_key(key),
            Identity::Content(content) => {
                if live.holds(content) || known_contents.contains(&content) {
                    continue;
                }
                None
            }
            Identity::Part(..) => None,
        };
        if let Identity::Rowid(rowid) = identity {
            group.retain(|dead| {
                let columns = dead.freed.serials.len();
                !dead.content.is_some_and(|short| live.is_grown(rowid, short, columns))
            });
        }
        // A key that was given to another row since.
        let place = match identity {
            Identity::Rowid(rowid) => live.find(rowid),
            _ => None,
        };
        let newest = group.iter().filter(|dead| !dead.uncommitted).max_by_key(|dead| dead.newness);
        let reused = newest.zip(place).is_some_and(|(dead, place)| kin::is_stranger(search, dead, place));
        versions(standing, reused, group, &mut judged);
    }
    judged.sort_by_key(|judged| {
        (judged.dead.rowid.is_none(), judged.dead.rowid, judged.dead.page, judged.dead.freed.cell.at)
    });
    judged
}

/// The versions of one row. `standing` is the live one: its content where that is whole; `reused` when it is another row.
fn versions(standing: Option<Option<u64>>, reused: bool, group: Vec<Dead>, judged: &mut Vec<Judged>) {
    let mut found: Vec<Judged> = Vec::new();
    let any_whole = standing.flatten().is_some() || group.iter().any(|dead| dead.content.is_some());
    for dead in group {
        let is_standing = standing.is_some_and(|standing| standing.is_none() || standing == dead.content);
        // A part says nothing where the whole is known.
        if is_standing || dead.content.is_none() && any_whole {
            continue;
        }
        if let Some(same) = found.iter_mut().find(|other| other.dead.content == dead.content) {
            if !dead.uncommitted {
                same.dead.uncommitted = false;
            }
            same.also.push(dead);
            continue;
        }
        found.push(Judged {
            state: State::Unknown,
            transaction: Transaction::Committed,
            dead,
            also: Vec::new(),
        });
    }
    let mut gone = standing.is_some() && !reused;
    for mut version in found {
        (version.state, version.transaction) = if version.dead.uncommitted {
            (State::Later, Transaction::InDoubt)
        } else if gone {
            (State::Superseded, Transaction::Committed)
        } else {
            gone = true;
            (State::Deleted, Transaction::Committed)
        };
        judged.push(version);
    }
}
