//! Windward's agent: two pure cores and a thin shell.
//!
//! [`watch`] reads sensors, judges every reading and raises alarms; [`forward`] keeps what was read on disk and sends
//! it on. They are joined by one bounded queue ([`handover`]), because a disk may stall for half a second and an alarm
//! may not (invariant A7). Neither core touches the world: the shell in [`io`] (feature `shell`) gives them inputs and
//! the time, and does what they put out.

pub mod command;
pub mod config;
pub mod drill;
pub mod forward;
pub mod hal;
pub mod handover;
#[cfg(feature = "shell")]
pub mod io;
pub mod probe;
pub mod replay;
pub mod time;
pub mod watch;
pub mod watchdog;
