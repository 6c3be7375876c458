//! Kinesis with a tenth of the records of each call failing, errors, throttling, late answers and a line that is cut.

use super::{mast, start_again};
use crate::system::{Program, SOON, kept, seed};
use anyhow::{Context as _, Result, ensure};
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::Credentials;
use aws_sdk_kinesis::types::ShardIteratorType;
use aws_smithy_http_client::Builder;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use windward_protocol::{Envelope, Lane, Record, batch};
use windward_tests::certificates::Authority;
use windward_tests::faulty_stream::{FaultyStream, Rates};
use windward_tests::peers::{CREDENTIALS, IotCredentials, Ministack, PyModbus, REGION, there};
use windward_tests::process::eventually;
use windward_tests::random::Random;
use windward_tests::tap::Tap;

const STREAM: &str = "windward";
const PEACE: Rates = Rates { records: 0, errors: 0, throttled: 0, unanswered: 0, late: 0 };
const WAR: Rates = Rates { records: 10, errors: 3, throttled: 5, unanswered: 2, late: 3 };

struct Stream(Client);

impl Stream {
    async fn create(endpoint: &str) -> Result<Self> {
        let [(_, key), (_, secret)] = CREDENTIALS;
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(Builder::new().build_http())
            .endpoint_url(endpoint)
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(key, secret, None, None, "test"))
            .load()
            .await;
        let client = Client::new(&config);
        client.create_stream().stream_name(STREAM).shard_count(1).send().await?;
        let stream = Self(client);
        let there = async || Ok(stream.iterator().await.ok().map(drop));
        eventually(SOON, "the stream to be active", there).await?;
        Ok(stream)
    }

    async fn iterator(&self) -> Result<String> {
        let shards = self.0.list_shards().stream_name(STREAM).send().await?;
        let shard = shards.shards().first().context("the stream has a shard")?.shard_id().to_owned();
        let asked = self.0.get_shard_iterator().stream_name(STREAM).shard_id(shard);
        let answer = asked.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await?;
        answer.shard_iterator.context("a shard has an iterator")
    }

    /// Every record's bytes, in the order of the shard.
    async fn records(&self) -> Result<Vec<Vec<u8>>> {
        let mut iterator = Some(self.iterator().await?);
        let mut found = Vec::new();
        while let Some(at) = iterator {
            let answer = self.0.get_records().shard_iterator(at).limit(1_000).send().await?;
            if answer.records.is_empty() {
                break;
            }
            ensure!(
                answer.records.iter().all(|record| record.partition_key() == Some("turbine-01")),
                "the agent is the key"
            );
            found.extend(answer.records.into_iter().map(|record| record.data.into_inner()));
            iterator = answer.next_shard_iterator;
        }
        Ok(found)
    }
}

/// An agent without MQTT.
fn agent(dir: &Path, endpoint: &str, more: &str, device: u16) -> String {
    let data = dir.join("turbine-01");
    format!(
        "agent = \"turbine-01\"\nfarm = \"test-farm\"\ndata = {data:?}\n[kinesis]\nstream = \"{STREAM}\"\n\
         region = \"{REGION}\"\nendpoint = \"{endpoint}\"\n{more}\n[spool]\ncommit_every_ms = 200\n{}",
        mast(device)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_records_that_fail_come_again_before_anything_later() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let mut random = Random::new(seed());
    let dir = tempfile::tempdir()?;
    let ministack = Ministack::start().await?;
    let stream = Stream::create(&ministack.endpoint).await?;
    let faulty = FaultyStream::start(&ministack.endpoint, WAR, random.bits()).await?;
    let addr: SocketAddr = faulty.endpoint.trim_start_matches("http://").parse()?;
    let tap = Tap::start(addr, Duration::ZERO).await?;
    let (mut device, port) = PyModbus::tcp().await?;
    device.tell(r#"{"set": {"0": 800}, "wobble": 60}"#)?;
    let config = agent(dir.path(), &format!("http://{}", tap.addr()), "", port);
    let mut program = Program::new("windward-agent", dir.path(), &config)?;
    program.start()?;
    for round in 0..8 {
        let calls = faulty.tally().calls + 25;
        let going = async || Ok((faulty.tally().calls >= calls).then_some(()));
        eventually(SOON * 2, "the stream to go on", going).await?;
        match round {
            3 | 6 => {
                program.kill()?;
                program.start()?;
            }
            _ => tap.cut(),
        }
    }
    let rows = arrived(&mut program, &stream).await?;
    let tally = faulty.tally();
    println!("FIGURE {rows} rows over Kinesis, 0 missing, 0 out of order: {tally:?}");
    ensure!(tally.failed > 0 && tally.errors > 0 && tally.throttled > 0, "the rig made trouble: {tally:?}");
    Ok(())
}

/// Stops the program, lets it go on until all it ever kept is in the stream; checks order, gives the number of rows.
async fn arrived(program: &mut Program, stream: &Stream) -> Result<usize> {
    program.stop().await?;
    let taken: BTreeSet<i64> = kept(&program.output()).remove("mast").unwrap_or_default().iter().map(|r| r.0).collect();
    start_again(program).await?;
    let all_there = async || {
        let envelopes = envelopes(&stream.records().await?)?;
        let times: BTreeSet<i64> = envelopes.iter().flat_map(times).collect();
        Ok(taken.is_subset(&times).then_some(envelopes))
    };
    let envelopes = eventually(SOON * 2, "everything taken to be in the stream", all_there).await?;
    program.stop().await?;
    let mut last: BTreeMap<(u64, Lane), u64> = BTreeMap::new();
    let mut repeats = 0;
    for envelope in &envelopes {
        let last = last.entry((envelope.epoch, envelope.lane)).or_default();
        ensure!(envelope.lane != Lane::State, "a health record in the stream");
        // At least once: what came may come again, but nothing new before its time.
        ensure!(envelope.seq <= *last + 1, "{} {} came after {last}", envelope.lane, envelope.seq);
        repeats += usize::from(envelope.seq <= *last);
        *last = (*last).max(envelope.seq);
    }
    println!("FIGURE {} envelopes, {repeats} of them repeats", envelopes.len());
    Ok(taken.len())
}

fn envelopes(records: &[Vec<u8>]) -> Result<Vec<Envelope>> {
    let mut found = Vec::new();
    for record in records {
        let split = batch::split(record);
        ensure!(split.broken.is_none(), "a record is a whole batch");
        for bytes in split.envelopes {
            found.push(Envelope::decode(&bytes)?);
        }
    }
    Ok(found)
}

fn times(envelope: &Envelope) -> Vec<i64> {
    match &envelope.record {
        Record::Block(block) => block.times(),
        _ => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_json_lines_that_fail_come_again_alone() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let ministack = Ministack::start().await?;
    let stream = Stream::create(&ministack.endpoint).await?;
    let rates = Rates { records: 10, ..PEACE };
    let faulty = FaultyStream::start(&ministack.endpoint, rates, seed()).await?;
    let (mut device, port) = PyModbus::tcp().await?;
    device.tell(r#"{"set": {"0": 800}, "wobble": 60}"#)?;
    let config = agent(dir.path(), &faulty.endpoint, "encoding = \"json\"", port);
    let mut program = Program::new("windward-agent", dir.path(), &config)?;
    program.start()?;
    let going = async || Ok((faulty.tally().failed >= 50).then_some(()));
    eventually(SOON * 2, "fifty lines to fail", going).await?;
    program.stop().await?;
    let taken = kept(&program.output()).remove("mast").unwrap_or_default().len();
    start_again(&mut program).await?;
    let mut lines = Vec::new();
    let all_there = async || {
        lines.clear();
        for record in stream.records().await? {
            let line: serde_json::Value = serde_json::from_slice(&record).context("a record is a line of JSON")?;
            if line["channel"] == "sequence" && line["alert"].is_null() {
                lines.push(line["time"].as_str().context("a line has a time")?.to_owned());
            }
        }
        Ok((lines.iter().collect::<BTreeSet<_>>().len() >= taken).then_some(()))
    };
    eventually(SOON * 2, "every reading to be in the stream", all_there).await?;
    program.stop().await?;
    let distinct = lines.iter().collect::<BTreeSet<_>>().len();
    println!("FIGURE {distinct} readings as JSON, {} repeats: {:?}", lines.len() - distinct, faulty.tally());
    // In a world without cuts and kills only what failed comes again; a stop may cut an answer off.
    ensure!(lines.len() - distinct < 50, "whole publishes were sent again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_certificate_is_enough_where_aws_iot_vouches_for_it() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let authority = Authority::new(dir.path(), "farm")?;
    let (own, client) = (authority.issue("provider", 2)?, authority.issue("turbine-01", 2)?);
    // Renewed at the latest when they end, and by the SDK's dice mostly at once: it has five minutes to do so.
    let iot = IotCredentials::start(&authority, &own, 8).await?;
    let ministack = Ministack::start().await?;
    let stream = Stream::create(&ministack.endpoint).await?;
    let watched = FaultyStream::start(&ministack.endpoint, PEACE, 0).await?;
    let (mut device, port) = PyModbus::tcp().await?;
    device.tell(r#"{"set": {"0": 800}, "wobble": 60}"#)?;
    let table = |alias: &str| {
        format!(
            "[kinesis.iot]\nendpoint = \"127.0.0.1:{}\"\nrole_alias = \"{alias}\"\nca = {:?}\ncert = {:?}\nkey = {:?}\n",
            iot.port,
            authority.pem(),
            client.cert,
            client.key
        )
    };
    let wrong = agent(dir.path(), &watched.endpoint, &table("wrong-role"), port);
    let mut program = Program::new("windward-agent", dir.path(), &wrong)?;
    program.start()?;
    let told =
        async || Ok(program.output().lines().find(|line| line.contains("no such role alias")).map(str::to_owned));
    println!("FIGURE wrong alias: {}", eventually(SOON, "the refusal to be told", told).await?);
    program.stop().await?;

    let config = agent(dir.path(), &watched.endpoint, &table("edge-role"), port);
    let mut program = Program::new("windward-agent", dir.path(), &config)?;
    program.start()?;
    let right = "/role-aliases/edge-role/credentials turbine-01 turbine-01";
    let asked = || iot.asked().iter().filter(|line| *line == right).count();
    eventually(SOON, "credentials to be renewed", async || Ok((asked() >= 4).then_some(()))).await?;
    let rows = arrived(&mut program, &stream).await?;
    println!("FIGURE {rows} rows sent with credentials asked for {} times", asked());
    ensure!(watched.tally().keys == ["IOTKEY"], "signed with what was given: {:?}", watched.tally().keys);
    Ok(())
}
