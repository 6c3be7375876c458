//! The agent's uplinks over lines that break: MQTT 5 with topic aliases, TLS with a private authority, Kinesis that fails
//! in every way it can.

mod kinesis;
mod mqtt;
mod tls;

use crate::system::{Program, SOON, agent_toml};
use anyhow::Result;
use std::path::Path;
use windward_tests::process::eventually;

/// A device that is read twenty times a second.
fn mast(port: u16) -> String {
    format!(
        "[[device]]\nname = \"mast\"\nlocation = \"Turbine 1, mast\"\ninterval_ms = 50\ntimeout_ms = 45\n\
         modbus_tcp = {{ host = \"127.0.0.1\", port = {port} }}\n\
         [[device.channel]]\nname = \"sequence\"\nunit = \"1\"\nregister = 100\ntype = \"u32\"\ndetect = false\n\
         [[device.channel]]\nname = \"wind\"\nquantity = \"wind-speed\"\nunit = \"m/s\"\nregister = 0\n\
         type = \"u16\"\nscale = 0.01\n"
    )
}

/// An agent's configuration with that device; `uplink` goes on with the table `[mqtt]`, and what stands behind.
fn agent(dir: &Path, broker: u16, uplink: &str, device: u16) -> String {
    let text = agent_toml("turbine-01", dir, broker, &mast(device));
    text.replacen("[spool]", &format!("{uplink}\n[spool]"), 1)
}

/// Starts the program, and waits until it has connected once more.
async fn start_again(program: &mut Program) -> Result<()> {
    let connections = |program: &Program| program.output().matches(": connected uplink").count();
    let before = connections(program);
    program.start()?;
    let connected = async || Ok((connections(program) > before).then_some(()));
    eventually(SOON, "the agent to connect", connected).await
}
