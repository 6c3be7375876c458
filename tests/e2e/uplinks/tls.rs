//! TLS with an authority of the farm's own: who has the right certificate is heard, who has not is told why, and nothing
//! is lost meanwhile.

use super::{agent, start_again};
use crate::system::{Program, SOON, kept};
use anyhow::Result;
use std::path::Path;
use std::time::Duration;
use windward_tests::certificates::{Authority, Issued};
use windward_tests::peers::{Mosquitto, PyModbus, there};
use windward_tests::process::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_wrong_certificate_is_named_and_loses_nothing() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let (farm, other) = (Authority::new(dir.path(), "farm")?, Authority::new(dir.path(), "other")?);
    let (own, good, expired) = (farm.issue("broker", 2)?, farm.issue("turbine-01", 2)?, farm.issue("turbine-01", 0)?);
    let stranger = other.issue("stranger", 2)?;
    let broker = Mosquitto::start_tls(dir.path(), &farm, &own).await?;
    let (mut device, port) = PyModbus::tcp().await?;
    device.tell(r#"{"set": {"0": 800}, "wobble": 60}"#)?;
    let config = |ca: &Path, client: Option<&Issued>| {
        let client = client.map(|Issued { cert, key }| format!("cert = {cert:?}\nkey = {key:?}\n")).unwrap_or_default();
        agent(dir.path(), broker.port(), &format!("ack = \"broker\"\nca = {ca:?}\n{client}"), port)
    };
    // The expired one has ended by its second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let cases = [
        ("another authority", config(&other.pem(), Some(&good)), "UnknownIssuer"),
        ("an expired certificate", config(&farm.pem(), Some(&expired)), "CertificateExpired"),
        ("a stranger's certificate", config(&farm.pem(), Some(&stranger)), "UnknownCA"),
        ("no certificate", config(&farm.pem(), None), "CertificateRequired"),
    ];
    let mut taken = 0;
    for (what, config, reason) in cases {
        let mut program = Program::new("windward-agent", dir.path(), &config)?;
        program.start()?;
        let told = async || Ok(program.output().lines().find(|line| line.contains(reason)).map(str::to_owned));
        let line = eventually(SOON, &format!("{what} to be told of: {reason}"), told).await;
        if line.is_err() {
            println!("{}", program.output().lines().filter(|line| line.contains("no connection")).collect::<String>());
        }
        println!("FIGURE {what}: {}", line?);
        rows_are_kept(&program).await?;
        assert!(!program.output().contains(": connected uplink"), "{what} is no way in");
        program.stop().await?;
        taken += kept(&program.output())["mast"].len();
    }
    let mut program = Program::new("windward-agent", dir.path(), &config(&farm.pem(), Some(&good)))?;
    start_again(&mut program).await?;
    // Everything that waited has gone when the agent stops with nothing left.
    rows_are_kept(&program).await?;
    program.stop().await?;
    let waited = waiting_at_starts(&program.output());
    start_again(&mut program).await?;
    let left = waiting_at_starts(&program.output());
    println!("FIGURE {taken} rows taken without a connection; waiting at the two starts after: {left:?}");
    assert!(waited[0] > 0 && left[1] == 0, "all that waited has been sent: {left:?}");
    program.stop().await
}

async fn rows_are_kept(program: &Program) -> Result<()> {
    let rows = async || Ok((kept(&program.output()).get("mast").map_or(0, Vec::len) >= 20).then_some(()));
    eventually(SOON, "rows to be kept", rows).await
}

/// How many envelopes each start found waiting.
fn waiting_at_starts(output: &str) -> Vec<u64> {
    let starts = output.lines().filter(|line| line.contains("spool open"));
    let field = |line: &str| line.split_once("waiting=")?.1.split_whitespace().next()?.parse().ok();
    starts.filter_map(field).collect()
}
