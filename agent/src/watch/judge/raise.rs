//! Alarms and the alerts they have open.

use super::super::alarm::{Alarm, Patience, Verdict};
use super::JudgeDevice;
use crate::time::{Mono, Stamp};
use serde::{Deserialize, Serialize};
use windward_protocol::{Alert, AlertKind, AlertPhase, Severity};

/// An alarm, and the alert it has open.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Raised {
    alarm: Alarm,
    id: u64,
    opened_ms: i64,
    kind: Option<AlertKind>,
    /// It goes on from a stored state, and has not been told of since.
    #[serde(skip)]
    resumed: bool,
}

/// What an alert says beyond its phase.
pub(super) struct Case {
    pub(super) kind: AlertKind,
    pub(super) severity: Severity,
    pub(super) value: Option<f64>,
    pub(super) score: Option<f64>,
    pub(super) threshold: Option<f64>,
    pub(super) evidence: String,
}

impl Raised {
    pub(super) fn is_open(&self) -> bool {
        self.alarm.is_open()
    }

    /// Whether it is open, and has not been told of since it was resumed.
    pub(super) fn is_untold(&self) -> bool {
        self.resumed && self.is_open()
    }

    pub(super) fn is_open_as(&self, kind: AlertKind) -> bool {
        self.is_open() && self.kind == Some(kind)
    }

    /// Takes a verdict; gives the step of the alert that follows from it. `case` is asked for only then. An alert keeps
    /// the kind it was opened with. `channel` is an index into the device's channels; `None` is the whole device.
    pub(super) fn step(
        &mut self,
        (verdict, patience): (Verdict, &Patience),
        stamp: Stamp,
        device: &JudgeDevice,
        channel: Option<usize>,
        ids: &mut Ids,
        case: impl FnOnce(AlertPhase) -> Case,
    ) -> Option<Alert> {
        let resumed = std::mem::take(&mut self.resumed) && self.alarm.is_open();
        let step = self.alarm.step(stamp.mono, verdict, patience);
        let phase = step.or(resumed.then_some(AlertPhase::Update))?;
        let mut case = case(phase);
        if step.is_none() {
            case.evidence = "still open after a restart of the agent".to_owned();
        }
        if phase == AlertPhase::Open {
            self.id = ids.next(stamp);
            self.opened_ms = stamp.wall.0;
            self.kind = Some(case.kind);
        }
        Some(self.alert(phase, case, stamp, device, channel))
    }

    /// The last step of an alert that nothing is asked about any more; `None`: there is none open.
    pub(super) fn end(self, stamp: Stamp, device: &JudgeDevice, channel: usize, case: Case) -> Option<Alert> {
        self.is_open().then(|| self.alert(AlertPhase::Clear, case, stamp, device, Some(channel)))
    }

    fn alert(
        &self,
        phase: AlertPhase,
        case: Case,
        stamp: Stamp,
        device: &JudgeDevice,
        channel: Option<usize>,
    ) -> Alert {
        let channel = channel.map(|index| &device.channels[index].channel);
        Alert {
            id: self.id,
            phase,
            kind: self.kind.unwrap_or(case.kind),
            severity: case.severity,
            location: device.location.clone(),
            device: device.device.clone(),
            channel: channel.map(|channel| channel.name.clone()).unwrap_or_default(),
            opened_ms: self.opened_ms,
            at_ms: stamp.wall.0,
            synced: stamp.synced,
            value: case.value,
            unit: channel.map(|channel| channel.unit.clone()).unwrap_or_default(),
            wind_speed: None,
            score: case.score,
            threshold: case.threshold,
            evidence: case.evidence,
        }
    }

    /// Lets a stored alarm go on at `now`, on a clock that is another one. What is open is told of once more, so that those
    /// who saw the agent start know.
    pub(super) fn resume(&mut self, now: Mono) {
        self.alarm.resume(now);
        self.resumed = true;
    }
}

/// Makes the ids of a device's alerts: a hash of the seed, the device, the time and a counter, so that neither two
/// devices nor two starts of an agent share one. 53 bits, for ids pass through JSON into programs whose only numbers
/// are doubles; among 100,000 alerts two are equal with a chance of one in two million.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    base: u64,
    opened: u64,
}

impl Ids {
    pub(super) fn new(base: u64) -> Self {
        Ids { base, opened: 0 }
    }

    fn next(&mut self, stamp: Stamp) -> u64 {
        self.opened += 1;
        mix(mix(self.base ^ stamp.wall.0 as u64).wrapping_add(self.opened)) >> 11
    }
}

/// The finaliser of SplitMix64: every bit of the input moves every bit of the output.
pub(super) fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
