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
    /// A3: what the broker has taken is freed.
    FreeAtPuback,
    /// A4: the record of a gap says something else.
    GapUntold,
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
    /// What was decided about times is forgotten.
    ErasForgotten,
    /// S1: acks go out before the rows are stored.
    AckBeforeStored,
    /// S1: people are told later than the ack.
    AckBeforeTold,
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
    /// Nothing is sent a second time.
    NeverAgain,
}
