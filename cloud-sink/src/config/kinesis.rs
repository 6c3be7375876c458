//! The section `[kinesis]`.

use serde::Deserialize;

/// An Amazon Kinesis data stream that agents write to. Credentials come from where the AWS SDK looks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kinesis {
    /// Name of the stream.
    pub stream: String,
    /// Region; the SDK's own search unless given.
    pub region: Option<String>,
    /// Another endpoint than the region's, for emulators.
    pub endpoint: Option<String>,
    /// Where to begin when this store has never seen the stream; after that, each shard goes on where it was.
    #[serde(default)]
    pub start: Start,
}

/// Where to begin with a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With all that the stream still has.
    #[default]
    Oldest,
    /// With what is put from now on.
    Latest,
}

pub(super) fn check(kinesis: &Kinesis) -> Result<(), (&'static str, String)> {
    name_of_a_stream("kinesis.stream", &kinesis.stream)
}

pub(super) fn name_of_a_stream(key: &'static str, name: &str) -> Result<(), (&'static str, String)> {
    if !is_name(name, 1..=128) {
        return Err((key, format!("{name:?} is no stream's name: 1 to 128 letters, digits and _ . -")));
    }
    Ok(())
}

/// Whether it has so many characters, all of those that AWS has in names.
pub(super) fn is_name(name: &str, length: std::ops::RangeInclusive<usize>) -> bool {
    length.contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}
