//! A simulated turbine as a Modbus slave, over TCP and over RTU on a pseudo-terminal.
//!
//! Every answer carries a sequence number in its registers and is counted, so that loss and repetition can be proved
//! from one end of Windward to the other. Register map (input and holding registers alike):
//!
//! | register | value | type |
//! |---|---|---|
//! | 0 | wind speed, 0.01 m/s | u16 |
//! | 1 | wind direction, 0.1° | u16 |
//! | 2 | air temperature, 0.1 °C | i16 |
//! | 3 | rotor speed, 0.01 1/min | u16 |
//! | 4, 5 | active power, W | u32 |
//! | 6, 7 | sequence number of the answer, from 1 | u32 |
//! | 8 | wind speed of the second anemometer, 0.01 m/s | u16 |
//!
//! Coil 0 is a lamp's: when it was switched is remembered.

use crate::clock;
use crate::lines::serial::Pty;
use crate::lines::wire::{Framing, MAX_FRAME};
use crate::plant::{Fault, Sample, Turbine};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use windward_protocol::{Row, Value};

/// Registers of the map.
pub const REGISTERS: usize = 9;
/// Answers whose times are remembered, the last ones: more than any detector looks back.
const REMEMBERED: usize = 4_096;

/// The turbine behind its registers.
#[derive(Debug)]
pub struct Slave {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    turbine: Turbine,
    started: Instant,
    /// Time of the turbine when it was put on line: it has a history.
    offset_ms: u64,
    served: u32,
    recent: VecDeque<Instant>,
    switched: Vec<(Instant, bool)>,
    closed: bool,
}

impl Slave {
    /// Puts a turbine on line whose time is `offset_ms`.
    pub fn new(turbine: Turbine, offset_ms: u64) -> Arc<Self> {
        let (started, recent, switched) = (clock::now(), VecDeque::new(), Vec::new());
        let state = State { turbine, started, offset_ms, served: 0, recent, switched, closed: false };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Lets a fault begin now.
    pub fn inject(&self, fault: Fault, for_ms: u64) {
        let mut state = self.state();
        let now_ms = state.turbine_ms(clock::now());
        state.turbine.inject(fault, now_ms, for_ms);
    }

    /// Answers given so far: the last sequence number served.
    pub fn served(&self) -> u32 {
        self.state().served
    }

    /// When the last answer at or before `moment` was given.
    pub fn answered_before(&self, moment: Instant) -> Option<Instant> {
        self.state().recent.iter().rev().copied().find(|answered| *answered <= moment)
    }

    /// The last answers: their sequence numbers, and when each was given.
    pub fn answers(&self) -> Vec<(u32, Instant)> {
        let state = self.state();
        let first = state.served + 1 - state.recent.len() as u32;
        (first..).zip(state.recent.iter().copied()).collect()
    }

    /// When the lamp was switched, and whether on.
    pub fn switched(&self) -> Vec<(Instant, bool)> {
        self.state().switched.clone()
    }

    /// Answers every further request with the exception "server device busy", so that the last sequence number stands.
    pub fn close(&self) {
        self.state().closed = true;
    }

    /// The answer to a request (function code and data), or `None` when the device is silent.
    fn answer(&self, request: &[u8]) -> Option<Vec<u8>> {
        let now = clock::now();
        let mut state = self.state();
        if let &[5, 0, 0, on @ (0 | 0xff), 0] = request {
            state.switched.push((now, on != 0));
            return Some(request.to_vec());
        }
        let (function, range) = match parse(request) {
            Ok(parsed) => parsed,
            Err(exception) => return Some(exception.to_vec()),
        };
        if state.closed {
            return Some(vec![function | 0x80, 6]);
        }
        let at_ms = state.turbine_ms(now);
        let sample = state.turbine.sample(at_ms)?;
        state.served += 1;
        if state.recent.len() == REMEMBERED {
            state.recent.pop_front();
        }
        state.recent.push_back(now);
        let registers = registers(&sample, state.served);
        let bytes: Vec<u8> = registers[range].iter().flat_map(|word| word.to_be_bytes()).collect();
        Some([&[function, bytes.len() as u8], &bytes[..]].concat())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between statements; a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn turbine_ms(&self, now: Instant) -> u64 {
        self.offset_ms + now.duration_since(self.started).as_millis() as u64
    }
}

/// The registers of a sample.
pub fn registers(sample: &Sample, sequence: u32) -> [u16; REGISTERS] {
    let power_w = (sample.power_kw * 1000.0) as u32;
    [
        (sample.wind_mps * 100.0).round() as u16,
        (sample.direction_deg * 10.0).round() as u16,
        (sample.temperature_c * 10.0).round() as i16 as u16,
        (sample.rotor_rpm * 100.0).round() as u16,
        (power_w >> 16) as u16,
        power_w as u16,
        (sequence >> 16) as u16,
        sequence as u16,
        (sample.second_wind_mps * 100.0).round() as u16,
    ]
}

/// The row an agent reads from these registers with [`CHANNELS`].
pub fn row(sample: &Sample, sequence: u32, time_ms: i64) -> Row {
    let words = registers(sample, sequence).map(i64::from);
    let value = |mantissa, exponent| Ok(Value::Int { mantissa, exponent });
    let readings = vec![
        value(words[0], -2),
        value(words[8], -2),
        value(words[1], -1),
        value(i64::from(words[2] as i16), -1),
        value(words[3], -2),
        value(words[4] << 16 | words[5], -3),
        value(words[6] << 16 | words[7], 0),
    ];
    Row { time_ms, scores: vec![None; readings.len()], readings }
}

/// Channels of a simulated turbine.
pub const CHANNEL_COUNT: u64 = 7;
/// The channels of a simulated turbine, in the agent's TOML.
pub const CHANNELS: &str = r#"
[[device.channel]]
name = "wind"
quantity = "wind-speed"
unit = "m/s"
register = 0
type = "u16"
scale = 0.01
range = [0, 75]

[[device.channel]]
name = "wind-2"
quantity = "wind-speed"
unit = "m/s"
register = 8
type = "u16"
scale = 0.01
range = [0, 75]

[[device.channel]]
name = "direction"
quantity = "wind-direction"
unit = "°"
register = 1
type = "u16"
scale = 0.1
detect = false

[[device.channel]]
name = "temperature"
quantity = "temperature"
unit = "°C"
register = 2
type = "i16"
scale = 0.1
detect = false

[[device.channel]]
name = "rotor"
quantity = "rotor-speed"
unit = "1/min"
register = 3
type = "u16"
scale = 0.01
detect = false

[[device.channel]]
name = "power"
quantity = "power"
unit = "kW"
register = 4
type = "u32"
scale = 0.001
detect = false

[[device.channel]]
name = "sequence"
unit = "1"
register = 6
type = "u32"
detect = false
"#;

/// Serves a slave over Modbus TCP for as long as the runtime lives.
pub fn serve_tcp(listener: TcpListener, slave: Arc<Slave>) {
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(serve_connection(stream, slave.clone()))),
                Err(error) => {
                    tracing::error!(%error, "the simulated device cannot accept");
                    return;
                }
            }
        }
    });
}

/// Serves a slave over Modbus RTU on a new pseudo-terminal for as long as the process lives; gives the path of the
/// agent's end.
pub fn serve_rtu(slave: Arc<Slave>, address: u8) -> anyhow::Result<PathBuf> {
    let Pty { device, end, path } = Pty::open()?;
    std::thread::Builder::new().name("serial-device".into()).spawn(move || {
        let _end = end;
        if let Err(error) = serve_line(&mut File::from(device), &slave, address) {
            tracing::error!(%error, "the simulated serial line has ended");
        }
    })?;
    Ok(path)
}

async fn serve_connection(mut stream: TcpStream, slave: Arc<Slave>) {
    let (mut heard, mut buffer) = (Vec::new(), [0; MAX_FRAME]);
    // An error is the client's going.
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        heard.extend_from_slice(&buffer[..read]);
        while let Some(request) = Framing::Tcp.take(&mut heard) {
            let Some(answer) = slave.answer(&request.pdu) else { continue };
            let frame = Framing::Tcp.frame(request.transaction, request.slave, &answer);
            if stream.write_all(&frame).await.is_err() {
                return;
            }
        }
    }
}

fn serve_line(device: &mut File, slave: &Slave, address: u8) -> std::io::Result<()> {
    let (mut heard, mut buffer) = (Vec::new(), [0; MAX_FRAME]);
    loop {
        let read = device.read(&mut buffer)?;
        heard.extend_from_slice(&buffer[..read]);
        while let Some(request) = Framing::Rtu.take(&mut heard) {
            if request.slave == address
                && let Some(answer) = slave.answer(&request.pdu)
            {
                // An answer is shorter than the line's buffer, which the agent has just emptied.
                device.write_all(&Framing::Rtu.frame(0, address, &answer))?;
            }
        }
    }
}

/// Function code and registers asked for, or the exception to answer with.
fn parse(request: &[u8]) -> Result<(u8, std::ops::Range<usize>), [u8; 2]> {
    let (&function, data) = request.split_first().ok_or([0x80, 1])?;
    if !matches!(function, 3 | 4) {
        return Err([function | 0x80, 1]);
    }
    let &[a, b, c, d] = data else { return Err([function | 0x80, 3]) };
    let (start, count) = (usize::from(u16::from_be_bytes([a, b])), usize::from(u16::from_be_bytes([c, d])));
    if count == 0 || start + count > REGISTERS {
        return Err([function | 0x80, 2]);
    }
    Ok((function, start..start + count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_counted_and_numbered() {
        let slave = Slave::new(Turbine::new(1), 0);
        let read_sequence = [4, 0, 6, 0, 2];
        assert_eq!(slave.answer(&read_sequence), Some(vec![4, 4, 0, 0, 0, 1]));
        assert_eq!(slave.answer(&read_sequence), Some(vec![4, 4, 0, 0, 0, 2]));
        assert_eq!(slave.answer(&[4, 0, 6, 0, 4]), Some(vec![0x84, 2]), "beyond the map");
        assert_eq!(slave.answer(&[6, 0, 0, 0, 3]), Some(vec![0x86, 1]), "no writing");
        slave.close();
        assert_eq!(slave.answer(&read_sequence), Some(vec![0x84, 6]));
        assert_eq!(slave.served(), 2);
    }

    #[test]
    fn answers_and_what_switches_the_lamp_have_their_times() {
        let slave = Slave::new(Turbine::new(1), 0);
        for _ in 0..3 {
            slave.answer(&[4, 0, 6, 0, 2]);
        }
        let answers = slave.answers();
        assert_eq!(answers.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(slave.answer(&[5, 0, 0, 0xff, 0]), Some(vec![5, 0, 0, 0xff, 0]));
        assert_eq!(slave.answer(&[5, 0, 0, 0, 0]), Some(vec![5, 0, 0, 0, 0]));
        assert_eq!(slave.answer(&[5, 0, 1, 0, 0]), Some(vec![0x85, 1]), "there is one lamp");
        let switched = slave.switched();
        assert_eq!(switched.iter().map(|(_, on)| *on).collect::<Vec<_>>(), [true, false]);
        assert!(answers[2].1 <= switched[0].0 && switched[0].0 <= switched[1].0);
    }

    #[test]
    fn a_silent_device_serves_nothing() {
        let slave = Slave::new(Turbine::new(1), 0);
        slave.inject(Fault::Dropout, 60_000);
        assert_eq!(slave.answer(&[4, 0, 0, 0, 9]), None);
        assert_eq!(slave.served(), 0);
    }
}
