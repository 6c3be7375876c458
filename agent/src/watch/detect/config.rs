//! The settings of the detector and their limits.

use super::super::wind::Turbine;
use serde::Deserialize;

/// How anomalies and sick sensors are told: the `[detect]` table of the agent's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectConfig {
    /// Trees of each forest, 10 to 200. More are steadier and slower.
    pub trees: usize,
    /// Rows each tree of a device's forest remembers, 32 to 1024.
    pub sample_size: usize,
    /// A fixed score, on the AWS scale, that opens an alert by itself, as in the labs: 2 or 3. Without it the score of a
    /// row is shown and what alerts is learned.
    pub threshold: Option<f32>,
    /// Days in which each test may raise one false alarm, 1 to 3650. Fewer days find smaller faults. Blocks of 64 readings
    /// are what is counted, at least 20 and at most 8,100 of them: at one reading a second more than 6 days say no more.
    pub return_days: f64,
    /// Readings to learn from before a jump, a shift or noise alerts, 40 to 100,000; more than 320 change nothing.
    pub warm_up: u32,
    /// Seconds for which a value must have been held before its sensor is called stuck, whatever else speaks for it; 0
    /// turns the verdict off.
    pub stuck_after_s: u32,
    /// Polls in a row without a value before that is an alert, at least 1.
    pub no_data_after: u32,
    /// What the turbine was built for, for the alerts of dangerous wind.
    pub turbine: Turbine,
}

impl Default for DetectConfig {
    fn default() -> Self {
        DetectConfig {
            trees: 50,
            sample_size: 256,
            threshold: None,
            return_days: 60.0,
            warm_up: 320,
            stuck_after_s: 3,
            no_data_after: 5,
            turbine: Turbine::default(),
        }
    }
}

/// A setting of [`DetectConfig`] that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{key}` is {value}, it must lie between {least} and {most}")]
pub struct BadDetect {
    /// The setting.
    pub key: &'static str,
    /// What it says.
    pub value: f64,
    /// Least value allowed.
    pub least: f64,
    /// Greatest value allowed.
    pub most: f64,
}

impl DetectConfig {
    /// Checks all settings; the first that cannot be used is the error.
    pub fn check(&self) -> Result<(), BadDetect> {
        // No score is greater than this; in tenths, for people read it.
        let top = (10.0 * f64::from(self.sample_size.max(1) as u32 + 1).log2()).floor() / 10.0;
        let limits = [
            ("trees", self.trees as f64, 10.0, 200.0),
            ("sample_size", self.sample_size as f64, 32.0, 1024.0),
            ("threshold", self.threshold.map_or(1.0, f64::from), 1.0, top),
            ("return_days", self.return_days, 1.0, 3_650.0),
            ("warm_up", f64::from(self.warm_up), 40.0, 100_000.0),
            ("stuck_after_s", f64::from(self.stuck_after_s), 0.0, 86_400.0),
            ("no_data_after", f64::from(self.no_data_after), 1.0, 100_000.0),
        ];
        match limits
            .into_iter()
            .chain(self.turbine.limits())
            .find(|(_, value, least, most)| !(least..=most).contains(&value))
        {
            Some((key, value, least, most)) => Err(BadDetect { key, value, least, most }),
            None => Ok(()),
        }
    }
}
