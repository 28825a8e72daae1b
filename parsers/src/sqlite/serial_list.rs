//! The serial types of a record, by themselves.

use super::serial::Serial;
use std::ops::Deref;

/// Serial types that are held without memory of their own: most tables have no more columns.
const FEW: usize = 8;

/// Serial types in stored order, as a slice.
#[derive(Clone)]
pub struct SerialList(Held);

#[derive(Clone)]
enum Held {
    Few(u8, [Serial; FEW]),
    Many(Vec<Serial>),
}

impl Deref for SerialList {
    type Target = [Serial];

    #[inline]
    fn deref(&self) -> &[Serial] {
        match &self.0 {
            Held::Few(len, serials) => serials.get(..usize::from(*len)).unwrap_or_default(),
            Held::Many(serials) => serials,
        }
    }
}

impl FromIterator<Serial> for SerialList {
    #[inline]
    fn from_iter<I: IntoIterator<Item = Serial>>(serials: I) -> Self {
        let mut few = [Serial::NULL; FEW];
        let mut serials = serials.into_iter();
        let mut len = 0;
        for (place, serial) in few.iter_mut().zip(&mut serials) {
            *place = serial;
            len += 1;
        }
        let next = if usize::from(len) < FEW { None } else { serials.next() };
        Self(match next {
            None => Held::Few(len, few),
            Some(next) => Held::Many(few.into_iter().chain([next]).chain(serials).collect()),
        })
    }
}

impl PartialEq for SerialList {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for SerialList {}

impl std::fmt::Debug for SerialList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{FEW, Serial, SerialList};

    #[test]
    fn few_and_many_are_held_in_their_order() {
        for count in 0..3 * FEW as u64 {
            let list: SerialList = (0..count).map(Serial).collect();
            assert!(list.iter().copied().eq((0..count).map(Serial)), "{count}");
            assert_eq!(list, list.clone());
        }
    }
}
