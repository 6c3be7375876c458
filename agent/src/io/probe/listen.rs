//! Listening for devices that speak by themselves.

use super::super::progress::Progress;
use super::examine::Finding;
use super::sweep::open;
use crate::config::{Bus, Link, Parity};
use crate::probe::fit::{SUGGESTED, fit_sentences};
use crate::probe::sweep::{Setting, delivered_with};
use crate::probe::{Known, table};
use crate::watch::sentence::{Field, Format, Framer, Sentence, parse};
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

/// How long a rate is listened at; again as long once something is heard. Most devices speak once a second.
const LISTEN: Duration = Duration::from_millis(1_200);
/// Most sentences that are kept.
const MAX_SENTENCES: usize = 16;
/// Most bytes that are listened to at one rate.
const MAX_BYTES: usize = 16_384;
/// Sentences that are shown.
const SHOWN: usize = 3;

const FORMATS: [Format; 4] = [Format::Nmea, Format::Gill, Format::Wxt, Format::Wmt];

/// What was heard.
pub(super) struct Heard {
    link: Link,
    format: Format,
    sentences: Vec<Sentence>,
    lines: Vec<String>,
}

/// Listens at each rate until sentences are heard; `None`: nobody speaks by himself.
pub(super) async fn listen(port: &Path, bauds: &[u32], progress: &Progress) -> io::Result<Option<Heard>> {
    progress.start(bauds.len());
    for baud in bauds {
        let setting = Setting { baud: *baud, parity: Parity::None, stop_bits: 1 };
        progress.stage(format!("listening at {setting}"));
        if let Some(heard) = listen_at(port, setting).await? {
            progress.clear();
            return Ok(Some(heard));
        }
        progress.step();
    }
    progress.clear();
    Ok(None)
}

async fn listen_at(path: &Path, setting: Setting) -> io::Result<Option<Heard>> {
    let (mut port, link) = open(path, setting).await?;
    let bytes = async {
        let (mut bytes, mut chunk) = (Vec::new(), [0; 256]);
        for _ in 0..2 {
            let more = async {
                while bytes.len() < MAX_BYTES {
                    match port.read(&mut chunk).await {
                        Ok(0) | Err(_) => return,
                        Ok(count) => bytes.extend_from_slice(&chunk[..count]),
                    }
                }
            };
            // That the time is over is the usual end.
            if timeout(LISTEN, more).await.is_ok() || bytes.is_empty() {
                break;
            }
        }
        bytes
    };
    let bytes = bytes.await;
    let heard = FORMATS.into_iter().map(|format| {
        let (sentences, lines) = sentences(format, &bytes);
        Heard { link: link.clone(), format, sentences, lines }
    });
    Ok(heard.max_by_key(|heard| heard.sentences.len()).filter(|heard| !heard.sentences.is_empty()))
}

fn sentences(format: Format, bytes: &[u8]) -> (Vec<Sentence>, Vec<String>) {
    let (mut framer, mut sentences, mut lines) = (Framer::new(format), Vec::new(), Vec::new());
    for byte in bytes {
        let Some(line) = framer.push(*byte) else { continue };
        if let Ok(sentence) = parse(format, line)
            && sentences.len() < MAX_SENTENCES
        {
            sentences.push(sentence);
            lines.push(line.escape_ascii().to_string());
        }
    }
    (sentences, lines)
}

/// What speaks there, and how it would be read.
pub(super) fn explain(heard: &Heard, known: &[Known]) -> Finding {
    let Heard { link, format, sentences, lines } = heard;
    let mut told = vec![format!("{link}: a device speaks by itself, in the format {format}:")];
    told.extend(lines.iter().take(SHOWN).map(|line| format!("  {line}")));
    let of_format =
        known.iter().filter(|known| matches!(known.bus, Bus::Sentences { format: of, .. } if of == *format));
    let mut fits: Vec<(f64, &str)> =
        of_format.map(|known| (fit_sentences(known, sentences, delivered_with(known, link)), known.name)).collect();
    fits.sort_by(|a, b| b.0.total_cmp(&a.0));
    fits.retain(|(sure, _)| *sure >= SUGGESTED);
    told.extend(fits.iter().map(|(sure, name)| format!("  profile {name}: fits to {:.0} %", sure * 100.0)));
    if fits.is_empty() {
        told.push("  No profile reads this; below is what it says. Fill in quantities and ranges.".into());
    }
    let profile = fits.first().map(|(_, name)| *name);
    let address = sentences.first().and_then(Sentence::address);
    let mut fields: Vec<Field> = Vec::new();
    for (name, _) in sentences.iter().flat_map(Sentence::readings) {
        if let Ok(field) = Field::parse(*format, name)
            && !fields.contains(&field)
        {
            fields.push(field);
        }
    }
    let name = profile.map_or_else(|| format!("{format}-device"), str::to_owned);
    let table = table::of_sentences(&name, profile, link, *format, address, &fields);
    Finding { told, table: Some(table) }
}
