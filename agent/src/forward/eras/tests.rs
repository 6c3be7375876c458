//! Eras one decision at a time. That all of it holds together under kills and power cuts is for `tests/forward`.

use super::*;
use crate::forward::journal::{Found, LaneFound};
use crate::time::Wall;
use windward_protocol::{AgentId, BlockBuilder, Channel, Lane, Quantity, Row};

const BOOT: Timeline = Timeline { boot: 1, base_ms: 1_800_000_000_000 };
/// The estimate is an hour behind.
const SHIFT_MS: i64 = 3_600_000;

fn unset(mono: u64) -> Stamp {
    Stamp { mono: Mono(mono), wall: BOOT.at(Mono(mono)), synced: false }
}

fn set(mono: u64) -> Stamp {
    Stamp { mono: Mono(mono), wall: Wall(BOOT.at(Mono(mono)).0 + SHIFT_MS), synced: true }
}

fn found(eras: &[u8], timeline: Timeline, high_water: Seq) -> Found {
    let readings = LaneFound { high_water, ..LaneFound::default() };
    Found { epoch: 7, eras: eras.to_vec(), timeline, readings, ..Found::default() }
}

fn started(eras: &[u8], timeline: Timeline, high_water: Seq) -> Eras {
    let mut found = found(eras, timeline, high_water);
    found.eras = settled(&found);
    Eras::new(&found, Mono(0))
}

fn block(seq: Seq, synced: bool) -> Vec<u8> {
    let agent = AgentId::new("turbine-07").unwrap();
    let channel = Channel { name: "speed".into(), quantity: Quantity::WindSpeed, unit: "m/s".into() };
    let mut builder = BlockBuilder::new(&agent, "anemometer", "Turbine 7", &[channel], synced);
    for time_ms in [BOOT.base_ms, BOOT.base_ms + 1_000] {
        builder
            .push(&Row { time_ms, readings: vec![Err(windward_protocol::NoData::Timeout)], scores: vec![None] })
            .unwrap();
    }
    let record = Record::Block(builder.finish().unwrap());
    Envelope { agent, epoch: 7, lane: Lane::Readings, seq, record }.encode().unwrap()
}

/// First time and `synced` of what is sent for a block that was taken without a clock; `None` while it waits.
fn sent(eras: &Eras, seq: Seq) -> Option<(i64, bool)> {
    let on_disk = block(seq, false);
    let Record::Block(block) = Envelope::decode(&eras.as_sent(seq, &on_disk)?).unwrap().record else { panic!() };
    Some((block.first_ms, block.synced))
}

const AS_IS: Option<(i64, bool)> = Some((BOOT.base_ms, false));
const TRUE: Option<(i64, bool)> = Some((BOOT.base_ms + SHIFT_MS, true));

/// Lets everything be decided and written; gives what was written last.
fn advance(eras: &mut Eras, now: Stamp, next: Seq) -> Vec<u8> {
    let mut written = Vec::new();
    while let Some(bytes) = eras.advance(now, next) {
        written = bytes;
        eras.kept();
    }
    written
}

#[test]
fn a_set_clock_leaves_nothing_to_write_and_nothing_to_wait_for() {
    let mut eras = started(&[], BOOT, 0);
    assert_eq!(eras.advance(set(1), 2), None);
    assert_eq!(eras.deadline(), None);
    assert_eq!(sent(&eras, 1), AS_IS);
}

#[test]
fn blocks_wait_for_the_clock_and_for_the_disk_to_hold_the_shift() {
    let mut eras = started(&[], BOOT, 4);
    eras.opened(5, Mono(0));
    advance(&mut eras, unset(1), 6);
    assert_eq!((sent(&eras, 4), sent(&eras, 5)), (AS_IS, None));

    let written = eras.advance(set(2), 6);
    assert!(written.is_some());
    assert_eq!(sent(&eras, 5), None, "the shift is not durable");
    eras.failed(Mono(2));
    assert_eq!((eras.advance(set(3), 6), sent(&eras, 5)), (None, None), "nor is it after a refusal");
    assert_eq!(eras.deadline(), Some((Mono(2 + WRITE_AGAIN_MS), "write the eras")));
    assert_eq!(eras.advance(set(2 + WRITE_AGAIN_MS), 6), written);
    eras.kept();
    assert_eq!(sent(&eras, 5), TRUE);
    let synced = block(6, true);
    assert_eq!(eras.as_sent(6, &synced), Some(Cow::Borrowed(&synced[..])), "a time that is true stays");
}

#[test]
fn the_shift_is_fixed_once() {
    let mut eras = started(&[], BOOT, 0);
    eras.opened(1, Mono(0));
    advance(&mut eras, unset(1), 2);
    let kept = advance(&mut eras, set(2), 2);
    let corrected = Stamp { wall: Wall(set(3).wall.0 + 40), ..set(3) };
    advance(&mut eras, corrected, 2);
    assert_eq!(sent(&eras, 1), TRUE);
    for timeline in [BOOT, Timeline { boot: 2, ..BOOT }] {
        let mut eras = started(&kept, timeline, 1);
        advance(&mut eras, corrected, 2);
        assert_eq!(sent(&eras, 1), TRUE, "after a restart, too");
    }
}

#[test]
fn rows_that_come_late_are_shifted_like_those_before_and_then_the_era_is_over() {
    let mut eras = started(&[], BOOT, 0);
    eras.opened(1, Mono(0));
    advance(&mut eras, set(10), 2);
    eras.opened(2, Mono(20));
    advance(&mut eras, set(10 + LATE_MS), 3);
    assert_eq!((sent(&eras, 1), sent(&eras, 2), sent(&eras, 3)), (TRUE, TRUE, AS_IS));
    eras.opened(4, Mono(20 + LATE_MS));
    assert_eq!((sent(&eras, 2), sent(&eras, 4)), (None, None), "a new era that is not durable yet");
    advance(&mut eras, set(30 + LATE_MS), 5);
    assert_eq!((sent(&eras, 2), sent(&eras, 3), sent(&eras, 4)), (TRUE, AS_IS, TRUE));
}

#[test]
fn blocks_wait_ten_minutes_and_two_after_connecting_and_then_go_as_they_are_for_ever() {
    for (connected, until) in [(0, WAIT_MS), (WAIT_MS + 5_000, WAIT_MS + 5_000 + SETTLE_MS)] {
        let mut eras = started(&[], BOOT, 0);
        eras.opened(1, Mono(0));
        advance(&mut eras, unset(1), 2);
        assert_eq!(eras.deadline(), None, "without a connection there is nothing to decide");
        eras.connected(Mono(connected));
        assert_eq!(eras.deadline().map(|(at, _)| at), Some(Mono(until)));
        advance(&mut eras, unset(until - 1), 2);
        assert_eq!(sent(&eras, 1), None);
        let kept = advance(&mut eras, unset(until), 2);
        assert_eq!((sent(&eras, 1), eras.deadline()), (AS_IS, None));
        advance(&mut eras, set(until + 1), 2);
        assert_eq!(sent(&eras, 1), AS_IS);
        let mut next = started(&kept, BOOT, 1);
        advance(&mut next, set(until + 2), 2);
        assert_eq!(sent(&next, 1), AS_IS, "after a restart, too");
    }
}

#[test]
fn a_block_whose_giving_up_is_not_durable_does_not_go_because_the_clock_is_set_at_that_moment() {
    let mut eras = started(&[], BOOT, 0);
    eras.opened(1, Mono(0));
    eras.connected(Mono(0));
    advance(&mut eras, unset(1), 2);
    assert!(eras.advance(unset(WAIT_MS), 2).is_some());
    eras.failed(Mono(WAIT_MS));
    assert_eq!(eras.advance(set(WAIT_MS + 1), 2), None);
    assert_eq!(sent(&eras, 1), None, "the disk still says that it waits");
    advance(&mut eras, set(WAIT_MS + WRITE_AGAIN_MS), 2);
    assert_eq!(sent(&eras, 1), AS_IS);
}

#[test]
fn a_process_of_the_same_boot_goes_on_waiting_and_one_of_another_gives_up() {
    let mut eras = started(&[], BOOT, 0);
    eras.opened(1, Mono(0));
    let kept = advance(&mut eras, unset(1), 2);
    let mut same = started(&kept, BOOT, 1);
    assert_eq!(sent(&same, 1), None);
    advance(&mut same, set(5), 2);
    assert_eq!(sent(&same, 1), TRUE);
    for other in [Timeline { boot: 2, ..BOOT }, Timeline { base_ms: 0, ..BOOT }] {
        let mut eras = started(&kept, other, 1);
        advance(&mut eras, set(5), 2);
        assert_eq!(sent(&eras, 1), AS_IS);
    }
}

#[test]
fn an_era_whose_first_blocks_never_reached_the_disk_has_the_numbers_that_are_given_out_anew() {
    let mut eras = started(&[], BOOT, 4);
    eras.opened(5, Mono(0));
    let kept = advance(&mut eras, unset(1), 8);
    assert_eq!(sent(&started(&kept, BOOT, 2), 3), None);
}

#[test]
fn numbers_that_a_power_cut_has_freed_belong_to_no_earlier_era() {
    let mut eras = started(&[], BOOT, 0);
    eras.opened(1, Mono(0));
    let open = advance(&mut eras, set(1), 9);
    let over = advance(&mut eras, set(1 + LATE_MS), 9);
    for kept in [open, over] {
        // Only the first two blocks are on disk. The third is another one, of a boot that never had a clock.
        let second = Timeline { boot: 2, base_ms: 0 };
        let mut eras = started(&kept, second, 2);
        eras.opened(3, Mono(0));
        let kept = advance(&mut eras, Stamp { wall: Wall(0), ..unset(1) }, 4);
        let mut eras = started(&kept, Timeline { boot: 3, base_ms: 0 }, 3);
        advance(&mut eras, set(1), 4);
        assert_eq!((sent(&eras, 2), sent(&eras, 3)), (TRUE, AS_IS));
    }
}

#[test]
fn what_is_acked_of_another_epoch_or_damaged_says_nothing() {
    let mut eras = started(&[], BOOT, 0);
    eras.opened(1, Mono(0));
    let kept = advance(&mut eras, set(1), 3);
    let shifted = |found: Found| settled(&found).len();
    assert!(shifted(found(&kept, BOOT, 2)) > 0);
    let readings = LaneFound { acked: 2, high_water: 2, ..LaneFound::default() };
    assert_eq!(shifted(Found { readings, ..found(&kept, BOOT, 2) }), 0, "acked");
    assert_eq!(shifted(Found { epoch: 8, ..found(&kept, BOOT, 2) }), 0, "another epoch");
    assert_eq!(shifted(found(&kept[..kept.len() - 1], BOOT, 2)), 0, "damaged");
}
