//! The steps that tell one notice once, pure: what is done next, given what came of the step before.
//!
//! ```text
//!   Claim ─┬─ of an alert ──▶ Look ─┬─▶ Place ─┬─▶ Publish ──▶ Mark ──▶ told
//!          │                        ├─▶ Drop   ├─ full ──▶ in a digest
//!          │                        └─▶ Postpone          (Publish failed ──▶ Postpone)
//!          ├─ placed before ─────────────────────▶ Publish …
//!          ├─ in a digest ──▶ Settle ──▶ Mark, or Postpone until that is told, or to begin again if that left it out
//!          └─ a digest ──▶ Gather ──▶ Seal ──▶ Publish ──▶ Mark ──▶ Members ──▶ MarkAll ──▶ told
//! ```
//! Every step is one idempotent change of the store, so that a process may die between any two. A claim ends by itself
//! after [`CLAIM_MS`]. Should a process die between Publish and Mark, the message goes out again under the same
//! [`super::Message::dedup_id`], which a FIFO topic and a receiver that honours `Idempotency-Key` absorb.

use super::{About, Digest, NoticeRow, Phase, Policy, Said, digest};

/// How long a claim holds, ms: longer than any attempt to publish may take.
pub const CLAIM_MS: i64 = 30_000;
/// First pause after a publish that failed, ms; doubles each time.
const PAUSE_MS: i64 = 1_000;
/// Longest such pause, ms.
const MAX_PAUSE_MS: i64 = 5 * 60_000;
/// What is untold for so long, ms, is tried each hour, and said to be untold each time.
const LONG_MS: i64 = 24 * 3_600_000;
/// Pause between tries of what is untold for long, ms.
const LONG_PAUSE_MS: i64 = 3_600_000;

/// What has become of an alert, and of its notices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Whether it has ended.
    pub cleared: bool,
    /// Whether somebody has acknowledged it.
    pub acknowledged: bool,
    /// Every notice of it.
    pub notices: Vec<NoticeRow>,
}

/// One thing to do next for a notice.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Reserve it in the store until [`CLAIM_MS`] from now.
    Claim,
    /// Read what has become of its alert.
    Look,
    /// Count it in this minute. If there is room, write that it is said so; if not, put it into the minute's digest.
    Place(Said),
    /// Read the digest of this sort key, which it is in.
    Settle(String),
    /// Read the members of this digest.
    Gather,
    /// Write what this digest says, for ever.
    Seal(Digest),
    /// Send the message.
    Publish,
    /// Write that it was told; before that the notice that follows it, if one does.
    Mark(Option<Box<NoticeRow>>),
    /// Read the members of this digest, which is told.
    Members,
    /// Write that these were told, each with the notice that follows it.
    MarkAll(Vec<(NoticeRow, Option<NoticeRow>)>),
    /// Write that there is nothing left to say.
    Drop,
    /// Give it back until `due_ms`. `anew`: it is in no digest any more.
    Postpone {
        /// When there is next something to do, ms.
        due_ms: i64,
        /// Publishes that failed.
        attempts: u32,
        /// How it is said is open again.
        anew: bool,
    },
    /// Nothing more, now.
    Over(Ended),
}

/// How it ended, for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is told, by us or by another before.
    Told,
    /// There was nothing left to say.
    Dropped,
    /// A digest will tell it.
    Folded,
    /// Later; the store says when.
    Later,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Done.
    Done,
    /// It failed; the shell has logged why.
    Failed,
    /// Claim: ours until it ends; the row as it stands.
    Claimed(Box<NoticeRow>),
    /// Claim: another holds it, or it is not due. Other writes: another has taken it over.
    Held,
    /// Claim: it was told or dropped before.
    Before,
    /// Look.
    Looked(Look),
    /// Place: there was no room, and it is in the minute's digest.
    Folded,
    /// Settle: the digest, if there is one.
    Digest(Option<Box<NoticeRow>>),
    /// Gather, Members.
    Gathered(Vec<NoticeRow>),
}

/// A notice on its way to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Telling {
    /// The notice, as it stood when it was claimed and as far as we have changed it since.
    pub row: NoticeRow,
    /// What is to be done next.
    pub step: Step,
}

impl Telling {
    /// Begins with a claim.
    pub fn begin(row: NoticeRow) -> Self {
        Self { row, step: Step::Claim }
    }

    /// Takes what came of the step, and goes on to the next.
    pub fn take(&mut self, outcome: Outcome, policy: &Policy, now_ms: i64) {
        let step = std::mem::replace(&mut self.step, Step::Over(Ended::Later));
        self.step = match (step, outcome) {
            (Step::Claim, Outcome::Claimed(row)) => {
                self.row = *row;
                claimed(&self.row)
            }
            (Step::Claim, Outcome::Before) => Step::Over(Ended::Told),
            (Step::Look, Outcome::Looked(look)) => decide(&self.row, &look, now_ms),
            (Step::Place(said), Outcome::Done) => {
                self.row.said = Some(said);
                Step::Publish
            }
            (Step::Place(_), Outcome::Folded) => Step::Over(Ended::Folded),
            (Step::Settle(_), Outcome::Digest(digest)) => self.settle(digest, policy, now_ms),
            (Step::Gather, Outcome::Gathered(members)) if members.is_empty() => Step::Drop,
            (Step::Gather, Outcome::Gathered(members)) => {
                Step::Seal(digest::seal(&self.row, &members, policy.page.as_deref()))
            }
            (Step::Seal(digest), Outcome::Done) => {
                self.row.about = About::Digest(Some(digest));
                Step::Publish
            }
            (Step::Publish, Outcome::Done) => self.mark(policy, now_ms),
            (Step::Publish, _) => self.postpone(now_ms),
            (Step::Mark(_), Outcome::Done) if self.row.phase == Phase::Digest => Step::Members,
            (Step::Members, Outcome::Gathered(members)) => self.mark_all(members, policy, now_ms),
            (Step::Mark(_) | Step::MarkAll(_), Outcome::Done) => Step::Over(Ended::Told),
            (Step::Drop, Outcome::Done) => Step::Over(Ended::Dropped),
            // The digest itself is told; members that are not marked see to themselves.
            (Step::Members | Step::MarkAll(_), _) => Step::Over(Ended::Told),
            // What is not ours any more, and what a failing store has left claimed, is found again when it is due. A
            // message that went out unmarked is among it: to publish it again at once would repeat it.
            (_, _) => Step::Over(Ended::Later),
        };
    }

    fn mark(&self, policy: &Policy, now_ms: i64) -> Step {
        Step::Mark(follow(&self.row, policy, now_ms).map(Box::new))
    }

    fn mark_all(&self, members: Vec<NoticeRow>, policy: &Policy, now_ms: i64) -> Step {
        let About::Digest(Some(digest)) = &self.row.about else { return Step::Over(Ended::Told) };
        let told = members.into_iter().filter(|member| digest.members.contains(&member.sort));
        let marked = told.map(|member| {
            let next = follow(&member, policy, now_ms);
            (member, next)
        });
        Step::MarkAll(marked.collect())
    }

    fn settle(&self, digest: Option<Box<NoticeRow>>, policy: &Policy, now_ms: i64) -> Step {
        let anew = Step::Postpone { due_ms: now_ms, attempts: self.row.attempts, anew: true };
        let Some(digest) = digest else { return anew };
        match &digest.about {
            About::Digest(Some(sealed)) if sealed.members.contains(&self.row.sort) => match digest.told_ms {
                Some(_) => self.mark(policy, now_ms),
                None => self.postpone(now_ms),
            },
            About::Digest(None) if digest.is_pending() => self.postpone(now_ms),
            // It was sealed without this one, and what is sealed does not change.
            _ => anew,
        }
    }

    fn postpone(&self, now_ms: i64) -> Step {
        let attempts = self.row.attempts;
        let pause_ms = match now_ms - self.row.created_ms {
            age_ms if age_ms > LONG_MS => LONG_PAUSE_MS,
            _ => (PAUSE_MS << attempts.min(20)).min(MAX_PAUSE_MS),
        };
        Step::Postpone { due_ms: now_ms + pause_ms, attempts: attempts + 1, anew: false }
    }
}

impl NoticeRow {
    /// Whether it has been untold for so long that this must be said.
    pub fn is_overdue(&self, now_ms: i64) -> bool {
        now_ms - self.created_ms > LONG_MS
    }
}

fn follow(row: &NoticeRow, policy: &Policy, now_ms: i64) -> Option<NoticeRow> {
    if row.said.as_ref().is_some_and(Said::is_gone) { None } else { policy.follow(row, now_ms) }
}

fn claimed(row: &NoticeRow) -> Step {
    match (&row.about, &row.said) {
        (About::Digest(None), _) => Step::Gather,
        (About::Digest(Some(_)), _) | (_, Some(Said::Own | Said::Gone)) => Step::Publish,
        (_, Some(Said::Digest { sort, .. })) => Step::Settle(sort.clone()),
        (_, Some(Said::Dropped)) => Step::Over(Ended::Dropped),
        (_, None) => Step::Look,
    }
}

/// How a notice is said whose turn has come.
fn decide(row: &NoticeRow, look: &Look, now_ms: i64) -> Step {
    let of_target = |other: &&NoticeRow| other.target == row.target && other.sort != row.sort;
    let mut others = look.notices.iter().filter(of_target).filter(|other| other.said != Some(Said::Dropped));
    let told_of = |phase| matches!(phase, Phase::Open | Phase::Update);
    match row.phase {
        Phase::Open | Phase::Digest if look.cleared => Step::Place(Said::Gone),
        Phase::Open | Phase::Digest => Step::Place(Said::Own),
        Phase::Update
            if others.any(|other| told_of(other.phase) && (look.cleared || other.severity() >= row.severity())) =>
        {
            Step::Drop
        }
        Phase::Update if look.cleared => Step::Place(Said::Gone),
        Phase::Update => Step::Place(Said::Own),
        Phase::Repeat | Phase::Escalate if look.cleared || look.acknowledged => Step::Drop,
        Phase::Repeat | Phase::Escalate => Step::Place(Said::Own),
        Phase::Clear => {
            let (mut told, mut wait_ms) = (false, None);
            for other in others.filter(|other| told_of(other.phase) || other.phase == Phase::Escalate) {
                match &other.said {
                    Some(said) => told |= !said.is_gone(),
                    // It may be on its way, by one who looked before the alert had ended.
                    None if other.due_ms <= now_ms + CLAIM_MS => wait_ms = wait_ms.max(Some(other.due_ms)),
                    // It will find the alert ended: an opening says that it came and went, the others say nothing.
                    None => {}
                }
            }
            match wait_ms {
                Some(due_ms) => Step::Postpone { due_ms: due_ms.max(now_ms) + 1, attempts: row.attempts, anew: false },
                None if told => Step::Place(Said::Own),
                None => Step::Drop,
            }
        }
    }
}
