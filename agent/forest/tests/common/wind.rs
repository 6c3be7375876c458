//! A stream like that of anemometers: turbulent wind that drifts over the day, the same for the same seed.

use crate::noise::Noise;

/// Wind in m/s, one input a second.
pub(crate) struct Wind {
    noise: Noise,
    second: u32,
    /// The day's course starts anywhere, so that many streams are not in step.
    phase: f32,
    /// Gusts that all the sensors of a mast feel.
    gusts: f32,
    /// What each sensor feels alone.
    own: Vec<f32>,
}

impl Wind {
    pub(crate) fn new(seed: u64, dimensions: usize) -> Self {
        let mut noise = Noise(seed);
        let phase = noise.uniform();
        Wind { noise, second: 0, phase, gusts: 0.0, own: vec![0.0; dimensions] }
    }

    /// The next input: a day's swing of 3 m/s around 9, gusts of about 1.3 m/s that last some ten seconds, and a few
    /// tenths of each sensor's own.
    pub(crate) fn next_into(&mut self, input: &mut [f32]) {
        let day = (self.second as f32 / 86_400.0 + self.phase) * std::f32::consts::TAU;
        self.second += 1;
        self.gusts = 0.95 * self.gusts + 0.4 * self.noise.next();
        for (sensor, value) in input.iter_mut().enumerate() {
            self.own[sensor] = 0.8 * self.own[sensor] + 0.2 * self.noise.next();
            *value = 9.0 + 3.0 * day.sin() + self.gusts + self.own[sensor];
        }
    }
}
