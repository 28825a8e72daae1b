//! How a long run tells how far it is.

/// Receives the progress of a run. Only the command knows whether there is a terminal to show it on.
pub trait Progress: Sync {
    /// A stage begins, with `total` units of work.
    fn stage(&self, name: &str, total: u64);

    /// `units` of work are done.
    fn advance(&self, units: u64);

    /// Whether the user asked to stop.
    fn interrupted(&self) -> bool;
}

/// Shows nothing and never stops.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn interrupted(&self) -> bool {
        false
    }
}
