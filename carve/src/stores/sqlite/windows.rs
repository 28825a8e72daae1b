//! Rows put out a window at a time.

use crate::error::Error;
use crate::model::Batch;
use crate::stores::RowSink;

/// Hands `sink` what `fill` makes of each window. It gets the batches of the window before the last, for the same ones take
/// one window after another: fresh memory costs time.
///
/// # Errors
/// What the sink says.
pub(super) fn put<'a, W: Send>(
    windows: impl Iterator<Item = W>,
    fill: impl Fn(W, &mut Vec<Batch<'a>>) + Sync,
    sink: &mut RowSink<'_, 'a>,
) -> Result<(), Error> {
    // While one window is put out, the next one is filled: no thread waits for the last of either.
    let (mut last, mut next) = (Vec::new(), Vec::new());
    for window in windows {
        let (put, ()) = rayon::join(|| sink(&last), || fill(window, &mut next));
        put?;
        std::mem::swap(&mut last, &mut next);
    }
    sink(&last)
}
