//! A detector over a restart: what is stored of it, in parts. Pure.
//!
//! Nearly all bytes of a detector are those of its forests, and they change least: a row in fifty once they are full, a
//! window in an hour. So a forest is a part by itself, and may be older than the rest, which lacks nothing but its points.

use super::super::checkpoint::{BadState, Part};
use super::Detector;
use super::windows::Learned;
use windward_forest::Forest;

const OTHER_CHANNELS: BadState = BadState("it is of other channels");

impl Detector {
    /// The parts that are forests.
    pub(in crate::watch) fn forests(&self) -> Vec<Part> {
        let rows = self.vector.iter().map(|_| Part::Rows);
        let judged = (0..).zip(&self.channels).filter(|(_, signal)| signal.is_some());
        rows.chain(judged.map(|(place, _)| Part::Hours(place))).collect()
    }

    /// How many points a forest has taken.
    pub(in crate::watch) fn points(&self, part: Part) -> u64 {
        match part {
            Part::Readings => 0,
            Part::Rows => self.rows_forest().map_or(0, Forest::seen),
            Part::Hours(place) => self.learned(place).map_or(0, |learned| u64::from(learned.taken)),
        }
    }

    /// Appends a forest.
    pub(in crate::watch) fn save_forest(&self, part: Part, out: &mut Vec<u8>) -> Result<(), postcard::Error> {
        match part {
            Part::Readings => {}
            Part::Rows => {
                if let Some(forest) = self.rows_forest() {
                    forest.save(out);
                }
            }
            Part::Hours(place) => {
                if let Some(learned) = self.learned(place) {
                    *out = postcard::to_extend(learned, std::mem::take(out))?;
                }
            }
        }
        Ok(())
    }

    /// Goes on from a stored detector, but with the settings and the forests of this one.
    pub(in crate::watch) fn resume(&mut self, mut stored: Detector) -> Result<(), BadState> {
        let alike = stored.channels.len() == self.channels.len()
            && stored.channels.iter().zip(&self.channels).all(|(a, b)| a.is_some() == b.is_some())
            && stored.vector.is_some() == self.vector.is_some();
        if !alike {
            return Err(OTHER_CHANNELS);
        }
        stored.settings = self.settings;
        if let (Some(vector), Some(own)) = (&mut stored.vector, &mut self.vector) {
            vector.forest = own.forest.take();
        }
        for (signal, own) in stored.channels.iter_mut().flatten().zip(self.channels.iter_mut().flatten()) {
            signal.windows.learned = own.windows.learned.take();
        }
        *self = stored;
        Ok(())
    }

    /// Goes on with a stored forest. That of the rows needs the readings it is from: its points are in their units.
    pub(in crate::watch) fn resume_forest(&mut self, part: Part, bytes: &[u8]) -> Result<(), BadState> {
        let unreadable = BadState("it cannot be read");
        match part {
            Part::Readings => {}
            Part::Rows => {
                let vector = self.vector.as_mut().ok_or(OTHER_CHANNELS)?;
                let forest = Forest::restore(bytes).map_err(|_| unreadable)?;
                let dimensions = |forest: &Forest| forest.options().dimensions;
                if vector.forest.as_ref().map(dimensions) != Some(dimensions(&forest)) {
                    return Err(OTHER_CHANNELS);
                }
                if forest.seen() > 0 && !vector.knows_the_usual() {
                    return Err(BadState("the readings it goes with are gone"));
                }
                vector.forest = Some(forest);
            }
            Part::Hours(place) => {
                let signal =
                    self.channels.get_mut(usize::from(place)).and_then(Option::as_mut).ok_or(OTHER_CHANNELS)?;
                signal.windows.learned = Some(postcard::from_bytes(bytes).map_err(|_| unreadable)?);
            }
        }
        Ok(())
    }

    fn rows_forest(&self) -> Option<&Forest> {
        self.vector.as_ref()?.forest.as_ref()
    }

    fn learned(&self, place: u16) -> Option<&Learned> {
        self.channels.get(usize::from(place))?.as_ref()?.windows.learned.as_ref()
    }
}
