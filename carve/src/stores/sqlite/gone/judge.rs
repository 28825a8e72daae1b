//! What became of each candidate: a copy of a live row, an older version of one, or a row that is gone.

use super::super::history::{IdSince, IdsSince, OfTable};
use super::super::ids::RowIds;
use super::super::rank::Ranked;
use super::also::Also;
use super::chance;
use super::doubt::Doubt;
use super::kin::{self, Shared};
use super::live::Live;
use super::reused::Later;
use super::{Candidate, Dead, Numbering, Search, vacuumed};
use crate::model::{State, Transaction};
use foldhash::fast::RandomState;
use mudlark_parsers::claim::Claim;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::freed::RowidLeft;
use mudlark_parsers::sqlite::page::Page;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

/// A version of a row that is not live, with all places where it was seen.
#[derive(Debug)]
pub(super) struct Judged {
    pub state: State,
    pub transaction: Transaction,
    pub dead: Candidate,
    /// Further places: page and candidate.
    pub also: Also,
}

/// What tells one row from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in super::super) enum Identity {
    Rowid(i64),
    Key(u64),
    /// A row id that it had before VACUUM gave others; it was gone by then.
    Former(i64),
    /// Nothing but its cells.
    Content(u64),
    /// Not even those: a part of a row, by its place.
    Part(u32, u32),
    /// Cells that many rows have, at this place.
    Common(u64, u32, u32),
}

/// So many live rows have the same cells that a further one may be anyone's.
const MANY: u32 = 8;

/// Rows that are compared with another one at most, to learn what two rows share by accident.
const MOST_COMPARED: usize = 512;

/// Candidates that are too few to share among threads.
const SHARE: usize = 64;

/// Groups whose versions are judged before those of the next ones are, and take no memory twice.
const AT_ONCE: usize = 1 << 16;

/// The rows of which committed versions were found.
pub(super) fn identities(search: &Search<'_, '_>, judged: &[Judged]) -> HashSet<Identity> {
    // Of what an index entry holds nothing tells the shape.
    let is_row = |judged: &&Judged| {
        let dead = &judged.dead;
        !dead.uncommitted && !dead.later && dead.projection.is_none()
    };
    let committed = judged.iter().filter(is_row);
    let identity = |judged: &Judged| match (judged.dead.rowid, &judged.dead.key) {
        (Some(rowid), _) if search.tree.rowids => Some(Identity::Rowid(rowid)),
        (_, key) => key.as_ref().map(|key| Identity::Key(key.key as u64)),
    };
    committed.filter_map(identity).collect()
}

/// What is known of a table's rows.
pub(super) struct Known<'k> {
    /// When they stood, where a log tells.
    pub history: Option<&'k OfTable<'k>>,
    /// Cells of rows that have a row id and were judged before.
    pub contents: &'k HashSet<u64>,
    /// Rows of which a version of a later shape is gone too.
    pub went_on: &'k HashSet<Identity>,
}

pub(super) fn judge(
    search: &Search<'_, '_>,
    live: &Live<'_, '_, '_>,
    Known { history, contents: known, went_on }: Known<'_>,
    mut dead: Vec<Candidate>,
) -> Vec<Judged> {
    renumber(search, &mut dead);
    vacuumed::renumber(search, live, &mut dead);
    know_again(search, &mut dead);
    // A row id that was not read, or that VACUUM may have changed, is no proof against a live row with the same cells. It
    // writes all pages anew: only versions of them that are older may have other ids.
    let renumbered = search.layout.alias().is_none();
    let may_have_other_id = |dead: &Dead| renumbered && search.database.view.is_old(dead.page);
    // Cells that no live row has, or many have: neither is a copy of the one that has them.
    let lacks_id = |dead: &Dead| search.tree.rowids && dead.rowid.is_none() && dead.is_short();
    let held = dead.iter().filter(|dead| lacks_id(dead)).filter_map(|dead| Some(live.holds(dead.content?)));
    let many = if chance::explains(search, held) { 1 } else { MANY };
    let is_common = |dead: &Dead| {
        lacks_id(dead) && dead.content.is_some_and(|content| !(1..many).contains(&live.holds(content)))
    };
    let has_own_id = |dead: &Dead| {
        let is_sure = !renumbered || !dead.freed.first_solved && !may_have_other_id(dead);
        dead.rowid.is_some() && dead.is_short() && is_sure
    };
    let is_read = |dead: &Dead| matches!(dead.freed.rowid, RowidLeft::Whole(_));
    let went_to_other_ids = renumbered && search.tree.rowids && went_to_other_ids(live, &dead);
    // Under an id of its own that VACUUM has changed since.
    let is_telling = |dead: &Dead| is_read(dead) && (!dead.is_short() || went_to_other_ids);
    let log = search.database.log.as_ref();
    let may_hide_vacuum = search.damaged && log.is_none_or(|(_, log)| log.may_hold_vacuum());
    // The log tells that they went, unless damage hides that VACUUM gave them other ids.
    let has_ended = |dead: &Dead| {
        let history = history.filter(|_| !may_hide_vacuum);
        let known = history.zip(dead.rowid.filter(|_| is_read(dead))).zip(dead.content);
        known.is_some_and(|((history, rowid), content)| history.has_ended(Ranked::of_rowid(rowid), content))
    };
    let is_copy = |dead: &Dead| {
        search.tree.rowids
            && dead.numbering == Numbering::Unknown
            && (may_have_other_id(dead) || !is_read(dead))
            && !has_ended(dead)
            && !is_common(dead)
            && !has_own_id(dead)
            && dead.content.is_some_and(|content| live.holds(content) > 0)
            && (is_telling(dead) || dead.rowid.is_none_or(|rowid| live.find(rowid).is_none()))
    };
    let identity = |dead: &Dead| match (dead.rowid, &dead.key, dead.content) {
        (Some(rowid), _, _) if dead.numbering == Numbering::Former => Identity::Former(rowid),
        (Some(rowid), _, _) if search.tree.rowids => Identity::Rowid(rowid),
        (_, Some(key), _) => Identity::Key(key.key as u64),
        (_, _, Some(content)) if is_common(dead) => {
            let page = search.database.view.page(dead.page).map_or(0, |page| page.number);
            Identity::Common(content, page, dead.freed.cell.at)
        }
        (_, _, Some(content)) => Identity::Content(content),
        _ => Identity::Part(dead.page, dead.freed.cell.at),
    };
    let identified = |mut dead: Candidate| {
        let identity = identity(&dead);
        let is_common = matches!(identity, Identity::Common(..));
        dead.claims = dead.claims.with_if(is_common, Claim::CellsCommon);
        (identity, dead)
    };
    // What stood at its place already when a transaction began is no work of that one.
    let is_open = |dead: &Dead| dead.uncommitted || dead.later;
    let place = |dead: &Dead| {
        let page = search.database.view.page(dead.page)?.number;
        Some((page, dead.freed.cell.at, dead.content?))
    };
    let any_open = dead.iter().any(|dead| is_open(dead));
    let committed = dead.iter().filter(|dead| any_open && !is_open(dead));
    let committed: HashSet<(u32, u32, u64), RandomState> = committed.filter_map(|dead| place(dead)).collect();
    let is_known = |dead: &Dead| is_open(dead) && place(dead).is_some_and(|place| committed.contains(&place));
    let dead = dead.into_par_iter().with_min_len(SHARE).filter(|dead| !is_copy(dead) && !is_known(dead));
    let mut dead: Vec<(Identity, Candidate)> = dead.map(identified).collect();
    let has_key = |identity| matches!(identity, Identity::Rowid(_) | Identity::Key(_) | Identity::Former(_));
    // Few rows have nothing but their cells: only of theirs it will be asked whether a row with a key has the same.
    let nameless = dead.par_iter().with_min_len(SHARE).filter_map(|(identity, _)| match identity {
        Identity::Content(content) => Some(*content),
        _ => None,
    });
    let nameless: HashSet<u64, RandomState> = nameless.collect();
    let keyed = dead.iter().filter(|(identity, _)| !nameless.is_empty() && has_key(*identity));
    let known_contents: HashSet<u64, RandomState> =
        keyed.filter_map(|(_, dead)| dead.content).filter(|content| nameless.contains(content)).collect();
    dead.par_sort_by_key(|(identity, _)| *identity);
    let groups: Vec<&[(Identity, Candidate)]> = dead.chunk_by(|(a, _), (b, _)| a == b).collect();
    let places = Places::of(live, &groups);
    let reused = match search.never_reuses {
        true => HashSet::default(),
        false => reused(search, live, &groups, &places),
    };
    // No row was deleted but from the end: what lost its id is a version of a row that lives. VACUUM closes the gaps
    // between ids that no column holds.
    let all_taken = search.tree.rowids && !renumbered && search.ids.is_some_and(RowIds::are_all_taken);
    let rows = groups.iter().enumerate();
    let rows = rows.filter_map(|(at, group)| Some((group.first()?.0, places.of_group(at).is_some())));
    let are_kept = search.as_live.is_some() && most_went_on(search, went_on, rows);
    let lengths: Vec<u32> = groups.iter().map(|group| group.len() as u32).collect();
    drop(groups);
    // What tells a row from others follows from any of its versions.
    let mut dead: Vec<Option<Candidate>> = dead.into_iter().map(|(_, dead)| Some(dead)).collect();
    dead.shrink_to_fit();
    let doubt = Doubt::of(search);
    type Group<'g> = (usize, &'g mut [Option<Candidate>]);
    // The second holds one group after another, to allocate once.
    type Part = (Vec<Judged>, Vec<Candidate>);
    let judge = |(mut judged, mut group): Part, (at, dead): Group<'_>| {
        let Some(identity) = dead.first().and_then(|dead| dead.as_deref()).map(identity) else {
            return (judged, group);
        };
        let place = places.of_group(at);
        group.clear();
        group.extend(dead.iter_mut().filter_map(Option::take));
        // The latest first; a whole row before a part of it.
        group.sort_by_key(|dead| {
            let place = (dead.page, dead.freed.cell.at);
            (dead.content.is_none(), std::cmp::Reverse(dead.newness), dead.claims.bits(), place)
        });
        let standing = match identity {
            Identity::Rowid(_) => place.and_then(|(page, cell)| live.content_at(page, &cell)),
            Identity::Key(key) => live.by_key(key),
            Identity::Content(content) => {
                if live.holds(content) > 0 || known_contents.contains(&content) || known.contains(&content) {
                    return (judged, group);
                }
                None
            }
            Identity::Part(..) | Identity::Common(..) | Identity::Former(_) => None,
        };
        if let Identity::Key(key) = identity {
            group.retain(|dead| !dead.content.is_some_and(|short| live.is_grown_by_key(key, short)));
        }
        if let Some(place) = place {
            group.retain(|dead| {
                let columns = dead.freed.serials.len();
                !dead.content.is_some_and(|short| live.is_grown(place, short, columns))
            });
        }
        // Altering the table gave the row a version of a later shape, which was found too.
        let went_on = went_on.contains(&identity);
        let was_altered = are_kept && matches!(identity, Identity::Rowid(rowid) if search.may_stand(rowid));
        let replaced = standing.is_some() && !reused.contains(&at) || went_on || was_altered;
        let first = judged.len();
        let nowhere = matches!(identity, Identity::Content(_) | Identity::Common(..) | Identity::Part(..));
        let no_id = nowhere && all_taken;
        let replaced = replaced || no_id;
        versions(standing, replaced, search.nameless, &mut group, &mut judged);
        // Its page is lost, and it stands: what was found may be the row as it is.
        let named = |rowid| standing.is_none() && search.entries.names(rowid);
        // So it may without being named; a part of it is no live row all the same.
        let in_part = |rowid| standing.is_none() && search.may_stand(rowid);
        if let Identity::Rowid(rowid) = identity {
            let last = judged.iter_mut().skip(first).find(|version| version.state == State::Deleted);
            let stands =
                |version: &&mut Judged| named(rowid) || version.dead.content.is_none() && in_part(rowid);
            last.filter(stands).into_iter().for_each(|version| version.state = State::Unknown);
        }
        for version in judged.iter_mut().skip(first) {
            let by_key = || match identity {
                Identity::Key(key) => live.kept_by_key(key),
                _ => None,
            };
            let at = place.or_else(by_key);
            let doubts = doubt.claims(live, identity, (standing.is_some(), at), &version.dead);
            let of_end = live.ends.claims(search.database, &version.dead);
            let claims = version.dead.claims.and(doubts).and(of_end);
            version.dead.claims = claims.with_if(no_id, Claim::NoIdFree);
            by_history(history, identity, version);
        }
        (judged, group)
    };
    let mut judged: Vec<Judged> = Vec::with_capacity(lengths.len());
    let mut rest = dead.as_mut_slice();
    for (block, lengths) in lengths.chunks(AT_ONCE).enumerate() {
        let next = |length: &u32| {
            let (group, behind) = std::mem::take(&mut rest).split_at_mut(*length as usize);
            rest = behind;
            group
        };
        let groups: Vec<&mut [Option<Candidate>]> = lengths.iter().map(next).collect();
        let groups = groups.into_par_iter().with_min_len(SHARE).enumerate();
        let groups = groups.map(|(at, group)| (block * AT_ONCE + at, group));
        judged.par_extend(groups.fold(Part::default, judge).flat_map_iter(|(judged, _)| judged));
    }
    drop(dead);
    judged.par_sort_by_key(|judged| {
        (judged.dead.rowid.is_none(), judged.dead.rowid, judged.dead.page, judged.dead.freed.cell.at)
    });
    judged
}

/// Gives rows on earlier pages the ids that they have since VACUUM gave others, where the log tells.
fn renumber(search: &Search<'_, '_>, dead: &mut [Candidate]) {
    for dead in dead.iter_mut().filter(|dead| dead.numbering == Numbering::Unknown) {
        let (RowidLeft::Whole(_), Some(rowid)) = (dead.freed.rowid, dead.rowid) else { continue };
        if let Some(ids) = search.ids_since(dead.page) {
            let (now, numbering) = now(ids, rowid);
            (dead.rowid, dead.numbering) = (Some(now), numbering);
        }
    }
}

/// The row id by which a row is known that had this one on a page from before VACUUM gave others.
pub(super) fn now(ids: IdsSince<'_>, rowid: i64) -> (i64, Numbering) {
    match ids.of(rowid) {
        IdSince::Is(now) => (now, Numbering::Present),
        IdSince::Gone(last) => (last, Numbering::Former),
    }
}

/// Gives row ids to cells that lost theirs when they were freed, where another version of their page has the same cells in
/// the same place with an id.
fn know_again(search: &Search<'_, '_>, dead: &mut [Candidate]) {
    let view = &search.database.view;
    if !search.tree.rowids || !dead.iter().any(|dead| view.is_old(dead.page)) {
        return;
    }
    let place = |dead: &Dead| Some((view.page(dead.page)?.number, dead.freed.cell.at, dead.content?));
    let known = dead.iter().filter(|dead| matches!(dead.freed.rowid, RowidLeft::Whole(_)));
    let known = known.filter_map(|dead| Some((place(dead)?, (dead.rowid?, dead.numbering))));
    let known: HashMap<(u32, u32, u64), (i64, Numbering), RandomState> = known.collect();
    for dead in dead.iter_mut().filter(|dead| dead.rowid.is_none() || dead.claims.has(Claim::RowidInferred)) {
        if let Some((rowid, numbering)) = place(dead).and_then(|place| known.get(&place)) {
            (dead.rowid, dead.numbering) = (Some(*rowid), *numbering);
            dead.claims = dead.claims.without(Claim::RowidInferred);
        }
    }
}

/// Says of a version what the commit did that ended it, where that is known.
fn by_history(history: Option<&OfTable<'_>>, identity: Identity, version: &mut Judged) {
    let key = match identity {
        Identity::Rowid(rowid) | Identity::Former(rowid) => Ranked::of_rowid(rowid),
        Identity::Key(key) => Ranked { key: key as i64, rank: version.dead.rank() },
        _ => return,
    };
    let is_ended = matches!(version.state, State::Deleted | State::Superseded);
    let content = version.dead.content.filter(|_| is_ended && !version.dead.claims.has(Claim::RowidInferred));
    match history.zip(content).and_then(|(history, content)| history.was_replaced(key, content)) {
        Some(true) => version.state = State::Superseded,
        Some(false) => version.state = State::Deleted,
        None => {}
    }
}

/// Candidates that tell whether VACUUM gave all rows other ids.
const FEW: usize = 8;

/// Whether VACUUM gave the rows of a table other ids: most of the cells that were read under an id, and are not those of
/// the row that has it now, are those of one other live row.
fn went_to_other_ids(live: &Live<'_, '_, '_>, dead: &[Candidate]) -> bool {
    let read = dead.iter().filter(|dead| matches!(dead.freed.rowid, RowidLeft::Whole(_)));
    let other = read.filter_map(|dead| {
        let (page, cell) = live.find(dead.rowid?)?;
        let content = dead.content.filter(|content| live.content_at(page, &cell) != Some(Some(*content)))?;
        Some(live.holds(content) == 1)
    });
    let (mut all, mut elsewhere) = (0, 0);
    for is_elsewhere in other {
        all += 1;
        elsewhere += usize::from(is_elsewhere);
    }
    all >= FEW && 2 * elsewhere > all
}

/// The live rows with the row ids of groups, in the order of these: mostly few have one.
struct Places(Vec<(usize, (u32, Cell))>);

impl Places {
    fn of(live: &Live<'_, '_, '_>, groups: &[&[(Identity, Candidate)]]) -> Self {
        let standing = |(at, group): (usize, &&[(Identity, Candidate)])| match group.first() {
            Some((Identity::Rowid(rowid), _)) => Some((at, live.find(*rowid)?)),
            _ => None,
        };
        Self(groups.par_iter().with_min_len(SHARE).enumerate().filter_map(standing).collect())
    }

    fn of_group(&self, at: usize) -> Option<(u32, Cell)> {
        let index = self.0.binary_search_by_key(&at, |(group, _)| *group).ok()?;
        self.0.get(index).map(|(_, place)| *place)
    }
}

/// The groups whose row ids were given to other rows since.
fn reused(
    search: &Search<'_, '_>,
    live: &Live<'_, '_, '_>,
    groups: &[&[(Identity, Candidate)]],
    places: &Places,
) -> HashSet<usize, RandomState> {
    let dead = |at: usize, place| newest(live, groups.get(at)?, place);
    let shared = |(at, place): &(usize, (u32, Cell))| {
        Some((*at, kin::shared_with(search, dead(*at, *place)?, *place)?))
    };
    let of_own: Vec<(usize, Shared)> = places.0.par_iter().filter_map(shared).collect();
    let step = groups.len().div_ceil(MOST_COMPARED).max(1);
    let some: Vec<usize> = (0..groups.len()).step_by(step).collect();
    let of_others = some.into_par_iter().filter_map(|at| {
        let place = places.of_group(at)?;
        kin::shared_with(search, dead(at, place)?, beside(search, place)?)
    });
    let of_others: Vec<Shared> = of_others.collect();
    let known: Vec<Shared> = of_own.iter().map(|(_, shared)| *shared).collect();
    let later = Later::of(&known, &of_others);
    of_own.iter().filter(|(_, shared)| later.is_other_row(shared)).map(|(at, _)| *at).collect()
}

/// Whether most rows of an earlier shape that are not hidden by damage went on in the later one. Altering a table writes all
/// of its rows anew: then those that are hidden did as well.
fn most_went_on(
    search: &Search<'_, '_>,
    later: &HashSet<Identity>,
    rows: impl Iterator<Item = (Identity, bool)>,
) -> bool {
    let (mut all, mut went_on) = (0, 0);
    for (identity, stands) in rows {
        let Identity::Rowid(rowid) = identity else { continue };
        let goes_on = stands || later.contains(&identity);
        if goes_on || !search.may_stand(rowid) {
            all += 1;
            went_on += usize::from(goes_on);
        }
    }
    2 * went_on > all
}

/// A live row that stands beside another one.
fn beside(search: &Search<'_, '_>, (page, cell): (u32, Cell)) -> Option<(u32, Cell)> {
    let view = &search.database.view;
    let version = view.page(page)?;
    let leaf = Page::parse(version.bytes, version.number, view.geometry)?;
    let mut before = None;
    let mut cells = leaf.good_cells();
    for other in cells.by_ref() {
        if other.at == cell.at {
            break;
        }
        before = Some(other);
    }
    Some((page, cells.next().or(before)?))
}

/// The latest of them that was committed, up to the point, and is no copy of the live row that stands at this place.
fn newest<'g>(
    live: &Live<'_, '_, '_>,
    group: &'g [(Identity, Candidate)],
    place: (u32, Cell),
) -> Option<&'g Dead> {
    let standing = live.content_at(place.0, &place.1).flatten();
    let is_copy = |dead: &Dead| {
        let content = dead.content.filter(|content| standing != Some(*content));
        content.is_none_or(|content| live.is_grown(place, content, dead.freed.serials.len()))
    };
    let committed = group.iter().map(|(_, dead)| &**dead).filter(|dead| !dead.uncommitted && !dead.later);
    committed.filter(|dead| !is_copy(dead)).max_by_key(|dead| dead.newness)
}

/// The versions of one row. `standing` is what is live under its key: its content where that is whole; `replaced` when a
/// later version than those of the group is known; `nameless` when nothing is known of the table but its old rows.
fn versions(
    standing: Option<Option<u64>>,
    replaced: bool,
    nameless: bool,
    group: &mut Vec<Candidate>,
    judged: &mut Vec<Judged>,
) {
    let first = judged.len();
    // A log may hold a version of one row in each of its frames. Most rows have one version, and need no map.
    let mut by_content: HashMap<Option<u64>, usize, RandomState> = HashMap::default();
    let alone = group.len() == 1;
    let any_whole = standing.flatten().is_some() || group.iter().any(|dead| dead.content.is_some());
    for dead in group.drain(..) {
        let is_standing = standing.is_some_and(|standing| standing.is_none() || standing == dead.content);
        // A part says nothing where the whole is known.
        if is_standing || dead.content.is_none() && any_whole {
            continue;
        }
        let known = by_content.get(&dead.content).and_then(|index| judged.get_mut(*index));
        if let Some(same) = known {
            same.dead.uncommitted &= dead.uncommitted;
            same.dead.later &= dead.later || dead.uncommitted;
            same.dead.undecided &= dead.undecided;
            same.also.push(dead);
            continue;
        }
        if !alone {
            by_content.insert(dead.content, judged.len());
        }
        judged.push(Judged {
            state: State::Unknown,
            transaction: Transaction::Committed,
            dead,
            also: Also::default(),
        });
    }
    let mut gone = replaced;
    for version in judged.iter_mut().skip(first) {
        if nameless && version.dead.claims.has(Claim::FromTempFile) {
            (version.state, version.transaction) = (State::Unknown, Transaction::Unknown);
            continue;
        }
        (version.state, version.transaction) = if version.dead.uncommitted {
            (State::Later, Transaction::InDoubt)
        } else if version.dead.later {
            (State::Later, Transaction::Committed)
        } else if gone {
            (State::Superseded, Transaction::Committed)
        } else {
            gone = true;
            (State::Deleted, Transaction::Committed)
        };
        if version.dead.undecided && !version.dead.uncommitted {
            version.transaction = Transaction::Unknown;
        }
    }
}
