//! Candidates from every run of bytes that no live row owns.

use super::super::cleared;
use super::super::database::Database;
use super::super::forest::Object;
use super::super::leaf::leaf_kind;
use super::super::prints::{Print, tail};
use super::super::rank::Rank;
use super::super::settle;
use super::ends::Ends;
use super::judge::now;
use super::kin::{self, Kin};
use super::live::{EndingsOfPages, Live};
use super::method::Method;
use super::places::{self, OfTree};
use super::repeated::Repeated;
use super::rowids;
use super::shape::Kinds;
use super::shapes_apart;
use super::unowned;
use super::{Candidate, Dead, Fingerprints, Numbering, Search};
use mudlark_parsers::bytes::{all_zero, touch};
use mudlark_parsers::claim::{Claim, Claims};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::freed::{Effort, FreedCell, RUN, RowidLeft, Scratch, Space};
use mudlark_parsers::sqlite::freelist;
use mudlark_parsers::sqlite::page::{Extent, Page, PageKind};
use mudlark_parsers::sqlite::record;
use rayon::prelude::*;
use std::cell::LazyCell;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

/// What a page is to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A page of its tree: the live rows on it are not candidates.
    Own,
    /// Free, or hanging in no tree.
    Freed,
    /// An earlier or an uncommitted version of a page.
    Earlier,
    /// Without a header.
    Bare,
    /// Another table's, which stands in the place of this one.
    Before,
}

/// What some pages hold, and what is kept from one to the next, to allocate once.
#[derive(Default)]
struct Found<'r, 'a> {
    dead: Vec<Candidate>,
    /// Live rows beside those that are gone.
    beside: kin::Read<'r, 'a>,
    /// Of the live rows on the tree's own pages.
    endings: EndingsOfPages,
    /// Cells of one page, with the method and the claim of each.
    cells: Vec<(FreedCell, Method, Claim)>,
    scratch: Scratch,
}

/// Pages that are searched for rows that are gone.
pub(super) struct Pages(Vec<ToRead>);

#[derive(Clone, Copy)]
struct ToRead {
    page: u32,
    role: Role,
    /// Whether its free space is searched, too.
    free_space: bool,
}

impl Pages {
    /// `later` are the places of the table that stands in this one's place.
    pub(super) fn of(search: &Search<'_, '_>, places: OfTree<'_>, later: Option<OfTree<'_>>) -> Self {
        let is_old = |page: u32| search.database.view.is_old(page);
        let own = search.tree.pages.iter().chain(&search.tree.interior).map(|page| (*page, Role::Own));
        let role = |page: &u32| (*page, if is_old(*page) { Role::Earlier } else { Role::Freed });
        let further = places.pages.iter().chain(later.map(|later| later.pages).unwrap_or_default()).map(role);
        let bare = places.bare.iter().chain(later.map(|later| later.bare).unwrap_or_default());
        let bare = bare.map(|page| (*page, Role::Bare));
        let before = places.before.iter().map(|page| (*page, Role::Before));
        let all = own.chain(further).chain(bare).chain(before);
        Self(all.map(|(page, role)| ToRead { page, role, free_space: true }).collect())
    }

    /// Takes out earlier versions of pages.
    pub(super) fn take_earlier(&mut self) -> Vec<u32> {
        self.0.extract_if(.., |page| page.role == Role::Earlier).map(|page| page.page).collect()
    }

    /// Earlier versions of pages, with whether their free space is searched.
    pub(super) fn earlier(pages: impl Iterator<Item = (u32, bool)>) -> Self {
        Self(pages.map(|(page, free_space)| ToRead { page, role: Role::Earlier, free_space }).collect())
    }
}

/// What some pages hold: candidates, of earlier pages rows with these ranks only, and what of the live rows was met.
/// `kinds` is what the records of the table look like.
pub(super) fn read(
    search: &Search<'_, '_>,
    kinds: &Kinds,
    live: &Live<'_, '_, '_>,
    Pages(pages): &Pages,
    ranks: &RangeInclusive<Rank>,
) -> (Vec<Candidate>, Vec<EndingsOfPages>) {
    let pages = pages.par_iter().with_min_len(8);
    let bounds = OnceLock::new();
    let bounds = |page: u32| {
        let by_rowid = search.tree.rowids;
        by_rowid
            .then(|| bounds.get_or_init(|| rowids::bounds(search, &[])))
            .and_then(|bounds| bounds.of(page))
    };
    let kin = Kin::of(search);
    let found = pages.fold(Found::default, |mut found, read| {
        let ids = || ids_near(search, read.page, bounds(read.page));
        let before = found.dead.len();
        on_page(search, kinds, live, (*read, ranks, &ids), &mut found);
        // Here its page has just been read.
        let Found { dead, beside, .. } = &mut found;
        kin.restore(live, read.page, dead.get_mut(before..).unwrap_or_default(), beside);
        found
    });
    let found: Vec<Found<'_, '_>> = found.collect();
    let mut dead: Vec<Candidate> = Vec::with_capacity(found.iter().map(|found| found.dead.len()).sum());
    let mut seen = Vec::with_capacity(found.len());
    for mut part in found {
        dead.append(&mut part.dead);
        seen.push(part.endings);
    }
    (dead, seen)
}

/// Finds out what of the live rows is asked for these candidates, and which of their chains are whole. `seen` is what was
/// met of the live rows.
pub(super) fn hold_against(live: &mut Live<'_, '_, '_>, dead: &mut [Candidate], seen: &[EndingsOfPages]) {
    live.count(dead, seen);
    live.ends = Ends::of(dead, seen.iter().flat_map(|seen| &seen.tails));
    let live: &Live<'_, '_, '_> = live;
    dead.par_iter_mut().with_min_len(64).for_each(|dead| settle_chain(live, dead));
}

/// Row ids beside those of a page that it may have had as well.
const IDS_BESIDE: i64 = 64;

/// The row ids between which those lie that a page may have had: the neighbours' bound them, and rows that were deleted
/// mostly had ids not far from those that are left.
fn ids_near(search: &Search<'_, '_>, page: u32, bounds: Option<(i64, i64)>) -> Option<(i64, i64)> {
    let info = search.database.survey.page(page);
    let is_leaf = search.tree.rowids && info.kind == Some(PageKind::TableLeaf) && info.cells > 0;
    let own = is_leaf.then(|| {
        let beside = info.last.saturating_sub(info.first).max(IDS_BESIDE);
        (info.first.saturating_sub(beside), info.last.saturating_add(beside))
    });
    match (own, bounds) {
        (Some((first, last)), Some((from, to))) => Some((first.max(from), last.min(to))),
        (own, bounds) => own.or(bounds),
    }
}

/// Says of a chain whether it is whole: pages that a live row has taken since are that row's, unless it is the same one.
fn settle_chain(live: &Live<'_, '_, '_>, dead: &mut Dead) {
    dead.content = dead.content.filter(|content| !dead.taken || live.holds(*content) > 0);
    let spilled = dead.freed.cell.overflow != 0;
    dead.claims = dead
        .claims
        .with_if(spilled && dead.content.is_some(), Claim::ChainWhole)
        .with_if(spilled && dead.content.is_none(), Claim::ChainBroken);
}

/// A page, the ranks of the rows that are asked for on earlier ones, and the row ids that it may have had.
type OnPage<'p> = (ToRead, &'p RangeInclusive<Rank>, &'p dyn Fn() -> Option<(i64, i64)>);

fn on_page(
    search: &Search<'_, '_>,
    kinds: &Kinds,
    live: &Live<'_, '_, '_>,
    (ToRead { page: number, role, free_space }, ranks, ids): OnPage<'_>,
    Found { dead, endings, cells: found, scratch, .. }: &mut Found<'_, '_>,
) {
    let database = search.database;
    let geometry = database.view.geometry;
    let info = database.survey.page(number);
    if role == Role::Own && info.kind.is_some() && !info.spare {
        return;
    }
    let Some(version) = database.view.page(number) else { return };
    touch(version.bytes);
    let kind = leaf_kind(search.tree.rowids);
    let page = Page::parse(version.bytes, version.number, geometry).filter(|_| role != Role::Bare);
    let cleared = cleared::cells(&database.view, &database.survey, number, search.tree.rowids);
    let own_effort = Effort::of_page(version.bytes.len());
    let rivals: Vec<(&Kinds, Effort)> =
        search.rivals.iter().map(|rival| (rival, Effort::of_page(version.bytes.len()))).collect();
    let ids = LazyCell::new(ids);
    // Where rows of several shapes may lie, each cell is read with the shape that explains more of it.
    let mut read = |extent: Extent, space: Space, is_edge: &dyn Fn(u32) -> bool| {
        let place = (extent, space);
        let kind = (kind, *ids, rivals.is_empty());
        let mut cells = kinds.cells(database, version.bytes, place, &own_effort, kind, is_edge, scratch);
        for (rival, effort) in &rivals {
            if cells.is_empty() {
                break;
            }
            let known = kinds.has_rows() && rival.has_rows();
            let others = rival.cells(database, version.bytes, place, effort, kind, is_edge, scratch);
            shapes_apart::keep_own(&mut cells, &others, known);
        }
        cells
    };
    let ends: HashSet<u32> = cleared.cells.iter().flat_map(|cell| [cell.at, cell.end]).collect();
    let ends = |at: u32| ends.contains(&at);
    let pointed: Vec<FreedCell> =
        cleared.cells.iter().filter_map(|cell| whole(version.bytes, *cell)).collect();
    let of_any_shape = |freed: &FreedCell| {
        kinds.allow(&freed.serials) || search.rivals.iter().any(|rival| rival.allow(&freed.serials))
    };
    // What pointers lead to tells whose the page was.
    let is_strange = !pointed.is_empty() && !pointed.iter().any(of_any_shape);
    let pointed = pointed.into_iter().filter(|freed| kinds.own(&freed.serials, &search.rivals));
    if is_strange && role == Role::Bare {
        return;
    }
    let Some(page) = page else {
        let list = freelist::list_end(version.bytes, geometry.usable(), database.view.page_count);
        let all = Extent { from: list, to: geometry.usable() };
        let between = cleared::between(all, &cleared).into_iter();
        let between =
            between.flat_map(|extent| unowned::on_bare(version.bytes, extent, live.on_broken(number)));
        let mut cells: Vec<FreedCell> =
            between.flat_map(|(extent, space)| read(extent, space, &ends)).collect();
        mark_runs(&mut cells, &cleared.cells);
        found.extend(pointed.map(|cell| (cell, Method::BarePage, Claim::PointerStale)));
        let is_own = !found.is_empty() || live.on_broken(number).is_some_and(|live| !live.is_empty());
        let cells = if is_own || convincing(&cells) { cells } else { Vec::new() };
        found.extend(cells.into_iter().map(|cell| (cell, Method::BarePage, Claim::PageHeaderLost)));
        return finish(search, kinds, live, (number, role), found, dead);
    };
    if !matches!(role, Role::Own | Role::Before)
        && page.header.kind.is_table() == search.tree.rowids
        && page.header.kind != PageKind::TableInterior
    {
        let method = match role {
            Role::Earlier if database.view.is_of_temp_file(number) => Method::StatementJournal,
            Role::Earlier => Method::EarlierPage,
            _ => Method::FreedPage,
        };
        let all = *ranks.start() == Rank::LEAST && *ranks.end() == Rank::NONE;
        let since = if all || role != Role::Earlier { None } else { search.ids_since(number) };
        let rank = |cell: &Cell| match since {
            Some(ids) => Rank::of_rowid(now(ids, cell.rowid).0),
            None => search.rank(number, version.bytes, cell),
        };
        let is_asked = |cell: &Cell| {
            role != Role::Earlier
                || search.asked.is_none_or(|asked| asked == cell.rowid)
                    && (all || ranks.contains(&rank(cell)))
        };
        let cells = page.good_cells().filter(is_asked);
        let mut copies = live.copies();
        // The live row of an id that VACUUM has given since is another one.
        let by_id = search.tree.rowids && !(role == Role::Earlier && search.is_renumbered());
        let cells = cells.filter(|cell| !by_id || !copies.has(version.bytes, cell));
        let repeated = Repeated::of(&database.view, number, version);
        let cells = cells.filter(|cell| !repeated.has(cell));
        let claim = if role == Role::Earlier { Claim::EarlierVersion } else { Claim::OldPage };
        let cells = cells.filter_map(|cell| whole(version.bytes, cell));
        let cells =
            cells.filter(|freed| search.rivals.is_empty() || kinds.own(&freed.serials, &search.rivals));
        found.extend(cells.map(|freed| (freed, method, claim)));
    }
    if !free_space {
        return finish(search, kinds, live, (number, role), found, dead);
    }
    if role == Role::Own {
        live.note_endings(number, &page, endings);
    }
    let (mut blocks, damage) = page.freeblocks();
    if damage.is_some() && !info.sound {
        blocks = unowned::extents(&page, live.on_broken(number));
    }
    let gap = page.gap();
    let older_below = role == Role::Own && database.places.is_older_below(number);
    let used = !older_below
        && version.bytes.get(gap.from as usize..gap.to as usize).is_some_and(|bytes| !all_zero(bytes));
    if blocks.is_empty() && !used {
        return finish(search, kinds, live, (number, role), found, dead);
    }
    // Few blocks ask for them.
    let edges = LazyCell::new(|| edges(&page, &blocks));
    let is_edge = |at: u32| edges.get(at as usize / 64).is_some_and(|bits| bits >> (at % 64) & 1 == 1);
    for block in &blocks {
        let cells = read(*block, Space::Freeblock, &is_edge);
        found.extend(cells.into_iter().map(|cell| (cell, Method::Freeblock, Claim::InFreeblock)));
    }
    if used {
        let may_be_copy = role == Role::Before || role == Role::Own && database.auto_vacuum;
        let pointed =
            pointed.filter(|freed| !may_be_copy || !is_live_anywhere(database, version.bytes, &freed.cell));
        found.extend(pointed.map(|cell| (cell, Method::Gap, Claim::PointerStale)));
        let between = cleared::between(gap, &cleared).into_iter();
        let is_edge = |at: u32| is_edge(at) || ends(at);
        let mut cells: Vec<FreedCell> =
            between.flat_map(|extent| read(extent, Space::Other, &is_edge)).collect();
        mark_runs(&mut cells, &cleared.cells);
        if role == Role::Before {
            cells.retain(|freed| !is_live_anywhere(database, version.bytes, &freed.cell));
        }
        found.extend(cells.into_iter().map(|cell| (cell, Method::Gap, Claim::InGap)));
    }
    finish(search, kinds, live, (number, role), found, dead);
}

/// Whether some table has a live row with this row id and these cells: auto_vacuum moves roots, and leaves their rows
/// where another table's root comes to stand.
fn is_live_anywhere(database: &Database<'_>, page: &[u8], cell: &Cell) -> bool {
    let trees =
        database.forest.trees.iter().filter(|tree| tree.rowids && matches!(tree.object, Object::Table(_)));
    let mut standing =
        trees.filter_map(|tree| settle::settled_cell(database.ground(), &tree.pages, cell.rowid));
    standing.any(|((number, _), live)| {
        let version = database.view.page(number);
        version.is_some_and(|version| live.local_payload(version.bytes) == cell.local_payload(page))
    })
}

/// Notes which cells lie side by side with several others, those among them that pointers lead to.
fn mark_runs(cells: &mut [FreedCell], pointed: &[Cell]) {
    if pointed.is_empty() {
        return;
    }
    let own = cells.iter().enumerate().map(|(index, freed)| (freed.cell.at, freed.cell.end, Some(index)));
    let mut all: Vec<(u32, u32, Option<usize>)> =
        own.chain(pointed.iter().map(|cell| (cell.at, cell.end, None))).collect();
    all.sort_unstable();
    for run in all.chunk_by(|(_, end, _), (at, ..)| end == at).filter(|run| run.len() >= RUN) {
        for index in run.iter().filter_map(|(.., index)| *index) {
            if let Some(freed) = cells.get_mut(index) {
                freed.in_run = true;
            }
        }
    }
}

/// For each place on a page a bit: whether a cell or a freeblock begins or ends there, or its content does.
fn edges(page: &Page<'_>, blocks: &[Extent]) -> Vec<u64> {
    let cells = page.good_cells().flat_map(|cell| [cell.at, cell.end]);
    let blocks = blocks.iter().flat_map(|block| [block.from, block.to]);
    let usable = page.geometry.usable();
    let mut edges = vec![0; usable as usize / 64 + 1];
    for at in cells.chain(blocks).chain([usable]) {
        if let Some(bits) = edges.get_mut(at as usize / 64) {
            *bits |= 1 << (at % 64);
        }
    }
    edges
}

/// Whether cells found on a page that names no table are more than an accident.
fn convincing(cells: &[FreedCell]) -> bool {
    let touching = cells.windows(2).filter(|pair| matches!(pair, [a, b] if a.cell.end == b.cell.at));
    touching.count() >= 1
        || cells.iter().any(|cell| !cell.rebuilt && !cell.cut && cell.cell.payload_len >= 64)
}

/// A cell that stands whole, as a candidate.
pub(super) fn whole(page: &[u8], cell: Cell) -> Option<FreedCell> {
    let header = record::header(cell.local_payload(page), cell.payload_len).ok()?;
    let rowid = RowidLeft::Whole(cell.rowid);
    Some(FreedCell {
        cell,
        serials: header.serials().collect(),
        header_len: header.len as u32,
        rowid,
        rebuilt: false,
        first_solved: false,
        doubtful_pair: false,
        cut: false,
        fitted: true,
        at_head: false,
        in_run: false,
        odds: 0,
    })
}

/// So many rows of a page tell whether it is like the table's.
const SEVERAL: usize = 4;

/// Whether a cell was found by its own bytes, a part of which other cells may have overwritten.
const fn by_bytes(claim: Claim) -> bool {
    matches!(claim, Claim::InFreeblock | Claim::InGap | Claim::PageHeaderLost)
}

/// Makes candidates of cells: with their fingerprints, their claims and their time.
fn finish(
    search: &Search<'_, '_>,
    kinds: &Kinds,
    live: &Live<'_, '_, '_>,
    (number, role): (u32, Role),
    cells: &mut Vec<(FreedCell, Method, Claim)>,
    found: &mut Vec<Candidate>,
) {
    let view = &search.database.view;
    let Some(version) = view.page(number) else { return cells.clear() };
    let earlier = role == Role::Earlier || view.is_old(number);
    let newness = match (earlier, version.commit) {
        (true, Some(commit)) => 2 * i64::from(commit),
        (true, None) => -1,
        (false, Some(commit)) => 2 * i64::from(commit) - 1,
        (false, None) => 0,
    };
    let (uncommitted, later) = (view.is_uncommitted(number), view.is_later(number));
    let of_temp_file = view.is_of_temp_file(number);
    let is_proved = view.is_proved(number);
    let is_its_own = places::is_known_to_be(search.database, (number, version.number), search.searched);
    let is_sound_copy = !search.damaged;
    let lost = if search.tree.rowids { 1 } else { 2 };
    let is_usual = |freed: &FreedCell| kinds.is_usual(freed.serials.iter().take(lost));
    let is_anothers = role != Role::Own && search.is_anothers(kinds, version.bytes, cells);
    let strange = cells.iter().filter(|(freed, ..)| kinds.is_strange(freed)).count();
    let is_strange = cells.len() >= SEVERAL && 2 * strange > cells.len();
    let dead = cells.drain(..).filter_map(|(freed, method, claim)| {
        let rowid = match freed.rowid {
            RowidLeft::Whole(rowid) if search.tree.rowids => Some(rowid),
            _ => None,
        };
        // A row of a lost page that was put out as live, or as one of several under its id, is not put out again.
        if rowid.is_some_and(|rowid| live.is_kept(rowid, (number, freed.cell.at))) {
            return None;
        }
        let tail = by_bytes(claim).then(|| tail(freed.cell.local_payload(version.bytes)));
        let tail = tail.filter(|_| freed.cell.overflow == 0).flatten();
        let Fingerprints { content, ending, key, taken } = search.fingerprints(number, &freed);
        // What was live in a commit has the pages of its chain as they were then, whoever wrote to them since.
        let is_then = method == Method::EarlierPage && version.commit.is_some() && is_proved;
        let taken = taken && !is_then;
        // What is cut of a row in later free space may be of any row that is live at the point; what was written behind it
        // stands in the frame that wrote it.
        if later && content.is_none() {
            return None;
        }
        // Whose the page was is known, and that it was so: then a statement that changed every row makes the old ones unlike them.
        let is_of_page = matches!(method, Method::EarlierPage | Method::FreedPage);
        let is_as_it_was = is_then || is_of_page && is_sound_copy;
        let may_be_strange = !(is_as_it_was && is_its_own);
        let damaged_bytes = if is_proved { 0.0 } else { kinds.damaged_bytes(freed.cell.payload_len) };
        let claims = Claims::NONE
            .with(claim)
            .with_if(earlier, Claim::EarlierVersion)
            .with_if(role == Role::Freed, Claim::OldPage)
            .with_if(freed.rebuilt, Claim::HeadRebuilt)
            .with_if(freed.first_solved, Claim::FirstSolved)
            .with_if(freed.doubtful_pair, Claim::PairDoubtful)
            .with_if(freed.first_solved && is_usual(&freed), Claim::FirstUsual)
            .with_if(freed.cut, Claim::TailLost)
            .with_if(freed.fitted, Claim::Fitted)
            .with_if(freed.rebuilt && freed.at_head, Claim::AtHead)
            .with_if(freed.in_run, Claim::InRun)
            .with_if(may_be_strange && kinds.is_unlike(version.bytes, &freed), Claim::ValueUnlikely)
            .with_if(may_be_strange && is_strange, Claim::PageStrange)
            .with_if(may_be_strange && kinds.is_strange(&freed), Claim::KindNew)
            .with_if(kinds.is_garbled(), Claim::TextsGarbled)
            .with_if(kinds.is_often_garbled(), Claim::TextsOftenGarbled)
            .with_if(damaged_bytes >= 0.05, Claim::DamagePossible)
            .with_if(damaged_bytes >= 0.5, Claim::DamageLikely)
            .with_if(is_proved, Claim::ChecksumValid)
            .with_if(is_anothers, Claim::LikeAnother)
            .with_if(uncommitted, Claim::Uncommitted)
            .with_if(of_temp_file, Claim::FromTempFile);
        Some(Box::new(Dead {
            page: number,
            freed,
            method,
            claims,
            rowid,
            content,
            ending,
            tail,
            key,
            newness,
            uncommitted,
            later,
            taken,
            undecided: of_temp_file,
            numbering: Numbering::Unknown,
            print: Print::NONE,
            projection: None,
        }))
    });
    found.extend(dead);
}
