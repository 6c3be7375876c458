//! What one publish carries: envelopes as a batch for a sink of Windward's, or as lines of JSON for others.

use super::Encoding;
use std::collections::BTreeSet;
use windward_protocol::batch::{BatchBuilder, MAX_BATCH, Packed};
use windward_protocol::{Envelope, SchemaId, json};

/// Envelopes on their way into one publish.
#[derive(Debug)]
pub(super) struct Payload {
    form: Form,
    /// Bytes so far, before compression, and most of them. The first envelope is always taken.
    bytes: usize,
    limit: usize,
}

#[derive(Debug)]
enum Form {
    Batch(BatchBuilder),
    Json(String),
}

impl Payload {
    pub(super) fn new(encoding: Encoding, limit: usize) -> Self {
        let form = match encoding {
            Encoding::Postcard => Form::Batch(BatchBuilder::new()),
            Encoding::Json => Form::Json(String::new()),
        };
        Self { form, bytes: 0, limit: limit.min(MAX_BATCH) }
    }

    /// Adds an envelope, or says that it no longer fits.
    pub(super) fn push(&mut self, envelope: &[u8]) -> bool {
        let fits = |bytes: usize, more: usize| bytes == 0 || bytes + more <= self.limit;
        let (taken, more) = match &mut self.form {
            Form::Batch(batch) => (fits(self.bytes, envelope.len()) && batch.push(envelope), envelope.len()),
            Form::Json(text) => {
                let lines = lines(envelope);
                let taken = fits(self.bytes, lines.len());
                if taken {
                    text.push_str(&lines);
                }
                (taken, lines.len())
            }
        };
        if taken {
            self.bytes += more;
        }
        taken
    }

    /// Bytes before compression.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The payloads to publish, none of them longer than [`MAX_BATCH`]: one, or where a single envelope has more lines
    /// than that several, or none where JSON has no words for what was put in. Also what the receiver learns from them.
    /// `known`: schemas that it has; `None`: it may not be able to read what is packed.
    pub(super) fn finish(self, known: Option<&BTreeSet<SchemaId>>) -> (Vec<Vec<u8>>, Vec<SchemaId>) {
        match (self.form, known) {
            (Form::Batch(batch), Some(known)) => {
                let Packed { bytes, schemas } = batch.finish_packed(known);
                (vec![bytes], schemas)
            }
            (Form::Batch(batch), None) => (vec![batch.finish()], Vec::new()),
            (Form::Json(text), _) => (in_parts(&text), Vec::new()),
        }
    }
}

/// An envelope that is damaged has no lines: the journal checks its values when it reads them.
fn lines(envelope: &[u8]) -> String {
    match Envelope::decode(envelope) {
        Ok(envelope) => json::lines(&envelope),
        Err(error) => {
            tracing::error!(%error, "left out: an envelope that cannot be read");
            String::new()
        }
    }
}

fn in_parts(text: &str) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for line in text.split_inclusive('\n') {
        match parts.last_mut().filter(|part| part.len() + line.len() <= MAX_BATCH) {
            Some(part) => part.extend_from_slice(line.as_bytes()),
            None => parts.push(line.as_bytes().to_vec()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_into_parts_between_lines() {
        let line = format!("{}\n", "x".repeat(999));
        let parts = in_parts(&line.repeat(300));
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [131_000, 131_000, 38_000]);
        assert_eq!(in_parts(""), Vec::<Vec<u8>>::new());
    }
}
