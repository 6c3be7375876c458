//! Windward's cloud sink: a pure core and a thin shell.
//!
//! [`sink`] turns what a broker delivers into a plan: rows to place, people to tell, sequences to ack. [`query`] turns
//! rows back into answers, [`archive`] into files; [`presence`] and [`fleet`] find in them what no single agent can
//! tell; [`metrics`] into figures for Prometheus; [`shards`] decides which part of a stream is whose; [`labs`] puts
//! readings into the forms that other consumers know. None of them touches the world; the shell in [`io`] (feature
//! `shell`) receives, stores, tells and answers, and is the only part that knows of MQTT, SQLite, AWS, HTTP and the
//! clock.

pub mod access;
pub mod answer;
pub mod archive;
pub mod config;
pub mod days;
pub mod decode;
pub mod fleet;
pub mod health;
#[cfg(feature = "shell")]
pub mod io;
pub mod labs;
pub mod ledger;
pub mod limit;
pub mod metrics;
pub mod notify;
pub mod oidc;
pub mod overview;
pub mod place;
pub mod presence;
pub mod query;
pub mod recent;
pub mod series;
pub mod shards;
pub mod sink;
pub mod watchdog;
pub mod wind;
