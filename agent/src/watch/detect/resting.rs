//! A forest that is asked seldom. Between two points it rests as the bytes it is saved as, a sixth of what it takes awake;
//! from them it goes on to the bit. Pure.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use windward_forest::Forest;

#[derive(Clone, Debug)]
pub(super) enum Resting {
    Awake(Box<Forest>),
    Asleep(Vec<u8>),
}

impl Resting {
    pub(super) fn new(forest: Forest, rests: bool) -> Self {
        if rests { Resting::Asleep(saved(&forest)) } else { Resting::Awake(Box::new(forest)) }
    }

    /// Scores a point by those before, and takes it. `rests`: it is long until the next one.
    pub(super) fn observe(&mut self, point: &[f32], rests: bool) -> Option<f64> {
        if let Resting::Asleep(bytes) = self {
            // They are those of a forest: they were made here, or looked at when they were read.
            *self = Resting::Awake(Box::new(Forest::restore(bytes).ok()?));
        }
        let Resting::Awake(forest) = self else { return None };
        let score = forest.observe(point).ok().flatten();
        if rests {
            *self = Resting::Asleep(saved(forest));
        }
        score
    }
}

fn saved(forest: &Forest) -> Vec<u8> {
    let mut bytes = Vec::new();
    forest.save(&mut bytes);
    bytes.shrink_to_fit();
    bytes
}

impl Serialize for Resting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Resting::Awake(forest) => serializer.serialize_bytes(&saved(forest)),
            Resting::Asleep(bytes) => serializer.serialize_bytes(bytes),
        }
    }
}

impl<'de> Deserialize<'de> for Resting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        Forest::restore(bytes).map_err(D::Error::custom)?;
        Ok(Resting::Asleep(bytes.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windward_forest::Options;

    #[test]
    fn what_rests_scores_to_the_bit_as_what_stays_awake_and_is_saved_alike() {
        let options = Options { trees: 10, sample_size: 64, output_after: 16, seed: 7, ..Options::default() };
        let [mut resting, mut awake] =
            [true, false].map(|rests| Resting::new(Forest::new(options.clone()).unwrap(), rests));
        let saved = |forest: &Resting| postcard::to_allocvec(forest).unwrap();
        for step in 0..300u16 {
            let point = [f32::from(step * 37 % 101)];
            assert_eq!(resting.observe(&point, true), awake.observe(&point, false));
            if step % 50 == 0 {
                assert!(matches!((&resting, &awake), (Resting::Asleep(_), Resting::Awake(_))));
                assert_eq!(saved(&resting), saved(&awake));
                awake = postcard::from_bytes(&saved(&awake)).unwrap();
            }
        }
        assert!(postcard::from_bytes::<Resting>(&[3, 1, 2, 3]).is_err());
    }
}
