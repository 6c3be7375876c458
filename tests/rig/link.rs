//! The link between agents and broker, which can be long and can be cut: a TCP proxy.

use crate::clock;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// Most bytes of one piece on a link, and most pieces under way in one direction; beyond, the sender waits.
const PIECE: usize = 16 * 1024;
const UNDER_WAY: usize = 256;

/// A link that stands until it is cut, and again when it is restored. Lives as long as the runtime.
#[derive(Debug)]
pub struct Link {
    addr: SocketAddr,
    up: watch::Sender<bool>,
    carried: Arc<AtomicU64>,
}

impl Link {
    /// A link to `to`, from a free port on loopback.
    pub async fn start(to: SocketAddr) -> anyhow::Result<Self> {
        Self::long(to, Duration::ZERO).await
    }

    /// A link on which the way there and back takes `round_trip`.
    pub async fn long(to: SocketAddr, round_trip: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let (up, is_up) = watch::channel(true);
        let carried = Arc::new(AtomicU64::new(0));
        let counter = carried.clone();
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    // While the link is cut, a connection ends as soon as it began.
                    Ok((near, _)) if *is_up.borrow() => {
                        drop(tokio::spawn(carry(near, to, round_trip / 2, is_up.clone(), counter.clone())))
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::error!(%error, "the simulated link cannot accept");
                        return;
                    }
                }
            }
        });
        Ok(Self { addr, up, carried })
    }

    /// Where to connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Bytes that have come to an end of it so far, in both directions: what TCP carries, without its headers.
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// Whether it stands.
    pub fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Whether it stands, for who waits until it does or does not.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }

    /// Cuts it, with everything that is under way on it, or restores it.
    pub fn set(&self, up: bool) {
        self.up.send_replace(up);
    }
}

async fn carry(
    near: TcpStream,
    to: SocketAddr,
    one_way: Duration,
    mut is_up: watch::Receiver<bool>,
    carried: Arc<AtomicU64>,
) {
    let Ok(far) = TcpStream::connect(to).await else { return };
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let both = async {
        tokio::join!(pass_on(near_in, far_out, one_way, &carried), pass_on(far_in, near_out, one_way, &carried))
    };
    tokio::select! {
        // Either end's going is the end, and no error of the link.
        _ended = both => {}
        _cut = is_up.wait_for(|up| !up) => {}
    }
}

/// Passes on what comes, in its order, each piece `one_way` later.
async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, one_way: Duration, carried: &AtomicU64) {
    let (under_way, mut arriving) = mpsc::channel(UNDER_WAY);
    let take = async move {
        loop {
            let mut piece = vec![0; PIECE];
            let Ok(len @ 1..) = from.read(&mut piece).await else { return };
            piece.truncate(len);
            if under_way.send((clock::now() + one_way, piece)).await.is_err() {
                return;
            }
        }
    };
    let give = async move {
        while let Some((at, piece)) = arriving.recv().await {
            tokio::time::sleep_until(at.into()).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
            carried.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        // The end arrives as well; where nobody is left to hear of it, it is one anyway.
        to.shutdown().await.ok();
    };
    tokio::join!(take, give);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_it_carries_is_counted_in_both_directions() {
        let server = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let link = Link::start(server.local_addr().unwrap()).await.unwrap();
        let mut near = TcpStream::connect(link.addr()).await.unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        near.write_all(&[1; 1_000]).await.unwrap();
        far.read_exact(&mut [0; 1_000]).await.unwrap();
        far.write_all(&[2; 30]).await.unwrap();
        drop(far);
        // The end comes behind everything, and after it was counted.
        assert_eq!(near.read_to_end(&mut Vec::new()).await.unwrap(), 30);
        assert_eq!(link.carried(), 1_030);
    }
}
