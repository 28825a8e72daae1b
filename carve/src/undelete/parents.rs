//! Foreign keys: parents before children, and no child without its parent.
//!
//! While the transaction runs nothing is enforced, but a single row without its parent would make the COMMIT fail. So
//! where foreign keys are enforced, such a row is skipped. Where they are not, it is added: it stood there.

use super::target::{Reference, Target};

/// A foreign key that can be asked for as soon as the row is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    /// The columns that refer, by their places in [`Target::columns`].
    pub columns: Vec<usize>,
    /// The table that is referred to.
    pub table: String,
    /// Its columns, as many.
    pub key: Vec<String>,
}

/// The order in which tables are written: those that others refer to first, else as they come.
pub(super) fn order(targets: &[&Target]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::with_capacity(targets.len());
    let mut left: Vec<usize> = (0..targets.len()).collect();
    while !left.is_empty() {
        let waits = |child: usize| {
            let others = left.iter().filter(|other| **other != child);
            others.filter_map(|other| targets.get(*other)).any(|parent| {
                targets
                    .get(child)
                    .is_some_and(|child| child.references.iter().any(|reference| is_to(reference, parent)))
            })
        };
        // Tables that refer to one another have no order.
        let next = left.iter().position(|child| !waits(*child)).unwrap_or(0);
        order.push(left.remove(next));
    }
    order
}

/// The parents that a row of `child` needs. `later` are the tables that are written with it or after it: their rows
/// may still come. `all` are the tables that are known.
pub(super) fn parents(child: &Target, later: &[&Target], all: &[Target]) -> Vec<Parent> {
    let mut parents = Vec::new();
    for reference in &child.references {
        if later.iter().any(|target| is_to(reference, target)) {
            continue;
        }
        let Some(parent) = all.iter().find(|target| is_to(reference, target)) else { continue };
        let key = if reference.parent.is_empty() { &parent.primary_key } else { &reference.parent };
        if key.len() == reference.columns.len() {
            let columns = reference.columns.clone();
            parents.push(Parent { columns, table: parent.name.clone(), key: key.clone() });
        }
    }
    parents
}

fn is_to(reference: &Reference, target: &Target) -> bool {
    target.named && reference.table.eq_ignore_ascii_case(&target.name)
}
