//! Deliberate faults of Windward itself, at the border of its cores: what the oracle is worth is what it catches.

use clap::ValueEnum;

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Break {
    /// A1: the journal says committed, and the disk has synced nothing.
    CommitWithoutSync,
    /// A1, A5: a commit that the disk refused is taken for a good one.
    FailedCommitTaken,
    /// A2: an emptied spool begins with number 1 again.
    NumbersRestart,
    /// A2: after a power cut numbers go on where the disk says that they end.
    NumbersReused,
    /// A3: what the broker has taken is freed.
    FreeAtPuback,
    /// A3: what one of two uplinks has acked is freed.
    FreeAtOneAck,
    /// A3: what a stream has refused counts as taken.
    RefusedTaken,
    /// A4: the record of a gap says something else.
    GapUntold,
    /// A2: damage that was found by a start that came to nothing is not found by the next.
    DamageForgotten,
    /// A4: what was to make room stays on disk.
    RoomKept,
    /// A4: an alert makes room for readings.
    AlertsMakeRoom,
    /// A5: what the disk refuses is not told.
    FailureUntold,
    /// A6: a failed read is a zero.
    FailedReadIsZero,
    /// A7: an alert is told when the disk has time.
    AlertWaits,
    /// A killed process leaves no side file.
    NoSideFile,
    /// What stands in side files and cannot be saved at the start is forgotten.
    UnsavedForgotten,
    /// A2: side files are asked what stood under numbers that have been through a commit.
    SideFilesBelieved,
    /// What was decided about times is forgotten.
    ErasForgotten,
    /// S1: acks go out before the rows are stored.
    AckBeforeStored,
    /// S1: acks go out for alerts of which nothing says that people must be told.
    AckBeforeTold,
    /// S1: acks go out for batches whose schemas are kept nowhere.
    SchemaForgotten,
    /// A schema is named that the sink was never told.
    SchemaUntold,
    /// S2: nobody looks whether people were told before.
    ToldTwice,
    /// S2: a block that comes again is another row.
    StoredTwice,
    /// S3: what cannot be decoded is acked and gone.
    PoisonForgotten,
    /// S3: what cannot be decoded is never acked.
    PoisonUnacked,
    /// S4: a bucket of the ledger holds what came last.
    LedgerForgets,
    /// Some of what a mirror is sent counts as taken, and is not.
    MirrorMisses,
    /// A limit of bytes a second is not heeded.
    LimitForgotten,
    /// Nothing is sent a second time.
    NeverAgain,
}

impl Break {
    /// As what it may be caught first.
    #[cfg(test)]
    pub(crate) fn caught_as(self) -> &'static [&'static str] {
        match self {
            Break::CommitWithoutSync => &["A1"],
            Break::FailedCommitTaken => &["A1", "A5"],
            Break::NumbersRestart => &["A2", "A4"],
            Break::DamageForgotten => &["A2", "A4"],
            Break::NumbersReused => &["A2"],
            Break::FreeAtPuback | Break::FreeAtOneAck => &["A3", "lost"],
            Break::RefusedTaken => &["A3", "order", "lost"],
            Break::GapUntold => &["A4", "S4"],
            Break::RoomKept => &["A4"],
            Break::AlertsMakeRoom => &["lost", "A2", "A1"],
            Break::FailureUntold => &["A5"],
            Break::FailedReadIsZero => &["A6"],
            Break::AlertWaits => &["A7"],
            Break::NoSideFile | Break::UnsavedForgotten => &["lost"],
            Break::SideFilesBelieved => &["A2"],
            Break::ErasForgotten => &["A2"],
            Break::AckBeforeStored | Break::AckBeforeTold | Break::SchemaForgotten => &["S1"],
            Break::ToldTwice | Break::StoredTwice => &["S2"],
            Break::PoisonForgotten => &["S3"],
            Break::PoisonUnacked => &["liveness"],
            Break::LedgerForgets => &["S4", "A3", "S1", "lost"],
            Break::NeverAgain | Break::SchemaUntold => &["liveness"],
            Break::MirrorMisses => &["lost", "order"],
            Break::LimitForgotten => &["limit"],
        }
    }
}
