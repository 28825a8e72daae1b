//! Further places of a version.

use super::Candidate;
use std::ops::Deref;

/// Further candidates of a version: most have none, and take no memory for it.
#[derive(Debug, Default)]
pub(super) struct Also(Option<Box<Further>>);

#[derive(Debug, Default)]
struct Further(Vec<Candidate>);

impl Also {
    pub(super) fn push(&mut self, dead: Candidate) {
        self.0.get_or_insert_default().0.push(dead);
    }

    pub(super) fn append(&mut self, Self(other): Self) {
        if let Some(other) = other {
            self.0.get_or_insert_default().0.extend(other.0);
        }
    }
}

impl Deref for Also {
    type Target = [Candidate];

    fn deref(&self) -> &[Candidate] {
        self.0.as_ref().map(|further| further.0.as_slice()).unwrap_or_default()
    }
}
