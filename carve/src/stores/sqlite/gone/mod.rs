//! Rows that are gone: deleted ones and older versions, from free space, freed pages, logs and journals.
//!
//! Candidates come from every run of bytes that no live row owns (`collect`). A candidate that equals the live row of
//! its key is a copy that SQLite left when it moved the row, and is dropped; one that differs is an older version; one
//! whose key no live row has was deleted (`judge`). Row ids that freeing a cell overwrote are restored where the
//! neighbours leave one choice (`rowids`). What is left of a row whose end was overwritten goes to the row where it stands
//! whole (`parts`).

mod agreement;
mod aliased;
mod also;
mod altered;
mod anothers;
mod bare;
mod chance;
mod collect;
mod common;
mod contained;
mod doubt;
mod ends;
mod entries;
mod fitting;
mod hunt;
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
mod vacuumed;
mod zeroed;

pub(super) use altered::{Altered, rows};
pub(super) use mended::find as mended;
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
use leaves::Leaves;
use method::Method;
use mudlark_parsers::claim::{Claim, Claims};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::freed::FreedCell;
use mudlark_parsers::sqlite::record;
use projected::Projection;
use shape::Kinds;
use std::collections::HashMap;
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

/// Bytes of cells that two rows seldom share by accident; a row of fewer is no other's copy because their cells are equal.
const TELLING: u64 = 8;

impl Dead {
    /// Whether another row may have the same cells by accident.
    fn is_short(&self) -> bool {
        self.freed.serials.iter().map(|serial| serial.len()).sum::<u64>() < TELLING
    }

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

/// A table whose rows are sought.
pub(super) struct Table {
    /// Its number among the outputs.
    pub number: usize,
    /// What is claimed of all its rows.
    pub claims: Claims,
    /// Its live rows that were compared.
    pub kept: Kept,
    pub witnesses: Witnesses,
}

impl Table {
    fn output<'d>(&self, database: &'d Database<'_>) -> Option<&'d Output> {
        database.outputs.get(self.number)
    }

    /// The number of the definition of the table that it became when it was altered.
    fn successor(&self, database: &Database<'_>) -> Option<usize> {
        database.catalogue.tables.get(self.output(database)?.def?)?.successor
    }

    /// The output of this one, with its number.
    fn later<'d>(&self, database: &'d Database<'_>) -> Option<(usize, &'d Output)> {
        let later = self.successor(database)?;
        database.outputs.iter().enumerate().find(|(_, output)| output.def == Some(later))
    }

    /// The number of its definition, where the table has an earlier shape.
    fn altered(&self, database: &Database<'_>) -> Option<usize> {
        self.output(database)?.def.filter(|def| is_altered(database, *def))
    }
}

impl<'s, 'a> Search<'s, 'a> {
    /// `None` for a table in which no row can be told from another.
    fn of(database: &'s Database<'a>, table: &'s Table) -> Option<Self> {
        let Table { number, claims, witnesses, .. } = table;
        let output = database.outputs.get(*number)?;
        let tree = database.tree(output)?;
        let def = output.def.and_then(|def| database.catalogue.tables.get(def));
        let key_cells = def.map_or(database.places.key_cells(output.tree), |def| def.ddl.primary_key.len());
        if !tree.rowids && key_cells == 0 {
            return None;
        }
        // Rows of an earlier shape lie on the pages of the table that was altered, and its rows are their later versions.
        let later = table.later(database).map(|(_, output)| output);
        let successor = later.and_then(|later| database.tree(later));
        let successor = successor.filter(|later| later.rowids == tree.rowids);
        let ids = successor.is_none().then_some(&witnesses.ids);
        let searched = later.filter(|_| successor.is_some()).map_or(output.tree, |later| later.tree);
        let kinds = |output: &Output| Kinds::of(database, output);
        let later_def = later.and_then(|later| database.catalogue.tables.get(later.def?));
        Some(Self {
            database,
            tree: successor.unwrap_or(tree),
            leaves: OnceLock::new(),
            layout: &output.layout,
            key_cells,
            least: kinds(later.unwrap_or(output)).least,
            rivals: rivals(database, *number),
            others: OnceLock::new(),
            output: *number,
            as_live: def.zip(later_def).map(|(def, later)| positions(def, later)),
            entries: &witnesses.entries,
            ids,
            history: database.lifetimes_of(output),
            never_reuses: def.is_some_and(|def| def.ddl.autoincrement),
            searched,
            nameless: output.table.name.is_none(),
            damaged: claims.has(Claim::FileDamaged),
            asked: database.asked_of(output),
        })
    }
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

    /// Whether its rows lie on the pages of the table that it became.
    fn is_of_another(&self) -> bool {
        let output = self.database.outputs.get(self.output);
        output.is_some_and(|output| output.tree != self.searched)
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
