//! Figures with intervals, by bootstrap over databases: rows of one file are not independent of one another.

use crate::score::{Counts, Tally};

/// How often cases are drawn anew.
const DRAWS: usize = 1000;

/// What share of the draws lies outside of an interval, at each end.
const TAIL: f64 = 0.025;

/// Bins of the calibration error.
const BINS: u64 = 15;

/// A figure and the interval that holds it in 95 of 100 draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The figure over all cases.
    pub value: f64,
    /// The interval's ends.
    pub low: f64,
    /// The upper one.
    pub high: f64,
}

/// Rows at one confidence: how many, and how many were right.
type Level = (u64, [u64; 2]);

/// What one case adds to the figures.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Numbers that are summed up before a share is taken: of the share of [`Figures`], its part and whole.
    shares: [[u64; 2]; 3],
    /// Rows that are not live, by confidence.
    levels: Vec<Level>,
}

/// A part whose confidences are places in the list of all.
struct Placed<'p> {
    shares: &'p [[u64; 2]; 3],
    levels: Vec<(usize, [u64; 2])>,
}

/// The figures of many cases.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Gone rows whose bytes survive that were found, of all such.
    pub gone_recall: Option<Figure>,
    /// Rows given as gone that were gone rows.
    pub gone_precision: Option<Figure>,
    /// Live rows whose bytes survive that were found, of all such.
    pub live_recall: Option<Figure>,
    /// Expected calibration error of rows that are not live.
    pub ece: Option<Figure>,
    /// Brier score of rows that are not live.
    pub brier: Option<Figure>,
}

impl Part {
    /// What a case adds, of all its rows.
    #[must_use]
    pub fn of(counts: &Counts, tally: &Tally) -> Self {
        let shares = [
            [counts.hit, counts.rec_gone],
            [counts.tp, counts.emitted()],
            [counts.live_hit, counts.rec_live],
        ];
        let gone = tally.0.iter().filter(|(kind, _)| kind.state != "live");
        Self { shares, levels: gone.flat_map(|(_, levels)| levels.iter().map(|(c, n)| (*c, *n))).collect() }
    }

    /// What a case adds to the calibration of some of its rows.
    #[must_use]
    pub fn of_levels(levels: Vec<Level>) -> Self {
        Self { shares: [[0; 2]; 3], levels }
    }
}

/// The figures of some cases, with intervals.
#[must_use]
pub fn figures(parts: &[Part]) -> Figures {
    let mut known: Vec<u64> =
        parts.iter().flat_map(|part| part.levels.iter().map(|(bits, _)| *bits)).collect();
    known.sort_unstable();
    known.dedup();
    // Places instead of confidences, so that a draw is a sum of short lists.
    let parts: Vec<Placed<'_>> = parts
        .iter()
        .map(|part| {
            let place = |bits: &u64| known.binary_search(bits).unwrap_or(0);
            let levels = part.levels.iter().map(|(bits, counts)| (place(bits), *counts)).collect();
            Placed { shares: &part.shares, levels }
        })
        .collect();
    let confidences: Vec<f64> = known.iter().map(|bits| f64::from_bits(*bits)).collect();
    let all = once(0..parts.len(), &parts, &confidences);
    let mut draws: [Vec<f64>; 5] = Default::default();
    let mut random = Random(0x6d75_646c_6172_6b00);
    for _ in 0..DRAWS {
        let drawn = (0..parts.len()).map(|_| random.below(parts.len()));
        for (list, value) in draws.iter_mut().zip(once(drawn, &parts, &confidences)) {
            list.extend(value);
        }
    }
    let mut figures = all.into_iter().zip(draws).map(|(value, mut draws)| {
        draws.sort_by(f64::total_cmp);
        let at = |share: f64| draws.get(((draws.len().max(1) - 1) as f64 * share).round() as usize).copied();
        value.map(|value| Figure {
            value,
            low: at(TAIL).unwrap_or(value),
            high: at(1.0 - TAIL).unwrap_or(value),
        })
    });
    let mut next = || figures.next().flatten();
    Figures { gone_recall: next(), gone_precision: next(), live_recall: next(), ece: next(), brier: next() }
}

/// The five figures of one draw of cases.
fn once(drawn: impl Iterator<Item = usize>, parts: &[Placed<'_>], confidences: &[f64]) -> [Option<f64>; 5] {
    let mut shares = [[0_u64; 2]; 3];
    let mut levels = vec![[0_u64; 2]; confidences.len()];
    for own in drawn.filter_map(|number| parts.get(number)) {
        for (sum, add) in shares.iter_mut().zip(own.shares) {
            sum[0] += add[0];
            sum[1] += add[1];
        }
        for (place, [rows, right]) in &own.levels {
            if let Some(level) = levels.get_mut(*place) {
                level[0] += rows;
                level[1] += right;
            }
        }
    }
    let share = |[part, whole]: [u64; 2]| (whole > 0).then(|| part as f64 / whole as f64);
    let rows: u64 = levels.iter().map(|level| level[0]).sum();
    let (ece, brier) = if rows == 0 {
        (None, None)
    } else {
        (Some(ece(confidences, &levels, rows)), Some(brier(confidences, &levels, rows)))
    };
    [share(shares[0]), share(shares[1]), share(shares[2]), ece, brier]
}

/// Expected calibration error in bins of equal mass; rows of one confidence share a bin.
fn ece(confidences: &[f64], levels: &[[u64; 2]], rows: u64) -> f64 {
    let size = rows.div_ceil(BINS).max(1);
    let (mut error, mut promised, mut kept, mut held) = (0.0, 0.0, 0.0, 0);
    for (confidence, [count, right]) in confidences.iter().zip(levels) {
        promised += confidence * *count as f64;
        kept += *right as f64;
        held += count;
        if held >= size {
            error += f64::abs(promised - kept);
            (promised, kept, held) = (0.0, 0.0, 0);
        }
    }
    (error + f64::abs(promised - kept)) / rows as f64
}

fn brier(confidences: &[f64], levels: &[[u64; 2]], rows: u64) -> f64 {
    let sum: f64 = confidences
        .iter()
        .zip(levels)
        .map(|(c, [count, right])| (c - 1.0).powi(2) * *right as f64 + c * c * (count - right) as f64)
        .sum();
    sum / rows as f64
}

/// SplitMix64: the same draws in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, figures};
    use crate::score::calibration::Calibration;

    fn part(hit: u64, levels: &[(f64, u64, u64)]) -> Part {
        let levels = levels.iter().map(|(c, rows, right)| (c.to_bits(), [*rows, *right])).collect();
        Part { shares: [[hit, 10], [hit, 10], [0, 0]], levels }
    }

    #[test]
    fn cases_that_are_all_alike_leave_no_doubt() {
        let found = figures(&vec![part(9, &[(0.75, 4, 3)]); 20]);
        let recall = found.gone_recall.expect("a recall");
        assert!(recall.low == 0.9 && recall.high == 0.9 && recall.value == 0.9);
        assert!(found.live_recall.is_none());
    }

    #[test]
    fn cases_that_differ_widen_the_interval() {
        let parts: Vec<Part> = (0..40).map(|n| part(if n % 2 == 0 { 10 } else { 0 }, &[])).collect();
        let recall = figures(&parts).gone_recall.expect("a recall");
        assert!(recall.low < 0.45 && recall.high > 0.55 && recall.value == 0.5, "{recall:?}");
    }

    #[test]
    fn the_calibration_error_is_that_of_the_rows_one_by_one() {
        let levels = [(0.2, 30, 9), (0.5, 41, 17), (0.9, 200, 190), (0.99, 37, 36)];
        let found = figures(&[part(1, &levels)]);
        let mut rows = Calibration::default();
        for (confidence, count, right) in levels {
            for n in 0..count {
                rows.push(confidence, n < right);
            }
        }
        let expected = rows.figures().expect("figures");
        assert!((found.ece.expect("an error").value - expected.ece).abs() < 1e-12);
        assert!((found.brier.expect("a score").value - expected.brier).abs() < 1e-12);
    }
}
