//! The serial types of a record, by themselves.

use super::serial::Serial;

/// Serial types that are held without memory of their own: most tables have no more columns.
const FEW: usize = 11;

/// Serial types in stored order.
#[derive(Clone, PartialEq, Eq)]
pub struct SerialList(Held);

/// Most types are small numbers; those of long texts are not.
#[derive(Clone, PartialEq, Eq)]
enum Held {
    Few(u8, [u16; FEW]),
    Many(Box<[Serial]>),
}

impl SerialList {
    /// Each of them.
    #[inline]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Serial> + Clone {
        let (few, many): (&[u16], &[Serial]) = match &self.0 {
            Held::Few(len, few) => (few.get(..usize::from(*len)).unwrap_or_default(), &[]),
            Held::Many(many) => (&[], many),
        };
        few.iter().map(|serial| Serial(u64::from(*serial))).chain(many.iter().copied())
    }

    /// How many they are.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        match &self.0 {
            Held::Few(len, _) => *len as usize,
            Held::Many(many) => many.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl FromIterator<Serial> for SerialList {
    #[inline]
    fn from_iter<I: IntoIterator<Item = Serial>>(serials: I) -> Self {
        let mut serials = serials.into_iter();
        let (mut few, mut len) = ([0; FEW], 0_u8);
        while let Some(serial) = serials.next() {
            match (few.get_mut(usize::from(len)), u16::try_from(serial.0)) {
                (Some(place), Ok(number)) => *place = number,
                _ => {
                    let few = few.iter().take(len.into()).map(|serial| Serial(u64::from(*serial)));
                    return Self(Held::Many(few.chain([serial]).chain(serials).collect()));
                }
            }
            len += 1;
        }
        Self(Held::Few(len, few))
    }
}

impl std::fmt::Debug for SerialList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{FEW, Serial, SerialList};

    #[test]
    fn few_and_many_small_and_large_are_held_in_their_order() {
        for count in 0..3 * FEW as u64 {
            for step in [1, 0x4000, u64::MAX / 64] {
                let list: SerialList = (0..count).map(|number| Serial(number * step)).collect();
                assert!(list.iter().eq((0..count).map(|number| Serial(number * step))), "{count} {step}");
                assert_eq!((list.len() as u64, list.is_empty()), (count, count == 0));
                assert_eq!(list, list.clone());
            }
        }
    }

    #[test]
    fn a_list_takes_little_memory() {
        assert_eq!(size_of::<SerialList>(), 24);
    }
}
