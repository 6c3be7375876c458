//! Writes closed hours to the archive, and ranges for people.
//!
//! Several sinks may do so at once: an hour is claimed before its file is written, because a slow one that writes an
//! older file over a newer one would hide late rows. Whoever fails or dies leaves its claim to end, and the hour is
//! written by whoever comes next; so a failing hour is tried again every quarter of an hour and holds up no other.

mod encode;
pub mod export;
mod place;
#[cfg(feature = "aws")]
mod s3;

pub use encode::Format;
pub use place::Place;

use super::store::{Span, Store, Taken};
use super::{Counts, Stop, clock};
use crate::archive::{DataSet, DeviceHour, HOUR_MS, Hour, push_alert, push_stats};
use crate::config;
use anyhow::{Context as _, Result};
use encode::Encoder;
use object_store::buffered::BufWriter;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a claim on an hour holds; it is renewed when half of that has passed.
pub const CLAIM_MS: i64 = 15 * 60_000;
/// Most hours of a data set that one round looks at.
const ROUND: u32 = 1000;
/// Most windows of one channel in an hour.
const MAX_WINDOWS: u32 = 3600;
/// Rows of blocks that are asked for at once.
const PAGE: u64 = 10_000;
/// Longest pause after rounds that could not even ask the store.
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// What writes a farm's hours.
pub struct Archiver {
    /// Where the rows stand.
    pub store: Store,
    /// Where the files go.
    pub place: Place,
    /// Farm.
    pub farm: String,
    /// How long after its end an hour is written, ms.
    pub close_after_ms: i64,
    /// What time it is, ms.
    pub clock: fn() -> i64,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Files written.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Hours that failed, and are tried again.
    pub failed: u64,
    /// Rows of the store that could not be read.
    pub unreadable: u64,
    /// Hours whose file stays as it was, because the store holds fewer rows by now.
    pub kept: u64,
}

/// Which rows are wanted.
#[derive(Clone, Debug)]
struct Wanted {
    agent: Option<String>,
    device: Option<String>,
    from_ms: i64,
    to_ms: i64,
}

impl Wanted {
    /// Every row.
    const ALL: Wanted = Wanted { agent: None, device: None, from_ms: i64::MIN, to_ms: i64::MAX };

    fn is_member(&self, member: &str) -> bool {
        let (agent, device) = member.split_once('/').unwrap_or((member, ""));
        let device = device.split('/').next().unwrap_or_default();
        self.agent.as_deref().is_none_or(|wanted| wanted == agent)
            && self.device.as_deref().is_none_or(|wanted| wanted == device)
    }
}

impl Archiver {
    /// What the configuration asks for.
    pub async fn open(store: Store, farm: String, config: &config::Archive) -> Result<Self> {
        let place = Place::open(&config.place).await?;
        let close_after_ms = i64::from(config.close_after_min) * 60_000;
        Ok(Self { store, place, farm, close_after_ms, clock: clock::now_ms })
    }

    /// Writes every closed hour whose file is not of its version. An hour that fails costs only itself. An error: the
    /// store does not say which hours there are.
    pub async fn round(&self) -> Result<Round> {
        let mut round = Round::default();
        for set in DataSet::ALL {
            let closed_ms = (self.clock)() - self.close_after_ms - HOUR_MS;
            for start_ms in self.store.dirty_hours(&self.farm, set, closed_ms + 1, ROUND).await? {
                let hour = Hour { farm: self.farm.clone(), set, start_ms };
                if let Err(error) = self.hour(&hour, &mut round).await {
                    round.failed += 1;
                    tracing::error!(file = hour.path(), "archive: {error:#}");
                }
            }
        }
        Ok(round)
    }

    async fn hour(&self, hour: &Hour, round: &mut Round) -> Result<()> {
        let claim = format!("{:016x}", RandomState::new().hash_one(&hour.farm));
        let now_ms = (self.clock)();
        let taken = self.store.take_hour(hour, &claim, now_ms, now_ms + CLAIM_MS).await?;
        let Some(taken) = taken else { return Ok(()) };
        let mut upload = self.place.upload(&hour.path());
        let done = match self.fill(&taken, &mut upload).await {
            Ok(done) => done,
            Err(error) => {
                // What cannot even be broken off is left to whoever cleans the place up.
                drop(upload.abort().await);
                return Err(error);
            }
        };
        if done.rows == 0 || done.rows < taken.rows {
            upload.abort().await.context("cannot break the file off")?;
        } else {
            upload.shutdown().await.context("cannot complete the file")?;
        }
        round.unreadable += done.unreadable;
        if done.rows < taken.rows {
            round.kept += 1;
            tracing::warn!(
                file = hour.path(),
                rows = taken.rows,
                rows_now = done.rows,
                "the store holds fewer rows of this hour than its file; the file stays as it is"
            );
        } else if done.rows > 0 {
            round.files += 1;
            round.rows += done.rows;
            tracing::info!(file = hour.path(), rows = done.rows, "archived");
        }
        if !self.store.finish_hour(&taken, done.rows.max(taken.rows)).await? {
            tracing::warn!(file = hour.path(), "another sink took this hour meanwhile; it is written again");
        }
        Ok(())
    }

    async fn fill(&self, taken: &Taken, upload: &mut BufWriter) -> Result<Filled> {
        let hour = &taken.hour;
        let mut encoder = Encoder::new(hour.set, Format::Parquet)?;
        let mut unreadable = 0;
        let mut held_ms = (self.clock)();
        for part in parts(&self.store, hour, &Wanted::ALL).await? {
            if (self.clock)() - held_ms > CLAIM_MS / 2 {
                self.hold(taken).await?;
                held_ms = (self.clock)();
            }
            let more;
            (encoder, more) = add_part(&self.store, hour, &part, &Wanted::ALL, encoder, upload).await?;
            unreadable += more;
        }
        let rows = encoder.rows();
        upload.write_all(&encoder.finish()?).await.context("cannot write the file")?;
        // The last thing before the file appears: one that another has written meanwhile must not be overwritten.
        self.hold(taken).await?;
        if unreadable > 0 {
            tracing::error!(file = hour.path(), unreadable, "rows of the store that cannot be read are left out");
        }
        Ok(Filled { rows, unreadable })
    }

    async fn hold(&self, taken: &Taken) -> Result<()> {
        let held = self.store.hold_hour(taken, (self.clock)() + CLAIM_MS).await?;
        anyhow::ensure!(held, "another sink has taken the hour");
        Ok(())
    }
}

struct Filled {
    rows: u64,
    unreadable: u64,
}

/// The parts of an hour, each of which is read by itself, in the order of the file: a device's readings, a channel's
/// statistics, all alerts.
async fn parts(store: &Store, hour: &Hour, wanted: &Wanted) -> Result<Vec<String>> {
    if hour.set == DataSet::Alerts {
        return Ok(vec![hour.farm.clone()]);
    }
    let mut members = store.hour_members(hour).await?;
    members.retain(|member| wanted.is_member(member));
    // `t1/…` before `t1-b/…`, as agent and device in columns of their own are sorted.
    members.sort_by(|a, b| a.split('/').cmp(b.split('/')));
    Ok(members)
}

/// Adds one of the parts. Gives the encoder back, and how many rows of the store could not be read.
async fn add_part(
    store: &Store,
    hour: &Hour,
    part: &str,
    wanted: &Wanted,
    mut encoder: Encoder,
    upload: &mut BufWriter,
) -> Result<(Encoder, u64)> {
    let (start_ms, last_ms) = (hour.start_ms, hour.last_ms());
    let (from_ms, to_ms) = (start_ms.max(wanted.from_ms), last_ms.min(wanted.to_ms));
    let mut unreadable = 0;
    match hour.set {
        DataSet::Readings => {
            let blocks = blocks(store, part, hour).await?;
            let (part, wanted) = (part.to_string(), wanted.clone());
            // Decoding and packing take the processor for longer than a runtime's thread may be held.
            let encoded = tokio::task::spawn_blocking(move || {
                let mut device = DeviceHour::default();
                for block in blocks {
                    device.add(&block, start_ms, |time_ms| (wanted.from_ms..=wanted.to_ms).contains(&time_ms));
                }
                let (agent, name) = part.split_once('/').unwrap_or((&part, ""));
                for reading in device.readings() {
                    encoder.reading(agent, name, &reading)?;
                }
                anyhow::Ok((encoder, device.unreadable()))
            });
            (encoder, unreadable) = encoded.await??;
        }
        DataSet::Alerts => {
            for row in store.alerts_opened(part, from_ms, to_ms).await? {
                let device = format!("{}/{}", row.agent, row.device);
                if wanted.is_member(&device) {
                    encoder.row(|table| push_alert(table, &row))?;
                }
            }
        }
        DataSet::Stats => {
            for row in store.stats(part, from_ms, to_ms, MAX_WINDOWS).await? {
                encoder.row(|table| push_stats(table, &row))?;
            }
        }
    }
    upload.write_all(&encoder.take()?).await.context("cannot write the file")?;
    Ok((encoder, unreadable))
}

/// The blocks of a device that may hold rows of an hour: some hundred KB.
async fn blocks(store: &Store, partition: &str, hour: &Hour) -> Result<Vec<Vec<u8>>> {
    let (from_ms, to_ms) = (hour.start_ms, hour.last_ms());
    let mut span = Span { partition: partition.into(), from_ms, to_ms, after: None, limit: PAGE };
    let mut blocks = Vec::new();
    loop {
        let page = store.readings(&span).await?;
        blocks.extend(page.blocks);
        match page.next {
            Some(next) => span.after = Some(next),
            None => return Ok(blocks),
        }
    }
}

/// Writes hours as they close, until the sink stops. What is under way then is written again after the next start.
pub(super) async fn run(archiver: Archiver, every: Duration, mut stop: watch::Receiver<Stop>, counts: Arc<Counts>) {
    let archiver = Arc::new(archiver);
    let rounds = async {
        let mut pause = every;
        // A task of its own, so that a panic costs a round; it ends with this set.
        let mut work = JoinSet::new();
        loop {
            let archiver = archiver.clone();
            work.spawn(async move { archiver.round().await });
            let Some(ended) = work.join_next().await else { return };
            match ended.map_err(Into::into).and_then(|done| done) {
                Ok(round) => {
                    pause = every;
                    counts.archived.fetch_add(round.files, Ordering::Relaxed);
                    counts.archive_failed.fetch_add(round.failed, Ordering::Relaxed);
                    counts.archive_unreadable.fetch_add(round.unreadable, Ordering::Relaxed);
                }
                Err(error) => {
                    pause = (pause * 2).min(MAX_PAUSE);
                    counts.archive_failed.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(again_s = pause.as_secs(), "archive: {error:#}");
                }
            }
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        _ = stop.wait_for(|stop| *stop != Stop::Run) => {}
        () = rounds => {}
    }
}
