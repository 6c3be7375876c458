//! How long, how much, and what a disk bears.

/// Times between commits that are proposed, ms.
pub const CHOICES_MS: [u64; 9] = [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];
/// A commit that takes 99 of 100 times less than this share of the time between commits is no strain.
const SHARE: u64 = 4;
const MIB: u64 = 1024 * 1024;

/// What a drill does. Times are in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Most commits by which the disk's speed is measured, and how long that may take.
    pub commits: usize,
    /// See `commits`.
    pub commits_ms: u64,
    /// How long rows are written and delivered in peace.
    pub write_ms: u64,
    /// How many times the agent is killed.
    pub kills: u32,
    /// Least and most time from the first publish to a kill.
    pub kill_after_ms: (u64, u64),
    /// How long the sink gets nothing of what the broker takes, so that FORWARD finds out by itself; 0: not tried.
    pub away_ms: u64,
    /// How long the sink stores without an ack, then gets nothing, then the link is cut.
    pub mute_ms: u64,
    /// See `mute_ms`.
    pub deaf_ms: u64,
    /// See `mute_ms`.
    pub cut_ms: u64,
    /// Rows written a second.
    pub rows_per_s: u32,
    /// Most bytes of readings on disk (A4), and how many are written without a link to fill that.
    pub quota_bytes: u64,
    /// See `quota_bytes`; what stands on disk is more than what was written.
    pub flood_bytes: u64,
    /// Free space that is needed.
    pub needs_bytes: u64,
    /// What must be left free besides.
    pub reserve_bytes: u64,
}

impl Plan {
    /// About ten seconds.
    pub fn quick(kills: u32) -> Self {
        Self {
            commits: 100,
            commits_ms: 1_500,
            write_ms: 2_000,
            kills,
            kill_after_ms: (50, 400),
            away_ms: 0,
            mute_ms: 400,
            deaf_ms: 400,
            cut_ms: 300,
            rows_per_s: 200,
            quota_bytes: 3 * MIB,
            flood_bytes: 4 * MIB,
            needs_bytes: 32 * MIB,
            reserve_bytes: 16 * MIB,
        }
    }

    /// About a minute.
    pub fn whole(kills: u32) -> Self {
        Self {
            commits: 500,
            commits_ms: 8_000,
            write_ms: 10_000,
            kill_after_ms: (200, 2_000),
            away_ms: 8_000,
            mute_ms: 1_000,
            deaf_ms: 1_000,
            cut_ms: 3_000,
            quota_bytes: 8 * MIB,
            flood_bytes: 12 * MIB,
            needs_bytes: 48 * MIB,
            reserve_bytes: 64 * MIB,
            ..Self::quick(kills)
        }
    }

    /// Alerts a second, each of which is a commit of its own: few enough for a slow disk.
    pub fn alerts_per_s(&self, speed: &Speed) -> u32 {
        (100_000 / speed.late_us.max(1)).clamp(1, 5) as u32
    }

    /// Time between commits, ms: what the disk bears, and a second at most, or the drill would take too long.
    pub fn commit_every_ms(&self, speed: &Speed) -> u64 {
        speed.bears_ms().min(1_000)
    }
}

/// How fast a disk commits one block, in µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Speed {
    /// How many commits were measured.
    pub commits: usize,
    /// Half of them took no longer.
    pub median_us: u64,
    /// 99 of 100 took no longer.
    pub late_us: u64,
    /// The longest.
    pub worst_us: u64,
}

impl Speed {
    /// Of the times that commits have taken, µs.
    pub fn of(mut times_us: Vec<u64>) -> Self {
        times_us.sort_unstable();
        // The least value that so many of a hundred do not exceed.
        let at = |percent: usize| {
            let rank = (times_us.len() * percent).div_ceil(100);
            times_us.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        Self { commits: times_us.len(), median_us: at(50), late_us: at(99), worst_us: at(100) }
    }

    /// Commits a second, one after another.
    pub fn per_s(&self) -> u64 {
        1_000_000 / self.median_us.max(1)
    }

    /// The shortest `commit_every_ms` that this disk bears.
    pub fn bears_ms(&self) -> u64 {
        let least_ms = (self.late_us * SHARE).div_ceil(1000);
        CHOICES_MS.into_iter().find(|choice| *choice >= least_ms).unwrap_or(CHOICES_MS[CHOICES_MS.len() - 1])
    }
}
