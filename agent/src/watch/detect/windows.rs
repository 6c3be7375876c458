//! Is the last stretch of a channel like the stretches before? A Random Cut Forest over sliding windows of one channel.
//! Pure; readings are counted.
//!
//! A point of this forest is the mean, the standard deviation, the greatest and the least value of a window, and a window
//! is twelve pieces long and moves by one piece. What single readings cannot show, a load that is a little too high since
//! this morning or a daily pattern that is missing, stands out here, and little else does: windows are few, and alike.

use super::resting::Resting;
use serde::{Deserialize, Serialize};
use windward_forest::{Forest, Options};

/// Pieces in a window.
const PIECES: usize = 12;
/// Fewest readings in a piece of a slow channel, and its least length, ms.
const SLOW_PIECE: u32 = 2;
const SLOW_PIECE_MS: u32 = 600_000;
/// Readings this close together, ms, make pieces of an hour: minutes of wind are too many and too different.
const FAST_MS: u32 = 60_000;
const HOUR_MS: u32 = 3_600_000;
/// Windows before they are scored, and before one is strange.
const SETTLING: u32 = 64;
const WARM_UP: u32 = SETTLING + 128;
/// Score of a strange window, on the AWS scale.
const STRANGE: f64 = 2.4;
/// A strange window says nothing new while it overlaps with what was told; so many pieces later it does.
const REST: u32 = 3 * PIECES as u32;
/// Between pieces of so many readings and more the forest rests. Waking it costs as much as judging 500 readings.
const RESTS_FROM: u32 = 1_800;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Windows {
    /// A part of the stored state by itself; `None` in what was just read (`kept.rs`).
    #[serde(skip)]
    pub(super) learned: Option<Learned>,
    piece: u32,
    pieces: Vec<Piece>,
    current: Piece,
    /// A window is whole, and its turn has not come yet. A restart in between leaves it out.
    #[serde(skip)]
    whole: bool,
    rested: u32,
}

/// What the windows have taught.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Learned {
    forest: Resting,
    /// Windows so far.
    pub(super) taken: u32,
    /// Of the last one.
    score: f64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Piece {
    readings: u32,
    sum: f64,
    /// Of the differences from `origin`, so that large values keep their digits.
    squares: f64,
    origin: f64,
    least: f64,
    greatest: f64,
}

/// A window unlike those before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::watch) struct Window {
    pub(in crate::watch) score: f64,
    pub(in crate::watch) mean: f64,
    pub(in crate::watch) deviation: f64,
    pub(in crate::watch) held: (f64, f64),
    /// Readings in it.
    pub(in crate::watch) readings: u32,
}

impl Windows {
    pub(super) fn new(trees: usize, interval_ms: u32, seed: u64) -> Self {
        let options = Options {
            dimensions: 4,
            trees,
            sample_size: 512,
            time_decay: 0.1 / 512.0,
            output_after: SETTLING as usize,
            seed,
            ..Options::default()
        };
        #[allow(clippy::unwrap_used, reason = "the limits of `DetectConfig::check` lie within those of the forest")]
        let forest = Forest::new(options).unwrap();
        let length_ms = if interval_ms < FAST_MS { HOUR_MS } else { SLOW_PIECE_MS };
        let piece = length_ms.div_ceil(interval_ms.max(1)).max(SLOW_PIECE);
        Windows {
            learned: Some(Learned { forest: Resting::new(forest, piece >= RESTS_FROM), taken: 0, score: 0.0 }),
            piece,
            pieces: Vec::with_capacity(PIECES),
            current: Piece::new(),
            whole: false,
            rested: REST,
        }
    }

    /// Score of the last whole window; 0 before there is one.
    pub(super) fn score(&self) -> f64 {
        self.learned.as_ref().map_or(0.0, |learned| learned.score)
    }

    /// Takes a value; gives the window that it completes if that is strange and was not told of. `turn`: whether a forest
    /// may be woken in this row, taken by the one that is. The windows of all channels end at once, and to wake all of
    /// their forests together would keep alerts waiting: a window may be given some rows after its last one.
    pub(super) fn observe(&mut self, value: f64, turn: &mut bool) -> Option<Window> {
        self.current.take(value);
        if self.current.readings == self.piece {
            if self.pieces.len() == PIECES {
                self.pieces.remove(0);
            }
            self.pieces.push(std::mem::replace(&mut self.current, Piece::new()));
            self.rested = self.rested.saturating_add(1);
            self.whole = self.pieces.len() == PIECES;
        }
        let rests = self.piece >= RESTS_FROM;
        if !self.whole || rests && !std::mem::take(turn) {
            return None;
        }
        self.whole = false;
        let window = self.window();
        let point = [window.mean, window.deviation, window.held.1, window.held.0].map(super::number);
        let learned = self.learned.as_mut()?;
        learned.taken = learned.taken.saturating_add(1);
        learned.score = learned.forest.observe(&point, rests)?;
        if learned.score < STRANGE || learned.taken <= WARM_UP || self.rested < REST {
            return None;
        }
        Some(Window { score: learned.score, ..window })
    }

    /// The window that was just given has been told of.
    pub(super) fn told(&mut self) {
        self.rested = 0;
    }

    fn window(&self) -> Window {
        let readings: u32 = self.pieces.iter().map(|piece| piece.readings).sum();
        let mean = self.pieces.iter().map(|piece| piece.sum).sum::<f64>() / f64::from(readings);
        let squares: f64 = self.pieces.iter().map(|piece| piece.squares_about(mean)).sum();
        let least = self.pieces.iter().map(|piece| piece.least).fold(f64::INFINITY, f64::min);
        let greatest = self.pieces.iter().map(|piece| piece.greatest).fold(f64::NEG_INFINITY, f64::max);
        let deviation = (squares.max(0.0) / f64::from(readings)).sqrt();
        Window { score: 0.0, mean, deviation, held: (least, greatest), readings }
    }
}

impl Piece {
    fn new() -> Self {
        Piece { readings: 0, sum: 0.0, squares: 0.0, origin: 0.0, least: f64::INFINITY, greatest: f64::NEG_INFINITY }
    }

    fn take(&mut self, value: f64) {
        if self.readings == 0 {
            self.origin = value;
        }
        self.readings += 1;
        self.sum += value;
        self.squares += (value - self.origin) * (value - self.origin);
        (self.least, self.greatest) = (self.least.min(value), self.greatest.max(value));
    }

    /// Sum of the squared differences from `centre`.
    fn squares_about(&self, centre: f64) -> f64 {
        let (readings, off) = (f64::from(self.readings), self.origin - centre);
        let from_origin = self.sum - readings * self.origin;
        self.squares + 2.0 * off * from_origin + readings * off * off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_end_at_once_are_scored_in_rows_on_end() {
        let mut channels = [1, 2, 3].map(|seed| Windows::new(10, 1_000, seed));
        let mut whole = |rows: u32| {
            for row in 0..rows {
                let mut turn = true;
                channels
                    .iter_mut()
                    .for_each(|windows| assert_eq!(windows.observe(f64::from(row % 7), &mut turn), None));
            }
            channels.each_ref().map(|windows| windows.whole)
        };
        assert_eq!(whole(3_600 * PIECES as u32 - 1), [false; 3]);
        assert_eq!([whole(1), whole(1), whole(1)], [[false, true, true], [false, false, true], [false; 3]]);
    }

    /// Windows told of among these many readings: a daily swing, and from reading `from` on five times as high.
    fn told(readings: u32, from: u32) -> Vec<u32> {
        let mut windows = Windows::new(50, 600_000, 1);
        let value = |at: u32| f64::from(at * 7_919 % 31) / 10.0 + (f64::from(at) / 23.0).sin();
        let mut told = vec![];
        for at in 0..readings {
            let value = value(at) + if at < from { 0.0 } else { 50.0 };
            if windows.observe(value, &mut true).is_some() {
                windows.told();
                told.push(at);
            }
        }
        told
    }

    #[test]
    fn a_strange_window_is_told_once_while_it_overlaps_with_what_was_told() {
        let told = told(1_400, 1_200);
        assert!(told.first().is_some_and(|at| (1_200..1_224).contains(at)), "{told:?}");
        assert!(told.windows(2).all(|pair| pair[1] - pair[0] >= SLOW_PIECE * REST), "{told:?}");
        assert!(told.len() <= 3, "{told:?}");
    }

    #[test]
    fn while_few_windows_were_scored_none_is_strange() {
        let scored_from = SLOW_PIECE * (PIECES as u32 + 64);
        let told = told(scored_from + SLOW_PIECE * (WARM_UP - 1), scored_from + SLOW_PIECE * WARM_UP / 2);
        assert!(told.is_empty(), "{told:?}");
    }

    #[test]
    fn a_window_has_the_figures_of_its_readings_however_large_they_are() {
        let mut windows = Windows::new(10, 600_000, 1);
        let values: Vec<f64> = (0..SLOW_PIECE * PIECES as u32).map(|at| 1e7 + f64::from(at * 37 % 24)).collect();
        for value in &values {
            windows.observe(*value, &mut true);
        }
        let Window { mean, deviation, held, readings, .. } = windows.window();
        let least_squares = values.iter().map(|value| (value - 1e7 - 11.5).powi(2)).sum::<f64>();
        assert_eq!((mean, held, readings), (1e7 + 11.5, (1e7, 1e7 + 23.0), 24));
        assert!((deviation - (least_squares / 24.0).sqrt()).abs() < 1e-6, "{deviation}");
    }

    #[test]
    fn windows_of_slow_channels_wait_for_none() {
        let mut channels = [1, 2].map(|seed| Windows::new(10, 600_000, seed));
        for row in 0..SLOW_PIECE * PIECES as u32 {
            channels.iter_mut().for_each(|windows| assert_eq!(windows.observe(f64::from(row), &mut false), None));
        }
        assert!(channels.iter().all(|windows| !windows.whole));
    }
}
