//! What the records of a table can look like, for bytes that nothing points to.

use super::super::altered::Dropped;
use super::super::database::{Database, Output};
use super::super::sample;
use super::super::shape::{Fit, fit_cell};
use mudlark_parsers::sqlite::ddl::Affinity;
use mudlark_parsers::sqlite::freed::{self, FreedCell, Shape, Space};
use mudlark_parsers::sqlite::page::{Extent, PageKind};
use mudlark_parsers::sqlite::serial::{Serial, SerialKind};
use mudlark_parsers::value::TextEncoding;
use std::collections::{HashMap, HashSet};

/// Rows that must have been seen before a kind of value that none of them has is taken for impossible.
const ENOUGH: u32 = 64;

/// The kinds of values that each column holds, and how many columns records have.
#[derive(Debug)]
pub(super) struct Kinds {
    /// For each stored column a bit for each kind.
    allowed: Vec<u8>,
    pub(super) least: usize,
    most: usize,
    first: Option<Serial>,
    /// How often each of the first columns had each serial type, among so many rows.
    often: [HashMap<u64, u32>; 2],
    rows: u32,
}

const fn bit(kind: SerialKind) -> u8 {
    1 << kind as u8
}

const ALL: [(SerialKind, Serial); 5] = [
    (SerialKind::Null, Serial(0)),
    (SerialKind::Int, Serial(1)),
    (SerialKind::Real, Serial(7)),
    (SerialKind::Text, Serial(13)),
    (SerialKind::Blob, Serial(12)),
];

impl Kinds {
    pub(super) fn of(database: &Database<'_>, output: &Output) -> Self {
        let pages = database.tree(output).map(|tree| tree.pages.as_slice()).unwrap_or_default();
        let def = output.def.and_then(|def| database.catalogue.tables.get(def));
        if let Some((lost, successor)) = def.and_then(|def| Some((def.lost_column?, def.successor?)))
            && let Some(successor) = database.outputs.iter().find(|output| output.def == Some(successor))
        {
            return Self::of(database, successor).with(lost);
        }
        let (mut seen, mut rows) = (Vec::<u8>::new(), 0_u32);
        let mut fewest = usize::MAX;
        let mut often = [HashMap::new(), HashMap::new()];
        for page in sample::profile_pages(pages) {
            sample::records(&database.view, &database.survey, page, sample::ROWS, |_, header, _| {
                rows += 1;
                fewest = fewest.min(header.columns);
                for (column, serial) in header.serials().enumerate() {
                    if let Some(often) = often.get_mut(column) {
                        *often.entry(serial.0).or_default() += 1;
                    }
                    if seen.len() <= column {
                        seen.push(0);
                    }
                    if let Some(seen) = seen.get_mut(column) {
                        *seen |= bit(serial.kind());
                    }
                }
            });
        }
        match def {
            Some(def) => {
                let allow = |(position, column): (usize, &usize)| {
                    let seen = seen.get(position).copied().unwrap_or(0);
                    let affinity = def.ddl.columns.get(*column).map(|column| column.affinity);
                    ALL.iter().fold(0_u8, |allowed, (kind, serial)| {
                        let was_seen = seen & bit(*kind) != 0;
                        let number = matches!(kind, SerialKind::Int | SerialKind::Real)
                            && matches!(affinity, Some(Affinity::Real | Affinity::Numeric));
                        let fits = match fit_cell(*serial, *column, def) {
                            Fit::No => false,
                            Fit::Odd => was_seen,
                            Fit::Yes => was_seen || number || *kind == SerialKind::Null || rows < ENOUGH,
                        };
                        allowed | if fits { bit(*kind) } else { 0 }
                    })
                };
                let allowed: Vec<u8> = def.stored.iter().enumerate().map(allow).collect();
                let alias =
                    def.ddl.rowid_alias.is_some() && def.stored.first().copied() == def.ddl.rowid_alias;
                let most = allowed.len();
                let first = alias.then_some(Serial::NULL);
                Self { allowed, least: fewest.min(most), most, first, often, rows }
            }
            None => {
                let most = output.layout.columns.len();
                seen.resize(most, bit(SerialKind::Null));
                let allowed: Vec<u8> = seen.iter().map(|seen| seen | bit(SerialKind::Null)).collect();
                let constant = allowed.first().copied() == Some(bit(SerialKind::Null)) && rows > 0;
                Self { allowed, least: most, most, first: constant.then_some(Serial::NULL), often, rows }
            }
        }
    }

    /// The same, with a column that was dropped since.
    fn with(mut self, lost: Dropped) -> Self {
        let at = lost.position.min(self.allowed.len());
        self.allowed.insert(at, lost.kinds | bit(SerialKind::Null));
        self.first = self.first.filter(|_| at > 0);
        Self { least: self.least + 1, most: self.most + 1, ..self }
    }

    /// The cells that an extent of a page held, read as the table's records.
    pub(super) fn cells(
        &self,
        database: &Database<'_>,
        page: &[u8],
        (extent, space): (Extent, Space),
        kind: PageKind,
        edges: &HashSet<u32>,
    ) -> Vec<FreedCell> {
        let fits = |column: usize, serial| self.fits(column, serial);
        let reads = |text: &[u8]| reads(database.encoding, text);
        let odds = |column: usize, serial| self.odds(column, serial);
        let shape = Shape {
            least: self.least,
            most: self.most,
            first: self.first,
            fits: &fits,
            reads: &reads,
            odds: &odds,
        };
        freed::cells(page, extent, space, kind, database.view.geometry, &shape, edges)
    }

    /// What reads as cells on a page without a header.
    pub(super) fn bare_cells(&self, database: &Database<'_>, page: &[u8], rowids: bool) -> Vec<FreedCell> {
        let extent = Extent { from: 0, to: database.view.geometry.usable() };
        self.cells(database, page, (extent, Space::Other), leaf_kind(rowids), &HashSet::new())
    }

    /// Whether a record can be one of the table's.
    pub(super) fn fit(&self, serials: &[Serial]) -> bool {
        (self.least..=self.most).contains(&serials.len())
            && serials.iter().enumerate().all(|(column, serial)| self.fits(column, *serial))
    }

    /// How often a column has a serial type, in sixteenths of a bit; types that were not seen are as rare as a quarter
    /// of a row.
    fn odds(&self, column: usize, serial: Serial) -> i64 {
        let seen = self.often.get(column).and_then(|often| often.get(&serial.0)).copied().unwrap_or(0);
        let share = (f64::from(seen) + 0.25) / (f64::from(self.rows) + 1.0);
        (16.0 * share.log2()).round() as i64
    }

    pub(super) fn fits(&self, column: usize, serial: Serial) -> bool {
        self.allowed.get(column).is_some_and(|allowed| allowed & bit(serial.kind()) != 0)
    }
}

/// The kind of page on which rows of a table lie, with or without row ids.
pub(super) const fn leaf_kind(rowids: bool) -> PageKind {
    if rowids { PageKind::TableLeaf } else { PageKind::IndexLeaf }
}

/// Whether bytes read as text of a database.
fn reads(encoding: TextEncoding, text: &[u8]) -> bool {
    match encoding {
        TextEncoding::Utf8 => std::str::from_utf8(text).is_ok(),
        // Nearly all pairs of bytes are some character, but few are such as texts consist of.
        _ => encoding.decode(text).is_some_and(|text| {
            let odd =
                |c: &char| c.is_control() || matches!(*c, '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}');
            8 * text.chars().filter(odd).count() <= text.chars().count()
        }),
    }
}
