//! What the records of a table can look like, for bytes that nothing points to.

use super::super::database::{Database, Output};
use super::super::sample;
use super::super::shape::{Fit, fit_cell};
use mudlark_parsers::sqlite::ddl::Affinity;
use mudlark_parsers::sqlite::serial::{Serial, SerialKind};
use mudlark_parsers::value::TextEncoding;

/// Rows that must have been seen before a kind of value that none of them has is taken for impossible.
const ENOUGH: u32 = 64;

/// The kinds of values that each column holds, and how many columns records have.
#[derive(Debug)]
pub(super) struct Kinds {
    /// For each stored column a bit for each kind.
    allowed: Vec<u8>,
    pub(super) least: usize,
    pub(super) most: usize,
    pub(super) first: Option<Serial>,
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
        let (mut seen, mut rows) = (Vec::<u8>::new(), 0_u32);
        let (mut fewest, mut widest) = (usize::MAX, 0);
        for page in sample::profile_pages(pages) {
            sample::records(&database.view, &database.survey, page, sample::ROWS, |_, header, _| {
                rows += 1;
                fewest = fewest.min(header.columns);
                widest = widest.max(header.columns);
                for (column, serial) in header.serials().enumerate() {
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
                Self { allowed, least: fewest.min(most), most, first: alias.then_some(Serial::NULL) }
            }
            None => {
                let most = output.layout.columns.len();
                seen.resize(most, bit(SerialKind::Null));
                let allowed: Vec<u8> = seen.iter().map(|seen| seen | bit(SerialKind::Null)).collect();
                let constant = allowed.first().copied() == Some(bit(SerialKind::Null)) && rows > 0;
                Self { allowed, least: most, most, first: constant.then_some(Serial::NULL) }
            }
        }
    }

    /// Whether a record can be one of the table's.
    pub(super) fn fit(&self, serials: &[Serial]) -> bool {
        (self.least..=self.most).contains(&serials.len())
            && serials.iter().enumerate().all(|(column, serial)| self.fits(column, *serial))
    }

    pub(super) fn fits(&self, column: usize, serial: Serial) -> bool {
        self.allowed.get(column).is_some_and(|allowed| allowed & bit(serial.kind()) != 0)
    }
}

/// Whether bytes read as text of a database.
pub(super) fn reads(encoding: TextEncoding, text: &[u8]) -> bool {
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
