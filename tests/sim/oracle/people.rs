//! What people have heard: every alert once, or that it came and went; and again only where nobody could know.

use crate::scenario::Scenario;
use crate::sink::targets;
use crate::store::Store;
use std::collections::BTreeMap;
use windward_protocol::AlertPhase;
use windward_sink::notify::{About, NoticeRow, Said};

/// What is asked about the people who are to be told.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Asked {
    Nothing,
    /// It is on record that they are to be told.
    Noted,
    Told,
}

/// What people have heard, by notice.
#[derive(Default)]
pub(super) struct People {
    heard: BTreeMap<String, Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    times: u32,
    /// How often they may hear it once more: it went out, and the sink died or its store failed before that was on
    /// record.
    excused: u32,
    /// The message it was in.
    dedup: String,
    /// That the alert came and went.
    gone: bool,
}

impl People {
    /// Of a step of an alert, by the alert's sort key.
    pub(super) fn check(
        &self,
        store: &Store,
        scenario: &Scenario,
        alert: &str,
        phase: AlertPhase,
        asked: Asked,
    ) -> Result<(), &'static str> {
        for notice in notices(scenario, alert, phase) {
            if asked == Asked::Noted && !store.notices.contains_key(&notice) {
                return Err("nothing says that people must be told");
            }
            if asked == Asked::Told && !self.was_told(alert, &notice) {
                return Err("people were not told");
            }
        }
        Ok(())
    }

    /// Of the end of an alert nobody is told who was told that it came and went, or was not told of it at all.
    fn was_told(&self, alert: &str, notice: &str) -> bool {
        let opening = notice.replace(&format!("{alert}#clear#"), &format!("{alert}#open#"));
        let needless = opening != notice && self.heard.get(&opening).is_none_or(|heard| heard.gone);
        needless || self.heard.contains_key(notice)
    }

    /// They get a message, once, and if again then in the same words.
    pub(super) fn told(&mut self, store: &Store, row: &NoticeRow) -> Result<(), String> {
        let message = row.message(None).ok_or("an empty digest")?;
        for notice in notices_in(row) {
            let heard = self.heard.entry(notice.clone()).or_default();
            heard.times += 1;
            let changed = heard.times > 1 && heard.dedup != message.dedup_id;
            let too_often = heard.times > 1 + heard.excused;
            let said = store.notices.get(&notice).and_then(|row| row.said.as_ref());
            (heard.dedup, heard.gone) = (message.dedup_id.clone(), said.is_some_and(Said::is_gone));
            if too_often || changed {
                return Err(format!("{notice} told a second time, in {}", message.dedup_id));
            }
        }
        Ok(())
    }

    /// A message is out, and nobody will know.
    pub(super) fn unmarked(&mut self, row: &NoticeRow) {
        for notice in notices_in(row) {
            self.heard.entry(notice).or_default().excused += 1;
        }
    }
}

/// The notices that a step of an alert must make. Of updates people are told only if they are worse.
fn notices(scenario: &Scenario, alert: &str, phase: AlertPhase) -> Vec<String> {
    let phase = match phase {
        AlertPhase::Open => "open",
        AlertPhase::Clear if scenario.sink.tells_clear => "clear",
        AlertPhase::Update | AlertPhase::Clear => return Vec::new(),
    };
    let of_each = targets(scenario.sink.webhook).into_iter();
    of_each.map(|target| format!("{alert}#{phase}#{target}")).collect()
}

/// The notices that a message speaks for.
fn notices_in(row: &NoticeRow) -> Vec<String> {
    match &row.about {
        About::Digest(Some(digest)) => digest.members.iter().chain([&row.sort]).cloned().collect(),
        _ => vec![row.sort.clone()],
    }
}
