//! The alarm relay: a coil that follows the alerts, however the relay behaves.

use super::{CONFIG, DEADLINE, tcp_bus};
use crate::config::{BeaconOutput, Config};
use crate::io::bus::{Wiring, run};
use crate::io::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// A relay that refuses so many writes and then takes them; gives its port and the states its coil 8 was given.
async fn relay(refusals: usize) -> (u16, mpsc::Receiver<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (states, given) = mpsc::channel(16);
    let refused = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (states, refused) = (states.clone(), refused.clone());
            tokio::spawn(async move {
                let mut request = [0u8; 12];
                while stream.read_exact(&mut request).await.is_ok() {
                    assert_eq!(request[6..10], [3, 5, 0, 8], "slave 3, write single coil, coil 8");
                    if refused.fetch_add(1, Ordering::SeqCst) < refusals {
                        let refusal = [request[0], request[1], 0, 0, 0, 3, 3, 0x85, 4];
                        stream.write_all(&refusal).await.unwrap();
                        continue;
                    }
                    states.send(request[10..12] == [0xff, 0]).await.unwrap();
                    stream.write_all(&request).await.unwrap();
                }
            });
        }
    });
    (port, given)
}

#[tokio::test]
async fn the_relay_is_off_at_first_follows_the_alerts_and_is_tried_again_until_it_obeys() {
    let (port, mut given) = relay(1).await;
    let mut config = Config::from_toml(CONFIG, "test.toml").unwrap();
    config.buses = vec![tcp_bus(port)];
    let (lit, is_lit) = watch::channel(false);
    let (_asks, asks) = mpsc::channel(1);
    let (inputs, _inputs) = mpsc::channel(1);
    let beacon = Some((is_lit, BeaconOutput::Coil { slave: 3, coil: 8 }));
    tokio::spawn(run(Wiring { config: Arc::new(config), index: 0, asks, inputs, beacon, clock: Clock::start() }));
    let mut next = async || timeout(DEADLINE, given.recv()).await.expect("the relay is told").unwrap();
    assert!(!next().await, "off at first, after the refusal");
    lit.send(true).unwrap();
    assert!(next().await);
    lit.send(false).unwrap();
    assert!(!next().await);
}
