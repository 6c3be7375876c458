mod model;

use super::*;

fn lease(position: Position, owner: &str, counter: u64) -> Lease {
    Lease { position, owner: owner.into(), counter }
}

fn shards(listed: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
    let parents = |parents: &[&str]| parents.iter().map(|parent| parent.to_string()).collect();
    listed.iter().map(|(shard, of)| (shard.to_string(), parents(of))).collect()
}

fn table(rows: &[(&str, Lease)]) -> BTreeMap<String, Lease> {
    rows.iter().map(|(shard, lease)| (shard.to_string(), lease.clone())).collect()
}

fn wanted(leases: &Leases, now_ms: u64) -> Vec<String> {
    leases.takes(now_ms).into_iter().map(|write| write.shard).collect()
}

#[test]
fn positions_are_text_and_back() {
    for position in
        [Position::Oldest, Position::Since(1_795_182_840_000), Position::After("4960…".into()), Position::End]
    {
        assert_eq!(Position::parse(&position.to_string()), Some(position));
    }
    for text in ["", "newest", "since noon", "oldest ", "end 1"] {
        assert_eq!(Position::parse(text), None, "{text}");
    }
}

#[test]
fn children_wait_for_their_parents_and_not_for_what_the_stream_has_forgotten() {
    let mut leases = Leases::new("me".into(), Position::Oldest);
    leases.listed(shards(&[("a", &[]), ("b", &[]), ("c", &["a", "b"]), ("d", &["long gone"])]));
    assert_eq!(wanted(&leases, 0), ["a", "b", "d"]);
    leases.seen(table(&[("a", lease(Position::End, "", 4)), ("b", lease(Position::After("7".into()), "", 2))]), 0);
    assert_eq!(wanted(&leases, 0), ["b", "d"]);
    leases.seen(table(&[("b", lease(Position::End, "", 3))]), 0);
    assert_eq!(wanted(&leases, 0), ["c", "d"]);
}

#[test]
fn a_lease_is_free_once_its_counter_has_stood_still_and_not_before() {
    let mut leases = Leases::new("me".into(), Position::Oldest);
    leases.listed(shards(&[("a", &[])]));
    let row = |counter| table(&[("a", lease(Position::After("7".into()), "other", counter))]);
    leases.seen(row(1), 0);
    leases.seen(row(2), LEASE_MS - 1);
    leases.seen(row(2), 2 * LEASE_MS - 2);
    assert_eq!(wanted(&leases, 2 * LEASE_MS - 2), [""; 0]);
    let writes = leases.takes(2 * LEASE_MS - 1);
    assert_eq!(writes[0].expected, Some(2));
    assert_eq!(writes[0].lease, lease(Position::After("7".into()), "me", 3));
}

#[test]
fn who_cannot_write_a_lease_in_time_stops_before_another_may_take_it() {
    let mut leases = Leases::new("me".into(), Position::Oldest);
    leases.listed(shards(&[("a", &[])]));
    let write = leases.takes(0).remove(0);
    // Begun at 100, answered whenever: others may have seen it from 100 on.
    leases.written(write, 100);
    assert_eq!(leases.expire(100 + LEASE_MS - 1), [""; 0]);
    assert_eq!(leases.renewal("a", Position::Oldest, 100 + RENEW_MS - 1), None);
    assert!(leases.renewal("a", Position::Oldest, 100 + RENEW_MS).is_some());
    assert!(leases.renewal("a", Position::End, 101).is_some());
    assert_eq!(leases.expire(100 + LEASE_MS), ["a"]);
    assert_eq!(leases.renewal("a", Position::Oldest, 100 + LEASE_MS), None);
}

#[test]
fn a_lease_that_another_holds_is_lost_at_the_next_look() {
    let mut leases = Leases::new("me".into(), Position::Oldest);
    leases.listed(shards(&[("a", &[])]));
    let write = leases.takes(0).remove(0);
    leases.written(write.clone(), 0);
    assert_eq!(leases.seen(table(&[("a", write.lease)]), 1), [""; 0]);
    assert_eq!(leases.seen(table(&[("a", lease(Position::Oldest, "other", 2))]), 1), ["a"]);
    assert_eq!(leases.held().count(), 0);
}

/// (shards of another container, ours, free) and how many are taken.
#[test]
fn containers_share_evenly_and_leave_nothing_free() {
    for (others, mine, free, takes) in
        [(0, 0, 5, 5), (3, 0, 3, 3), (4, 0, 2, 2), (1, 2, 1, 0), (4, 0, 0, 1), (1, 0, 0, 0), (2, 1, 0, 0), (3, 1, 0, 1)]
    {
        let mut leases = Leases::new("me".into(), Position::Oldest);
        let names: Vec<String> = (0..others + mine + free).map(|shard| format!("{shard:02}")).collect();
        leases.listed(names.iter().map(|shard| (shard.clone(), Vec::new())).collect());
        let other = |shard: &String| (shard.clone(), lease(Position::Oldest, "other", 1));
        leases.seen(names[..others].iter().map(other).collect(), 0);
        for shard in &names[others..others + mine] {
            let write = leases.take(shard);
            leases.written(write, 0);
        }
        assert_eq!(wanted(&leases, 1).len(), takes, "{others} {mine} {free}");
    }
}

#[test]
fn the_position_passes_no_record_that_is_not_stored() {
    let mut progress = Progress::new(Position::Oldest);
    let numbers: Vec<u64> = ["11", "12", "13"].map(|sequence| progress.read(sequence.into())).into();
    progress.stored(numbers[2]);
    assert_eq!(progress.position(), Position::Oldest);
    progress.stored(numbers[0]);
    assert_eq!(progress.position(), Position::After("11".into()));
    progress.ended();
    progress.stored(numbers[0]);
    assert_eq!(progress.position(), Position::After("11".into()));
    progress.stored(numbers[1]);
    assert_eq!(progress.position(), Position::End);
}
