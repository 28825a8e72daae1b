//! What became of each candidate: a copy of a live row, an older version of one, or a row that is gone.

use super::kin;
use super::live::Live;
use super::{Dead, Search};
use crate::model::{State, Transaction};
use mudlark_parsers::claim::Claim;
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
pub(in super::super) enum Identity {
    Rowid(i64),
    Key(u64),
    /// Nothing but its cells.
    Content(u64),
    /// Not even those: a part of a row, by its place.
    Part(u32, u32),
    /// Cells that many rows have, at this place.
    Common(u64, u32, u32),
}

/// Bytes of cells that two rows seldom share by accident; a row of fewer is no other's copy because their cells are equal.
const TELLING: u64 = 8;

/// So many live rows have the same cells that a further one may be anyone's.
const MANY: u32 = 8;

/// The rows of which committed versions were found.
pub(super) fn identities(search: &Search<'_, '_>, judged: &[Judged]) -> HashSet<Identity> {
    let committed = judged.iter().filter(|judged| !judged.dead.uncommitted);
    let identity = |judged: &Judged| match (judged.dead.rowid, judged.dead.key) {
        (Some(rowid), _) if search.tree.rowids => Some(Identity::Rowid(rowid)),
        (_, key) => key.map(Identity::Key),
    };
    committed.filter_map(identity).collect()
}

pub(super) fn judge(search: &Search<'_, '_>, live: &Live<'_, '_, '_>, dead: Vec<Dead>) -> Vec<Judged> {
    // A row id that was not read, or that VACUUM may have changed, is no proof against a live row with the same cells.
    let renumbered = search.layout.alias().is_none();
    // Cells that no live row has, or many have: neither is a copy of the one that has them.
    let is_short = |dead: &Dead| dead.freed.serials.iter().map(|serial| serial.len()).sum::<u64>() < TELLING;
    let is_common = |dead: &Dead| {
        search.tree.rowids
            && dead.rowid.is_none()
            && is_short(dead)
            && dead.content.is_some_and(|content| !(1..MANY).contains(&live.holds(content)))
    };
    let has_own_id = |dead: &Dead| dead.rowid.is_some() && is_short(dead) && !renumbered;
    let is_copy = |dead: &Dead| {
        let sure = matches!(dead.freed.rowid, RowidLeft::Whole(_)) && !renumbered;
        search.tree.rowids
            && !sure
            && !is_common(dead)
            && !has_own_id(dead)
            && dead.content.is_some_and(|content| live.holds(content) > 0)
            && dead.rowid.is_none_or(|rowid| live.find(rowid).is_none())
    };
    let mut groups: HashMap<Identity, Vec<Dead>> = HashMap::new();
    let mut known_contents: HashSet<u64> = HashSet::new();
    for mut dead in dead.into_iter().filter(|dead| !is_copy(dead)) {
        let identity = match (dead.rowid, dead.key, dead.content) {
            (Some(rowid), _, _) if search.tree.rowids => Identity::Rowid(rowid),
            (_, Some(key), _) => Identity::Key(key),
            (_, _, Some(content)) if is_common(&dead) => {
                dead.claims = dead.claims.with(Claim::CellsCommon);
                let page = search.database.view.page(dead.page).map_or(0, |page| page.number);
                Identity::Common(content, page, dead.freed.cell.at)
            }
            (_, _, Some(content)) => Identity::Content(content),
            _ => Identity::Part(dead.page, dead.freed.cell.at),
        };
        if matches!(identity, Identity::Rowid(_) | Identity::Key(_)) {
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
                if live.holds(content) > 0 || known_contents.contains(&content) {
                    continue;
                }
                None
            }
            Identity::Part(..) | Identity::Common(..) => None,
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
        // Altering the table gave the row a version of a later shape, which was found too.
        let went_on = search.went_on.contains(&identity);
        let replaced = standing.is_some() && !reused || went_on;
        versions(standing, replaced, search.nameless, group, &mut judged);
    }
    judged.sort_by_key(|judged| {
        (judged.dead.rowid.is_none(), judged.dead.rowid, judged.dead.page, judged.dead.freed.cell.at)
    });
    judged
}

/// The versions of one row. `standing` is what is live under its key: its content where that is whole; `replaced` when a
/// later version than those of the group is known; `nameless` when nothing is known of the table but its old rows.
fn versions(
    standing: Option<Option<u64>>,
    replaced: bool,
    nameless: bool,
    group: Vec<Dead>,
    judged: &mut Vec<Judged>,
) {
    let mut found: Vec<Judged> = Vec::new();
    let any_whole = standing.flatten().is_some() || group.iter().any(|dead| dead.content.is_some());
    for dead in group {
        let is_standing = standing.is_some_and(|standing| standing.is_none() || standing == dead.content);
        // A part says nothing where the whole is known.
        if is_standing || dead.content.is_none() && any_whole {
            continue;
        }
        if let Some(same) = found.iter_mut().find(|other| other.dead.content == dead.content) {
            same.dead.uncommitted &= dead.uncommitted;
            same.dead.undecided &= dead.undecided;
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
    let mut gone = replaced;
    for mut version in found {
        if nameless && version.dead.claims.has(Claim::FromTempFile) {
            (version.state, version.transaction) = (State::Unknown, Transaction::Unknown);
            judged.push(version);
            continue;
        }
        (version.state, version.transaction) = if version.dead.uncommitted {
            (State::Later, Transaction::InDoubt)
        } else if gone {
            (State::Superseded, Transaction::Committed)
        } else {
            gone = true;
            (State::Deleted, Transaction::Committed)
        };
        if version.dead.undecided && !version.dead.uncommitted {
            version.transaction = Transaction::Unknown;
        }
        judged.push(version);
    }
}
