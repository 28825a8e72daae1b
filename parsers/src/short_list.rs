//! Lists that are mostly short, and then take no memory of their own.

use std::ops::Deref;

/// Items that are held without memory of their own: most tables have no more columns.
const FEW: usize = 8;

/// Items in their order, as a slice.
#[derive(Clone)]
pub struct ShortList<T>(Held<T>);

#[derive(Clone)]
enum Held<T> {
    Few(u8, [T; FEW]),
    Many(Vec<T>),
}

impl<T> Deref for ShortList<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Held::Few(len, items) => items.get(..usize::from(*len)).unwrap_or_default(),
            Held::Many(items) => items,
        }
    }
}

impl<T: Copy + Default> FromIterator<T> for ShortList<T> {
    #[inline]
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut few = [T::default(); FEW];
        let mut items = items.into_iter();
        let mut len = 0;
        for (place, item) in few.iter_mut().zip(&mut items) {
            *place = item;
            len += 1;
        }
        let next = if usize::from(len) < FEW { None } else { items.next() };
        Self(match next {
            None => Held::Few(len, few),
            Some(next) => Held::Many(few.into_iter().chain([next]).chain(items).collect()),
        })
    }
}

impl<T: PartialEq> PartialEq for ShortList<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for ShortList<T> {}

impl<T: std::fmt::Debug> std::fmt::Debug for ShortList<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{FEW, ShortList};

    #[test]
    fn few_and_many_are_held_in_their_order() {
        for count in 0..3 * FEW as u64 {
            let list: ShortList<u64> = (0..count).collect();
            assert!(list.iter().copied().eq(0..count), "{count}");
            assert_eq!(list, list.clone());
        }
    }
}
