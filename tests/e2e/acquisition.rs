//! Acquisition: what the agent makes of every type, order, table and fault, on lines of ours and of others.

use crate::system::seed;
use anyhow::Result;
use windward_tests::known::{code, command, known, load};
use windward_tests::lines::device::Device;
use windward_tests::lines::serial::SerialPort;
use windward_tests::lines::tcp::TcpPort;
use windward_tests::lines::{Line, Wire};
use windward_tests::peers::{Maker, Over, PyModbus, SerialLine, mbpoll, there};
use windward_tests::process::free_port;
use windward_tests::random::Random;

const SLAVE: u8 = 17;
const BAUD: u32 = 115_200;

/// The rig's own proof: a master that is not ours reads the same from every slave, ours among them.
#[tokio::test(flavor = "multi_thread")]
async fn e2e_another_master_reads_the_known_values_from_every_slave() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let known = known(&mut Random::new(seed()));
    let reads = |over: Over<'_>| -> Result<usize> {
        for known in &known {
            let words = mbpoll(over, SLAVE, code(known.table), known.address, known.words.len() as u16)?;
            assert_eq!(words, known.words, "{} over {over:?}", known.name);
        }
        Ok(known.len())
    };
    let device = || {
        let mut device = Device::new(SLAVE);
        load(&known, &mut device);
        device
    };
    let tcp = TcpPort::start(Line::new(Wire::tcp(), [device()], 1))?;
    println!("FIGURE {} known values read by mbpoll from our TCP device", reads(Over::Tcp(tcp.port()))?);
    let rtu = SerialPort::plug(Line::new(Wire::rtu(BAUD), [device()], 1), &dir.path().join("ours"), Some(BAUD))?;
    println!("FIGURE {} known values read by mbpoll from our RTU line", reads(Over::Rtu(rtu.path(), BAUD))?);
    for maker in [Maker::PyModbus, Maker::ModbusTk] {
        let over = Over::Tcp(free_port()?);
        let mut peer = PyModbus::serve(maker, over, SLAVE).await?;
        peer.tell(&command(&known))?;
        println!("FIGURE {} known values read by mbpoll from {maker:?} over TCP", reads(over)?);
        let line = SerialLine::start(dir.path()).await?;
        let mut peer = PyModbus::serve(maker, Over::Rtu(&line.far, BAUD), SLAVE).await?;
        peer.tell(&command(&known))?;
        println!("FIGURE {} known values read by mbpoll from {maker:?} over RTU", reads(Over::Rtu(&line.near, BAUD))?);
    }
    Ok(())
}
