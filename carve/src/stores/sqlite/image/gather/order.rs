//! How the entries of an index are ordered, as its definition says.

use super::super::super::key_order::Collation;
use super::keys;
use mudlark_parsers::sqlite::ddl::KeyPart;
use mudlark_parsers::value::TextEncoding;
use std::cmp::Ordering;

/// Columns of which the order is kept: keys have hardly more.
const COLUMNS: usize = u32::BITS as usize;

/// The order of the first columns of a key; of none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Order {
    /// Columns whose order is known, from the first on.
    known: u8,
    /// Those that fall, a bit each.
    falls: u32,
    /// Those whose text is compared without regard to capitals.
    folds: u32,
}

/// What all keys of a database have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    /// Whether `DESC` counts: files of the first formats are read without it (SQLite file format, section 1.3.10).
    pub descends: bool,
    pub encoding: TextEncoding,
}

impl Order {
    /// Of a key whose entries have some `further` columns, which rise.
    pub(super) fn of(parts: &[KeyPart], further: usize, keys: Keys) -> Self {
        let mut order = Self::default();
        for (column, part) in parts.iter().enumerate().take(COLUMNS) {
            let folds = match Collation::of(part.collation.as_deref(), keys.encoding) {
                Some(Collation::Binary) => false,
                Some(Collation::NoCase) => true,
                Some(Collation::RightTrim) | None => return order,
            };
            order.falls |= u32::from(part.descending && keys.descends) << column;
            order.folds |= u32::from(folds) << column;
            order.known += 1;
        }
        order.known += further.min(COLUMNS - usize::from(order.known)) as u8;
        order
    }

    /// Whether the first column falls, where that is known.
    pub(super) const fn first_falls(self) -> Option<bool> {
        if self.known == 0 { None } else { Some(self.falls & 1 == 1) }
    }

    /// Whether the text of the first column is compared without regard to capitals.
    pub(super) const fn first_folds(self) -> bool {
        self.folds & 1 == 1
    }

    /// Whether the order of all columns of a key is known.
    pub(super) const fn is_known(self) -> bool {
        self.known > 0
    }

    /// Compares two entries as far as the order is known and their bytes on the page go.
    pub(super) fn compare(self, one: &[u8], other: &[u8]) -> Option<Ordering> {
        let (order, column) = keys::compare(one, other, |column| !has(self.folds, column))?;
        (column < usize::from(self.known))
            .then(|| if has(self.falls, column) { order.reverse() } else { order })
    }
}

const fn has(columns: u32, column: usize) -> bool {
    column < COLUMNS && columns >> column & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::{Keys, Order};
    use mudlark_parsers::sqlite::ddl::KeyPart;
    use mudlark_parsers::value::TextEncoding;
    use std::cmp::Ordering;

    fn part(collation: Option<&str>, descending: bool) -> KeyPart {
        KeyPart { column: Some(0), collation: collation.map(str::to_owned), descending }
    }

    const KEYS: Keys = Keys { descends: true, encoding: TextEncoding::Utf8 };

    #[test]
    fn columns_fall_where_the_definition_says_so_and_the_format_heeds_it() {
        let (one, other): ([u8; 5], [u8; 5]) = ([3, 1, 1, 7, 1], [3, 1, 1, 8, 1]);
        let order = |keys| Order::of(&[part(None, true)], 1, keys).compare(&one, &other);
        assert_eq!(order(KEYS), Some(Ordering::Greater));
        assert_eq!(order(Keys { descends: false, ..KEYS }), Some(Ordering::Less));
    }

    #[test]
    fn nothing_is_told_by_a_column_with_a_collation_that_is_not_known() {
        let (one, other): ([u8; 5], [u8; 5]) = ([3, 1, 15, 7, b'a'], [3, 1, 15, 7, b'B']);
        let order = |collation| Order::of(&[part(None, false), part(Some(collation), false)], 0, KEYS);
        assert_eq!(order("german").compare(&one, &other), None);
        assert_eq!(order("BINARY").compare(&one, &other), Some(Ordering::Greater));
        assert_eq!(order("nocase").compare(&one, &other), Some(Ordering::Less));
    }
}
