//! WATCH under virtual time: what it asks and hears, and what rows come of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod asked;
mod heard;
mod hurry;
mod limits;
mod ten_minutes;
mod world;
