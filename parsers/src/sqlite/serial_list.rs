//! The serial types of a record, by themselves.

use super::serial::Serial;
use crate::short_list::ShortList;

/// Serial types in stored order, as a slice.
pub type SerialList = ShortList<Serial>;
