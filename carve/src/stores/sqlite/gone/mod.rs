//! Rows that are gone: deleted ones and older versions, from free space, freed pages, logs and journals.
//!
//! Candidates come from every run of bytes that no live row owns (`collect`). A candidate that equals the live row of
//! its key is a copy that SQLite left when it moved the row, and is dropped; one that differs is an older version; one
//! whose key no live row has was deleted (`judge`). Row ids that freeing a cell overwrote are restored where the
//! neighbours leave one choice (`rowids`). What is left of a row whose end was overwritten goes to the row where it stands
//! whole (`parts`).

mod agreement;
mod aliased;
mod anothers;
mod bare;
mod collect;
mod common;
mod contained;
mod doubt;
mod ends;
mod entries;
mod fitting;
mod indexes;
mod judge;
mod kin;
mod leaves;
mod live;
mod mended;
mod method;
mod misread;
mod noted;
mod numbering;
mod parts;
mod passes;
mod places;
mod projected;
mod put;
mod repeated;
mod reused;
mod rowids;
mod shape;
mod shapes_apart;
mod spoilt;
mod streams;
mod traces;
mod unclaimed;
mod unowned;
mod zeroed;

use collect::Pages;
use entries::Indexes;
use judge::{Identity, Judged};
pub(super) use mended::find as mended;
use passes::Passes;
pub(super) use places::{Places, find as places};
pub(super) use streams::{Streams, find as streams};
pub(super) use unowned::is_broken;

use super::catalogue::TableDef;
use super::chains;
use super::database::{Database, Output};
use super::emit::Witnesses;
use super::entries::Entries;
use super::forest::Tree;
use super::history::{IdsSince, OfTable};
use super::ids::RowIds;
use super::keyed::KeptByKey;
use super::layout::Layout;
use super::leaf::FoundCell;
use super::prints::{Print, content, ending};
use super::rank::{Rank, Ranked};
use super::settle::{Contested, Kept as KeptByRowid};
use super::view::PageVersion;
use crate::error::Error;
use crate::model::TableId;
use crate::stores::RowSink;
use leaves::Leaves;
use live::Live;
use method::Method;
use mudlark_parsers::claim::{Claim, Claims};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::freed::FreedCell;
use mudlark_parsers::sqlite::record;
use noted::Matched;
use projected::{OfIndexes, Projection};
use put::Target;
use shape::Kinds;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

/// The live rows that were compared, because their pages are lost or damaged: they are not gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    pub by_rowid: KeptByRowid,
    /// Where further rows under their row ids were put out.
    pub contested: Contested,
    pub by_key: KeptByKey,
    /// The live cells of pages whose free space their own pointers and freeblocks don't tell.
    pub on_broken: HashMap<u32, Vec<FoundCell>>,
}

/// A row that may be gone.
#[derive(Clone, Debug)]
struct Dead {
    /// The page it lies on.
    page: u32,
    freed: FreedCell,
    method: Method,
    claims: Claims,
    rowid: Option<i64>,
    /// A fingerprint of its cells; `None` when they are not whole.
    content: Option<u64>,
    /// What is soon compared of its cells, where they are whole: the upper half, which tells as much as is asked.
    ending: u32,
    /// Its last bytes, where others may have come in their place.
    tail: Option<NonZeroU32>,
    /// A fingerprint of its primary key and its rank, in a table without row ids.
    key: Option<Box<Ranked>>,
    /// Later ones are of later times, as far as that is known.
    newness: i64,
    /// Written by a transaction that never committed.
    uncommitted: bool,
    /// Written by a transaction that committed after the point at which the database is read.
    later: bool,
    /// Read where what a transaction wrote may lie that never committed.
    undecided: bool,
    /// Whose ids its row id is one of.
    numbering: Numbering,
    /// A print of the columns that it holds, where it is no row of the table and they are whole.
    print: Print,
    /// Where the table's columns stand in it, if it is no row of the table.
    projection: Option<Arc<Projection>>,
    /// A page of its overflow chain is a live row's by now.
    taken: bool,
}

/// VACUUM may give the rows of a table other ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Numbering {
    /// It is not known whether it did since.
    #[default]
    Unknown,
    /// The ids are those that live rows have.
    Present,
    /// The row was gone before it did.
    Former,
}

impl Dead {
    /// The rank of its primary key, in a table without row ids.
    fn rank(&self) -> Rank {
        self.key.as_deref().map_or(Rank::NONE, |key| key.rank)
    }
}

/// A row that may be gone, where it can stay while it is sorted among others.
type Candidate = Box<Dead>;

/// What the search for the gone rows of one table needs.
struct Search<'s, 'a> {
    database: &'s Database<'a>,
    /// The tree whose pages are searched, and whose rows are live.
    tree: &'s Tree,
    /// The leaves of this tree; made when they are first asked for.
    leaves: OnceLock<Leaves>,
    layout: &'s Layout,
    /// Cells that a primary key has, in a table without row ids.
    key_cells: usize,
    /// Fewest columns of a live record.
    least: usize,
    /// Other shapes that rows on the same pages may have.
    rivals: Vec<Kinds>,
    /// What the rows of other tables look like; found out when it is first asked for.
    others: OnceLock<Vec<Kinds>>,
    /// The table's own number among the outputs.
    output: usize,
    /// For each stored column of the live rows its position in these records, where they are of another shape.
    as_live: Option<Vec<Option<usize>>>,
    /// Rows of which a version of a later shape is gone too.
    went_on: HashSet<Identity>,
    /// The entries of the table's indexes.
    entries: &'s Entries,
    /// The row ids of the live rows, where all were noted.
    ids: Option<&'s RowIds>,
    /// When rows stood, where a log tells.
    history: Option<OfTable<'s>>,
    /// No id is given to a second row, since the key is `AUTOINCREMENT`.
    never_reuses: bool,
    /// The number of the tree whose pages are searched.
    searched: usize,
    /// Nothing tells whether its rows stand elsewhere: it is made of what a temp file holds.
    nameless: bool,
    /// The file is damaged: what a log seems to tell of it may be damage.
    damaged: bool,
    /// The only row of which the versions on earlier pages are wanted.
    asked: Option<i64>,
}

/// The gone rows of tables that were altered: they are put out behind those of the earlier shapes.
#[derive(Debug, Default)]
pub(super) struct Altered {
    /// Which they are, by the number of the table's definition.
    identities: HashMap<usize, HashSet<Identity>>,
    /// Their live rows that were compared, by the same.
    kept: HashMap<usize, Kept>,
    waiting: Vec<(usize, Claims, Vec<Judged>)>,
}

impl Altered {
    /// Puts out those that wait.
    pub(super) fn put<'s, 'a: 's>(
        self,
        database: &Database<'a>,
        sink: &mut RowSink<'_, 's>,
    ) -> Result<(), Error> {
        for (number, claims, judged) in self.waiting {
            let Some(output) = database.outputs.get(number) else { continue };
            let rowids = database.tree(output).is_some_and(|tree| tree.rowids);
            let (layout, table) = (&output.layout, TableId(number as u32));
            let lifetimes = database.lifetimes_of(output);
            let target = Target { database, layout, table, rowids, claims, lifetimes };
            put::all(&target, &judged, &Matched::default(), sink)?;
        }
        Ok(())
    }
}

/// Where the columns of `live` stand in the records of `table`.
pub(super) fn positions(table: &TableDef, live: &TableDef) -> Vec<Option<usize>> {
    let name = |def: &TableDef, column: usize| def.ddl.columns.get(column).map(|column| column.name.clone());
    let position = |column: &usize| {
        let wanted = name(live, *column);
        table.stored.iter().position(|stored| name(table, *stored) == wanted)
    };
    live.stored.iter().map(position).collect()
}

/// Whether a table has an earlier shape.
fn is_altered(database: &Database<'_>, def: usize) -> bool {
    database.catalogue.tables.iter().any(|earlier| earlier.successor == Some(def))
}

/// The other incarnations of a table, of other shapes. One without a name has the pages that it stood on to itself, whatever
/// its shape.
fn rivals(database: &Database<'_>, number: usize) -> Vec<Kinds> {
    let def = |output: &Output| output.def.and_then(|def| database.catalogue.tables.get(def));
    let named = database.outputs.get(number).filter(|output| output.table.name.is_some());
    let Some(own) = named.and_then(def) else { return Vec::new() };
    let others = database.outputs.iter().enumerate();
    let others = others
        .filter(|(other, output)| *other != number && output.table.name.is_some())
        .filter(|(_, output)| def(output).is_some_and(|def| def.name == own.name));
    others.map(|(_, output)| Kinds::of(database, output)).collect()
}

/// The gone rows of a table.
pub(super) fn rows<'s, 'a: 's>(
    database: &Database<'a>,
    number: usize,
    claims: Claims,
    kept: &Kept,
    witnesses: &Witnesses,
    altered: &mut Altered,
    sink: &mut RowSink<'_, 's>,
) -> Result<(), Error> {
    let Some(output) = database.outputs.get(number) else { return Ok(()) };
    let Some(tree) = database.tree(output) else { return Ok(()) };
    let def = output.def.and_then(|def| database.catalogue.tables.get(def));
    let key_cells = def.map_or(database.places.key_cells(output.tree), |def| def.ddl.primary_key.len());
    if !tree.rowids && key_cells == 0 {
        return Ok(());
    }
    let (table, layout) = (TableId(number as u32), &output.layout);
    let places = &database.places;
    // Rows of an earlier shape lie on the pages of the table that was altered, and its rows are their later versions.
    let later_number = def
        .and_then(|def| def.successor)
        .and_then(|number| database.outputs.iter().position(|output| output.def == Some(number)));
    let later = later_number.and_then(|number| database.outputs.get(number));
    let successor = later.and_then(|later| database.tree(later));
    let later_places = later.map(|later| places.of(later.tree));
    let successor = successor.filter(|later| later.rowids == tree.rowids);
    let ids = successor.is_none().then_some(&witnesses.ids);
    let searched = later.filter(|_| successor.is_some()).map_or(output.tree, |later| later.tree);
    let tree = successor.unwrap_or(tree);
    let rivals = rivals(database, number);
    let mut kinds = Kinds::of(database, output);
    let least = later.map_or(kinds.least, |later| Kinds::of(database, later).least);
    let later_def = later.and_then(|later| database.catalogue.tables.get(later.def?));
    let as_live = def.zip(later_def).map(|(def, later)| positions(def, later));
    // Tables come before their earlier shapes.
    let went_on = later.and_then(|later| altered.identities.get(&later.def?).cloned()).unwrap_or_default();
    let nameless = output.table.name.is_none();
    if let Some(def) = output.def.filter(|def| is_altered(database, *def)) {
        altered.kept.insert(def, kept.clone());
    }
    let later_kept = later.and_then(|later| altered.kept.get(&later.def?)).filter(|_| successor.is_some());
    let kept = later_kept.unwrap_or(kept);
    let lifetimes = database.lifetimes_of(output);
    let search = Search {
        database,
        tree,
        leaves: OnceLock::new(),
        layout,
        key_cells,
        least,
        rivals,
        others: OnceLock::new(),
        output: number,
        as_live,
        went_on,
        entries: &witnesses.entries,
        ids,
        history: lifetimes.clone(),
        never_reuses: def.is_some_and(|def| def.ddl.autoincrement),
        searched,
        nameless,
        damaged: claims.has(Claim::FileDamaged),
        asked: database.asked_of(output),
    };
    let mut live = Live::of(&search, kept);
    let mut pages = Pages::of(&search, places.of(output.tree), later_places);
    // Those of an earlier shape are judged by what the later ones were, and wait for them.
    let is_altered = output.def.is_some_and(|def| is_altered(database, def));
    let in_passes = lifetimes.as_ref().filter(|_| !is_altered && search.as_live.is_none());
    let mut passes = Passes::of(&search, in_passes, &mut pages);
    let last = passes.count() - 1;
    let (mut dead, mut seen) = collect::read(&search, &kinds, &live, &pages, &passes.all());
    collect::hold_against(&mut live, &mut dead, &seen);
    if kinds.few_rows() {
        let own = dead.len();
        if last > 0 {
            dead.extend(collect::read(&search, &kinds, &live, &passes.pages(0), &passes.ranks(0)).0);
        }
        let learned = learn(database, &mut kinds, &dead);
        dead.truncate(own);
        if learned {
            // What the sure ones look like tells how to read the others.
            (dead, seen) = collect::read(&search, &kinds, &live, &pages, &passes.all());
            collect::hold_against(&mut live, &mut dead, &seen);
        }
    }
    let streamed = streams::dead(&search, output.tree);
    let (mut projected, mut rows): (Vec<Candidate>, Vec<Candidate>) =
        streamed.into_iter().partition(|dead| dead.projection.is_some());
    // A row that damage took from the main file seems deleted by the last transaction.
    let of_journal = || database.last_changes_of(output).filter(|_| !claims.has(Claim::FileDamaged));
    if last > 0 {
        rowids::restore(&search, &live, &mut dead);
        passes.wait(&search, None, &mut dead);
    }
    // One without a name may have the definition of another, whose indexes are not its own.
    let indexed = output.def.filter(|_| !search.nameless && search.tree.rowids);
    let indexes = indexed.map(|def| Indexes::of(database, def)).unwrap_or_default();
    for pass in 0..=last {
        let ranks = passes.ranks(pass);
        if last == 0 {
            // Of so many live rows it takes much memory.
            seen = Vec::new();
        } else {
            dead = passes.take(pass);
            dead.extend(collect::read(&search, &kinds, &live, &passes.pages(pass), &ranks).0);
            collect::hold_against(&mut live, &mut dead, &seen);
        }
        let judging = &live;
        let lifetimes = lifetimes.clone().map(|of_table| of_table.in_range(pass));
        let of_indexes = || entries::noted(&search, &kinds, &indexes, &ranks);
        let rows = if pass == last { std::mem::take(&mut rows) } else { Vec::new() };
        let any_rows = !dead.is_empty() || !rows.is_empty();
        // Of so many it takes much memory.
        let are_many = dead.len() > MANY;
        let mut dead = std::mem::take(&mut dead);
        let of_rows = || {
            if !any_rows {
                return Vec::new();
            }
            kin::restore(&search, judging, &mut dead);
            rowids::restore(&search, judging, &mut dead);
            passes.wait(&search, Some(pass), &mut dead);
            dead.extend(rows);
            let of_journal = if lifetimes.is_none() { of_journal() } else { None };
            let history = lifetimes.as_ref().or(of_journal.as_ref());
            let mut judged = judge::judge(&search, judging, (history, &passes.known()), dead);
            spoilt::leave_out(&search, judging, &mut judged);
            judged
        };
        // Neither asks the other, and where the one has nothing to share among the threads the other has.
        let (mut judged, noted) = match are_many {
            true => (of_rows(), of_indexes()),
            false => rayon::join(of_rows, of_indexes),
        };
        live.forget_counts();
        let is_of_pass = |dead: &mut Candidate| {
            pass == last || dead.rowid.is_some_and(|id| ranks.contains(&Rank::of_rowid(id)))
        };
        let projected: Vec<Candidate> = projected.extract_if(.., is_of_pass).collect();
        if !any_rows && projected.is_empty() && noted.is_empty() {
            continue;
        }
        parts::merge(&search, &mut judged);
        let again = |noted| entries::again(&search, &kinds, &indexes, &ranks, noted);
        let entries = OfIndexes { indexes: &indexes, noted, again: &again, are_all_asked: is_altered };
        let matched = projected::judge(&search, &live, projected, entries, &mut judged);
        for (_, _, entries) in altered.waiting.iter_mut().filter(|(waits, ..)| Some(*waits) == later_number) {
            projected::settle_entries(&search, &mut judged, entries);
        }
        if let Some(def) = output.def.filter(|_| is_altered) {
            altered.identities.insert(def, judge::identities(&search, &judged));
            altered.waiting.push((number, claims, judged));
            return Ok(());
        }
        let target = Target { database, layout, table, rowids: tree.rowids, claims, lifetimes };
        put::all(&target, &judged, &matched, sink)?;
        if pass == last {
            // Giving back the memory of so many takes long, and nothing waits for it.
            rayon::spawn(move || drop(judged));
        }
    }
    Ok(())
}

/// So many candidates are judged before the entries of indexes are read, and not while they are.
const MANY: usize = 1 << 18;

/// Sure rows from which a table's values are known.
const SURE: usize = 4;

/// Learns what rows look like from candidates all of whose serial types stand on their pages, or from all that fill their
/// places where there are hardly such; false without any.
fn learn(database: &Database<'_>, kinds: &mut Kinds, dead: &[Candidate]) -> bool {
    let fitted = || dead.iter().filter(|dead| !dead.freed.cut && dead.freed.fitted && dead.content.is_some());
    let is_sure = |dead: &Candidate| !dead.freed.first_solved;
    let any = fitted().filter(|dead| is_sure(dead)).take(SURE).count() < SURE;
    let rows = fitted().filter(|dead| any || is_sure(dead));
    kinds.learn(rows.filter_map(|dead| Some((database.view.page(dead.page)?.bytes, &dead.freed))))
}

/// What is compared of a candidate, as the fields of [`Dead`].
#[derive(Clone, Debug, Default)]
struct Fingerprints {
    content: Option<u64>,
    ending: u32,
    key: Option<Box<Ranked>>,
    taken: bool,
}

impl Search<'_, '_> {
    fn leaves(&self) -> &Leaves {
        self.leaves.get_or_init(|| Leaves::of(self.tree, &self.database.survey))
    }

    /// The stored position of the column that the row id stands for.
    fn alias(&self) -> Option<usize> {
        self.layout.alias_position().filter(|_| self.tree.rowids)
    }

    /// Whether the page on which a row stood may be lost.
    fn may_stand(&self, rowid: i64) -> bool {
        let strays = self.database.strays.get(&self.searched);
        strays.is_some_and(|strays| strays.keys.hold(self.tree, rowid))
    }

    /// Whether a row that is not found may stand all the same: its page is lost and an index names it, or may be lost.
    fn may_be_named(&self, rowid: i64) -> bool {
        self.may_stand(rowid) || self.entries.names(rowid)
    }

    /// Whether VACUUM gave the rows of earlier pages other ids, as a log tells.
    fn is_renumbered(&self) -> bool {
        self.history.as_ref().is_some_and(OfTable::is_renumbered)
    }

    /// The ids that the rows of an earlier page have since VACUUM gave others, where the log tells.
    fn ids_since(&self, page: u32) -> Option<IdsSince<'_>> {
        let history = self.history.as_ref().filter(|_| self.is_renumbered())?;
        if !self.tree.rowids || self.layout.alias().is_some() || !self.database.view.is_old(page) {
            return None;
        }
        let version = places::version_of_log(self.database, page)?;
        history.ids_since(version.number, version.commit)
    }

    /// The id by which a row is known that has this one on a page: the present one, or that which it had when it went.
    fn id_now(&self, page: u32, rowid: i64) -> i64 {
        self.ids_since(page).map_or(rowid, |ids| judge::now(ids, rowid).0)
    }

    /// The fingerprints of a candidate.
    fn fingerprints(&self, page: u32, freed: &FreedCell) -> Fingerprints {
        let view = &self.database.view;
        let Some(version) = view.page(page).map(PageVersion::then) else { return Fingerprints::default() };
        let payload = chains::read(view, &self.database.survey, &version, &freed.cell);
        let whole = payload.bytes.len() as u64 == freed.cell.payload_len && !freed.cut;
        let whole = whole && !zeroed::has_lost(&version, freed);
        let taken = payload.pages.iter().any(|page| self.database.chained.contains(*page));
        let Some(body) = payload.bytes.get(freed.header_len as usize..) else {
            return Fingerprints { taken, ..Fingerprints::default() };
        };
        let serials = || freed.serials.iter().map(|serial| serial.0);
        let key_len: u64 = freed.serials.iter().take(self.key_cells).map(|serial| serial.len()).sum();
        let key = usize::try_from(key_len).ok().and_then(|len| body.get(..len));
        let key = key.filter(|_| !self.tree.rowids);
        let types = || freed.serials.iter().take(self.key_cells);
        let ranked = |key: &[u8]| {
            let print = content(serials().take(self.key_cells), key);
            Box::new(Ranked { key: print as i64, rank: Rank::of_key(types(), key) })
        };
        let key = key.map(ranked);
        let content = whole.then(|| content(serials(), body));
        Fingerprints { content, ending: (ending(body) >> 32) as u32, key, taken }
    }

    /// The rank of a whole cell on a page.
    fn rank(&self, page: u32, bytes: &[u8], cell: &Cell) -> Rank {
        if self.tree.rowids {
            return Rank::of_rowid(cell.rowid);
        }
        let local = || {
            let payload = cell.local_payload(bytes);
            let header = record::header(payload, cell.payload_len).ok()?;
            let types = || header.serials().take(self.key_cells);
            let len = usize::try_from(types().map(|serial| serial.len()).sum::<u64>()).ok()?;
            Some(Rank::of_key(types(), payload.get(header.len..)?.get(..len)?))
        };
        // The key may go on in the cell's chain.
        let far = || self.fingerprints(page, &collect::whole(bytes, *cell)?).key.map(|key| key.rank);
        local().or_else(far).unwrap_or(Rank::NONE)
    }
}
