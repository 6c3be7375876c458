//! The sink against the world: what must hold of both stores is run on both, and the ways in and out meet real servers.
//!
//! One program, because linking the AWS SDK costs more than most of what it tests. DynamoDB and SNS need
//! `WINDWARD_DYNAMODB_ENDPOINT`; without it those tests say that they are skipped. `tests/run` sets it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

/// The conformance suite: each of these on SQLite and on DynamoDB. A test takes an empty `Place`.
macro_rules! on_both_stores {
    ($($test:ident)*) => {$(
        mod $test {
            use crate::farm::Place;

            #[tokio::test]
            async fn sqlite() {
                super::$test(Place::sqlite().await).await;
            }

            #[tokio::test]
            async fn dynamodb_or_skipped_without_endpoint() {
                if let Some(place) = Place::dynamodb(stringify!($test)).await {
                    super::$test(place).await;
                }
            }
        }
    )*};
}

mod access;
mod api;
mod archive;
mod company;
mod farm;
mod kinesis;
mod lambda;
mod mail;
mod packed;
mod placing;
mod presence;
mod service;
mod telling;
mod topics;
