//! Pages whose rows are like those of another table than the one that they are read for.

use super::super::database::Output;
use super::Search;
use super::method::Method;
use super::shape::Kinds;
use mudlark_parsers::claim::Claim;
use mudlark_parsers::sqlite::freed::FreedCell;

/// Other tables that the rows of a page are compared with.
const MOST_OTHERS: usize = 16;

/// So many rows tell whose a page was, and so many are looked at; they are another table's when they are likelier there by so much together, and
/// each on average, in sixteenths of a bit.
const ROWS_OF_ANOTHER: usize = 4;
const MOST_ROWS: usize = 16;
const LIKELIER: i64 = 16 * 16;
const LIKELIER_EACH: i64 = 3 * 16;

impl Search<'_, '_> {
    /// What the rows of other tables look like.
    fn others(&self) -> &[Kinds] {
        self.others.get_or_init(|| {
            let database = self.database;
            let own = database.outputs.get(self.output).and_then(|output| output.def);
            let name = |def: Option<usize>| Some(&database.catalogue.tables.get(def?)?.name);
            let is_another = |output: &&Output| {
                let tree = database.tree(output);
                output.table.name.is_some()
                    && name(output.def) != name(own)
                    && tree.is_some_and(|tree| tree.rowids == self.tree.rowids && !tree.pages.is_empty())
            };
            let others = database.outputs.iter().filter(is_another).take(MOST_OTHERS);
            others.map(|output| Kinds::of(database, output)).collect()
        })
    }

    /// Whether the rows of a page are by far more like those of another table.
    pub(super) fn is_anothers(
        &self,
        kinds: &Kinds,
        page: &[u8],
        cells: &[(FreedCell, Method, Claim)],
    ) -> bool {
        // Of a table without a name nothing is known but such pages.
        if self.nameless {
            return false;
        }
        let is_whole = |freed: &&FreedCell| !freed.cut && !freed.first_solved;
        let whole = || cells.iter().map(|(freed, ..)| freed).filter(is_whole).take(MOST_ROWS);
        let sum = |kinds: &Kinds| -> Option<i64> { whole().map(|freed| kinds.likeness(page, freed)).sum() };
        let rows = whole().count();
        let Some(own) = sum(kinds).filter(|_| rows >= ROWS_OF_ANOTHER) else { return false };
        let least = LIKELIER.max(LIKELIER_EACH * rows as i64);
        -own >= least && self.others().iter().filter_map(sum).any(|other| other - own >= least)
    }
}
