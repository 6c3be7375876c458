//! Windward's rig: a simulated farm and the servers it needs, for the demo and for the tests.
//!
//! [`plant`] is the wind and the turbines, pure and seeded; [`slave`] puts them behind real Modbus sockets; [`broker`]
//! and [`link`] stand between agents and sink, [`tap`] and [`faulty_stream`] spoil what goes between them, and [`mqtt`]
//! reads it. [`process`] and its users run programs that are not ours, so that the end-to-end tests do not test Windward
//! against itself.

pub mod broker;
pub mod certificates;
pub mod clock;
pub mod cost;
pub mod faulty_stream;
pub mod kafka;
pub mod known;
pub mod life;
pub mod lines;
pub mod link;
pub mod mqtt;
pub mod peers;
pub mod plant;
pub mod preload;
pub mod process;
pub mod random;
pub mod rows;
pub mod said;
pub mod slave;
pub mod stored;
pub mod tap;
pub mod tree;
