//! What WATCH hands to FORWARD, through a bounded queue.
//!
//! When the queue is full, a row (or the statistics of a window) is dropped and counted, and an alert waits in WATCH's
//! shell: nothing in WATCH waits for a disk (A7).

use windward_protocol::{Alert, DeviceHealth, Row, Stats};

/// One thing handed over.
#[derive(Clone, Debug, PartialEq)]
pub enum Handover {
    /// A row of the device with this index in the configuration.
    Row {
        /// Index into the configuration's devices.
        device: usize,
        /// Whether the clock was set when the row was read.
        synced: bool,
        /// What was read, and how it scored.
        row: Row,
    },
    /// A step of an alert.
    Alert(Alert),
    /// Statistics of a device's channels.
    Stats(Vec<Stats>),
    /// How all devices stand; sent every now and then for the health record.
    Devices {
        /// One for each device.
        devices: Vec<DeviceHealth>,
        /// Rows dropped so far because the queue was full.
        dropped_rows: u64,
    },
}
